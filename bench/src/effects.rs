//! What effects cost: the same plugin, asking for each of them alone and for all, on both databases.

use crate::bench::Bench;
use crate::databases::{Database, Kind};
use crate::end_to_end::process;
use crate::report::{Row, Section};
use crate::server::Server;
use crate::site::{PLACES, Site};

/// What the plugin is told to do, and the words for it.
const CASES: [(&str, &str); 8] = [
    ("", "nothing"),
    ("counter", "one counter, incremented"),
    ("state", "one value, set"),
    ("emit", "one event emitted, to no route"),
    ("call", "one call"),
    ("step", "the same call as a step"),
    ("delivery", "one delivery"),
    ("step counter delivery", "a step, a counter and a delivery"),
];

pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(
        "2 KB events over 64 connections as fast as they are taken, until the last job is settled, of a plugin that parses its JSON and asks\n\
         for what is said; calls and deliveries are answered at once. Bytes: on SQLite what the process has the disk write, on PostgreSQL its WAL; an event is 2 KB, and its database takes\n\
         what it takes for that in any case. Attempts are not logged.",
    );
    for kind in Kind::ALL {
        for (effects, words) in CASES {
            let site = Site::new(bench.databases.empty(kind));
            site.guests(&["costs"]);
            let grant = format!(
                "[topics.topic]\n[grants.costs]\nupstreams = [\"crm\"]\nemits = [\"topic\"]\nstate = {{ quota = \"1 GiB\" }}\nconfig = {{ effects = \"{effects}\" }}\n"
            );
            site.configure_with(PLACES, &[("stripe", "costs")], &bench.upstreams, &grant);
            let server = site.start_logging("warn,hookfast::app=info")?;
            let mut row = Row::of(format!("{words}, on {kind}"));
            process(&server, &["stripe"], bench.scale.events / 10)?;
            for _ in 0..bench.scale.rounds {
                let before = written(&server, site.database())?;
                process(&server, &["stripe"], bench.scale.events)?.note(&mut row);
                row.figure("bytes each", (written(&server, site.database())? - before) / bench.scale.events as f64);
            }
            section.push(row);
        }
    }
    Ok(())
}

/// Bytes that were written so far.
fn written(server: &Server, database: &Database) -> anyhow::Result<f64> {
    match database {
        Database::Sqlite => server.written(),
        Database::Postgres { server, .. } => {
            let told = server.run("SELECT pg_current_wal_insert_lsn() - '0/0'", "postgres");
            Ok(told.trim().parse()?)
        }
    }
}
