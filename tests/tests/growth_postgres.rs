//! What PostgreSQL reads for an event: as much behind many rows as behind none, also under plans that were made when there were none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast::domain::NodeId;
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Database, Rush, Slots, Store, StoreSettings};
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Plan, Sender, Server, Site, Source, Upstream};
use serde_json::json;

const ROUNDS: usize = 30;
/// Calls of the upstream that one round is answered with.
const CALLS: usize = 4;
/// Pages of 8 KB that a call of a statement may read more behind many rows: each index that it looks into is a level or two deeper. Any index
/// here has ten times as many.
const DEEPER: f64 = 20.0;
/// How many statements those of the hot path are at least.
const STATEMENTS: usize = 15;

/// Of everything that the hot path looks into, far more than it may look at: what is due later, what waits for its plugin, its upstream or
/// its turn, what another node runs, and what is over.
const MANY: &str = "
    INSERT INTO nodes (id, host, version, started_at, lease_until) VALUES ('00000000-0000-7000-8000-000000000001', 'other', '0', 0, 4102444800000);
    INSERT INTO jobs (event_id, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, owner, park_reason, suspect, charges, line, upstream)
        SELECT gen_random_uuid(), source, 'absent', plugin, state, CASE state WHEN 'ready' THEN 4102444800000 ELSE 0 END, 1, 0, 0, owner::uuid, park_reason,
            charges > 0, charges, line::uuid, upstream
        FROM generate_series(1, 20000), (VALUES
            ('later', 'absent', 'ready', NULL, NULL, 0, NULL, NULL),
            ('shop', 'scripted', 'ready', NULL, NULL, 0, NULL, NULL),
            ('shop', 'scripted', 'ready', NULL, NULL, 1000000, NULL, NULL),
            ('shop', 'absent', 'parked', NULL, 'plugin_missing', 0, NULL, NULL),
            ('shop', 'scripted', 'waiting', NULL, NULL, 0, '00000000-0000-7000-8000-000000000002', NULL),
            ('shop', 'scripted', 'running', '00000000-0000-7000-8000-000000000001', NULL, 0, NULL, NULL)
        ) AS kind (source, plugin, state, owner, park_reason, charges, line, upstream);
    INSERT INTO events (id, source, received_at, headers, body) SELECT gen_random_uuid(), 'shop', 0, '', '' FROM generate_series(1, 50000);
    INSERT INTO dedupe_keys (hash, body_hash, event_id, expires_at)
        SELECT gen_random_uuid(), 0, gen_random_uuid(), 4102444800000 FROM generate_series(1, 50000);
    INSERT INTO attempts (event_id, route, attempt, node, plugin, digest, started_at, duration_us, outcome)
        SELECT gen_random_uuid(), 'scripted', 1, gen_random_uuid(), 'scripted', sha256(''), 0, 0, 'done' FROM generate_series(1, 50000);
    INSERT INTO dead_letters (event_id, source, route, plugin, attempts, cause, reason, died_at, line)
        SELECT gen_random_uuid(), 'shop', 'scripted', 'scripted', 1, 'permanent', '', 4102444800000, gen_random_uuid() FROM generate_series(1, 50000);
    INSERT INTO deliveries (event_id, route, digest, upstream, method, path, headers, body, replays)
        SELECT gen_random_uuid(), 'scripted:1', sha256(''), 'crm', 'POST', '/', '', '', 0 FROM generate_series(1, 50000);
    INSERT INTO steps (event_id, route, step, state, replays, attempt)
        SELECT gen_random_uuid(), 'scripted', 'order', 'begun', 0, 1 FROM generate_series(1, 50000);
    INSERT INTO state (plugin, source, key, value, version)
        SELECT 'scripted', '', sha256(number::text::bytea), '', 1 FROM generate_series(1, 50000) AS number;
";

/// A new database of a server that tells what each statement has read: its URL and name.
fn counting(server: &Postgres) -> (String, String) {
    let system = |setting: &str| server.run(&format!("ALTER SYSTEM SET {setting}"), "postgres");
    system("shared_preload_libraries = 'pg_stat_statements'");
    // It would look at the tables anew, and mend the plans.
    system("autovacuum = off");
    server.crash();
    let url = server.database();
    let name = url.rsplit('/').next().expect("a name").to_owned();
    server.run("CREATE EXTENSION pg_stat_statements", &name);
    (url, name)
}

/// A server over such a database.
struct Bench {
    database: Postgres,
    name: String,
    upstream: Upstream,
    site: Site,
    rounds: usize,
}

impl Bench {
    fn new(database: Postgres, upstream: Upstream) -> Self {
        let (url, name) = counting(&database);
        let scripted = Source::new("shop", "github").to("scripted").retry(&["1ms"]).set("dedupe = \"none\"");
        let line = Source::new("line", "stripe").to("forward").set("ordering = \"json:/type\"");
        let plan = Plan::default().source(scripted).source(line).postgres(&url).sections(
            "[topics.orders]\nroutes = [{ plugin = \"forward\" }]\n\
             [grants.scripted]\nupstreams = [\"crm\", \"chat\"]\nemits = [\"orders\"]\nstate = { quota = \"1 MiB\" }\n",
        );
        let site = Site::new(&plan, upstream.address);
        // Whoever renews a lease looks through what runs.
        site.edit(|file| file.replace("lease = \"1s\"", "lease = \"2m\""));
        Self { database, name, upstream, site, rounds: 0 }
    }

    /// Events one at a time, so that no statement is about more than a few; what each statement has read.
    async fn run(&mut self, server: &Server) -> BTreeMap<i64, (String, f64)> {
        self.database.run("SELECT pg_stat_statements_reset()", &self.name);
        let now = Clock::system().now();
        let (shop, line) = (Sender::new("shop", "github", "shared-secret"), Sender::new("line", "stripe", "shared-secret"));
        let script = json!({ "lines": [
            { "do": "increment", "key": "seen" },
            { "do": "call", "to": "crm", "path": "/orders", "step": "order" },
            { "do": "emit", "to": "orders", "event_type": "order.placed", "body": "{}" },
            { "do": "deliver", "to": "chat", "path": "/messages" },
            { "do": "fail", "how": "retry", "up_to": 1 },
        ]});
        for _ in 0..ROUNDS {
            self.rounds += 1;
            let in_line = line.delivery("invoice.paid", &format!("evt_{}", self.rounds), now);
            // The same twice: one is a duplicate.
            for delivery in [&shop.delivery_of(script.to_string(), now), &in_line, &in_line] {
                Wire::new().send(server.ingest, delivery).await.expect("an answer").event();
            }
            self.upstream.called(CALLS * self.rounds).await;
        }
        self.pages()
    }

    /// Pages that a call of each statement has read, of those that every round needs; by number and text.
    fn pages(&self) -> BTreeMap<i64, (String, f64)> {
        let sql = format!(
            "SELECT coalesce(json_agg(json_build_array(queryid, query, (shared_blks_hit + shared_blks_read)::float / calls)), '[]') \
             FROM pg_stat_statements JOIN pg_database ON oid = dbid WHERE datname = '{}' AND calls >= {}",
            self.name,
            ROUNDS / 2
        );
        serde_json::from_str::<Vec<(i64, String, f64)>>(&self.database.run(&sql, &self.name))
            .expect("JSON")
            .into_iter()
            .map(|(number, text, pages)| (number, (text, pages)))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_event_reads_does_not_depend_on_how_many_rows_there_are() {
    let upstream = Upstream::start().await;
    let database = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let mut bench = Bench::new(database, upstream);
    let server = bench.site.start().await;
    // PostgreSQL plans a statement when a connection first uses it, for the rows that it knows of: none.
    bench.database.run("VACUUM ANALYZE", &bench.name);
    let few = bench.run(&server).await;
    bench.database.run(MANY, &bench.name);
    let many = bench.run(&server).await;
    server.kill().await;

    assert!(few.len() >= STATEMENTS, "{} statements were seen", few.len());
    let deeper = |number: &i64, pages: f64| many.get(number).is_some_and(|(_, then)| *then > pages + DEEPER);
    let grown: Vec<String> = few
        .iter()
        .filter(|(number, (_, pages))| deeper(number, *pages))
        .map(|(number, (text, pages))| format!("{pages:.0} pages, then {:.0}: {text}", many[number].1))
        .collect();
    assert!(grown.is_empty(), "they read more where there is more:\n{}", grown.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_forgetting_an_event_reads_does_not_depend_on_how_many_rows_there_are() {
    /// What is forgotten at once.
    const BATCH: f64 = 500.0;
    /// Pages for an event: its own, and three for each of the six indexes that may know of it.
    const PAGES: f64 = 30.0;
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let (url, name) = counting(&server);
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let opened = Store::open(StoreSettings {
        database: Database::Postgres(url.parse().expect("a URL")),
        node: NodeId::new(clock.now(), random.bytes()),
        clock: clock.clone(),
        random,
        migrates: true,
        lease: Duration::from_mins(2),
        metrics: Arc::new(Metrics::default()),
        slots: Slots::new(0),
        rush: Rush::default(),
        dedupe_keys_max: 1,
    });
    let store = opened.await.expect("a store").store;
    server.run("VACUUM ANALYZE", &name);
    store.expire(clock.now()).await.expect("nothing to forget");
    server.run(MANY, &name);
    let count = || server.run("SELECT count(*) FROM events", &name).parse::<f64>().expect("a number");
    let before = count();
    server.run("SELECT pg_stat_statements_reset()", &name);
    // The ids of these say that they came later, so that one batch is all.
    store.expire(clock.now()).await.expect("forgotten");
    assert_eq!(before - count(), BATCH);
    let sql = "SELECT max(shared_blks_hit + shared_blks_read) FROM pg_stat_statements WHERE query LIKE 'WITH batch%'";
    let pages: f64 = server.run(sql, &name).parse().expect("a number");
    assert!(pages <= BATCH * PAGES, "{pages} pages for {BATCH} events");
    store.close().await;
}
