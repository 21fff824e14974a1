//! What it costs to have many plugins: memory, start, rest, and each event when they all have work.

use std::time::Duration;

use hookfast_tests::build::{another_version, guest};

use crate::bench::Bench;
use crate::databases::Kind;
use crate::end_to_end::process;
use crate::ingest::BODY_BYTES;
use crate::load::{Body, Load, Pace, Requests, What};
use crate::patience::pass;
use crate::report::{Row, Section};
use crate::server::Server;
use crate::site::{PLACES, Site};

pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(
        "SQLite. Each plugin is `parse` with a version of its own in its bytes (so another digest, compiled on its own), has a source of its\n\
         own, and gets its share of the events. The first start compiles the plugins that are new; what is measured is the second, from the\n\
         cache. `one busy`: all loaded, events for one. `one code`: as many names for the same bytes. PSS: the pages of the process, those\n\
         it shares in part; anonymous: those that are no file's.",
    );
    let most = bench.scale.plugins.last().copied().unwrap_or(1);
    let names: Vec<String> = (0..most).map(|number| format!("p{number}")).collect();
    let site = Site::new(bench.databases.empty(Kind::Sqlite));
    let wasm = guest("parse");
    let mut idle = Vec::new();
    let mut published = 0;
    for count in bench.scale.plugins {
        for name in &names[published..*count] {
            site.plugin(name, &another_version(&wasm, name));
        }
        published = *count;
        let compiling = start(bench, &site, &names[..*count])?;
        let (compiled, after_compiling) = (compiling.start.as_secs_f64(), compiling.memory()?.pss_mib);
        compiling.kill()?;
        let server = start(bench, &site, &names[..*count])?;
        let mut row = events(bench, &server, &names[..*count], format!("{count} plugin(s)"))?;
        row.figure("first start s", compiled);
        row.figure("PSS MiB then", after_compiling);
        idle.push((*count, row.last("PSS MiB idle")));
        section.push(row);
        if *count == most {
            section.push(events(bench, &server, &names[..1], format!("{count} plugins, one busy"))?);
        }
    }
    section.push(of_one_code(bench, &wasm, &names)?);
    if let [(few, least), .., (many, largest)] = idle[..] {
        let each = 1024.0 * (largest - least) / (many - few) as f64;
        section.remark(format!("A loaded plugin takes {each:.0} KiB of PSS at rest."));
    }
    section.push(under_load(bench)?);
    Ok(())
}

fn of_one_code(bench: &Bench, wasm: &[u8], names: &[String]) -> anyhow::Result<Row> {
    let site = Site::new(bench.databases.empty(Kind::Sqlite));
    names.iter().for_each(|name| site.plugin(name, wasm));
    let server = start(bench, &site, names)?;
    events(bench, &server, names, format!("{} plugins, one code", names.len()))
}

fn start(bench: &Bench, site: &Site, names: &[String]) -> anyhow::Result<Server> {
    let routes: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    site.configure(PLACES, &routes, &bench.upstreams);
    site.start()
}

/// At rest first, then with events for each of these.
fn events(bench: &Bench, server: &Server, names: &[String], what: String) -> anyhow::Result<Row> {
    let sources: Vec<_> = names.iter().map(String::as_str).collect();
    let mut row = Row::of(what);
    let (cpu, memory) = (server.cpu()?, server.memory()?);
    pass(bench.scale.rest);
    let rest = server.cpu()?.saturating_sub(cpu);
    process(server, &sources, bench.scale.events / 10)?;
    for _ in 0..bench.scale.rounds {
        process(server, &sources, bench.scale.events)?.note(&mut row);
    }
    let after = server.memory()?;
    row.figure("start s", server.start.as_secs_f64());
    row.figure("core % at rest", 100.0 * rest.as_secs_f64() / bench.scale.rest.as_secs_f64());
    row.figure("PSS MiB idle", memory.pss_mib);
    row.figure("anonymous", memory.anonymous_mib);
    row.figure("PSS MiB after", after.pss_mib);
    row.figure("anonymous after", after.anonymous_mib);
    Ok(row)
}

/// The most that a server takes while 256 connections send and all places work, its plugin from the cache.
fn under_load(bench: &Bench) -> anyhow::Result<Row> {
    let site = Site::new(bench.databases.empty(Kind::Sqlite));
    site.guests(&["stripe-crm"]);
    site.configure(PLACES, &[("stripe", "stripe-crm")], &bench.upstreams);
    site.start()?.kill()?;
    let server = site.start()?;
    let mut row = Row::of("stripe-crm alone; after: the most under 256 connections");
    row.figure("start s", server.start.as_secs_f64());
    row.figure("PSS MiB idle", server.memory()?.pss_mib);
    let what = What::Fresh(Requests::new(Body::of(BODY_BYTES), &["stripe"]));
    let load = Load { to: server.ingest, connections: 256, what, pace: Pace::For(bench.scale.load) };
    let sending = std::thread::spawn(move || load.run());
    let mut most = server.memory()?;
    while !sending.is_finished() {
        pass(Duration::from_millis(100));
        let now = server.memory()?;
        if now.pss_mib > most.pss_mib {
            most = now;
        }
    }
    sending.join().map_err(|_| anyhow::anyhow!("the load generator panicked"))??;
    row.figure("PSS MiB after", most.pss_mib);
    row.figure("anonymous after", most.anonymous_mib);
    Ok(row)
}
