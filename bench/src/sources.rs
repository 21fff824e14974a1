//! What it costs to have many sources: an event's job is stored where those of its source are, and places go round among the sources.

use std::time::Duration;

use crate::bench::Bench;
use crate::databases::Kind;
use crate::end_to_end::process;
use crate::ingest::{BODY_BYTES, at_a_standstill_with, note, send_to};
use crate::load::{Body, Pace};
use crate::report::{Row, Section};
use crate::site::{PLACES, Site};

/// Taken while the worker is at a standstill, and from end to end.
pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(
        "Events of so many sources in turn, all with the same plugin. Taken: as in `Ingest`, over 256 connections, while the worker is at a\n\
         standstill. End to end: `parse`, as in `End to end`.",
    );
    for kind in Kind::ALL {
        for count in bench.scale.sources {
            let names: Vec<String> = (0..*count).map(|number| format!("stripe-{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            section.push(taken(bench, kind, &names)?);
            section.push(end_to_end(bench, kind, &names)?);
        }
    }
    Ok(())
}

fn taken(bench: &Bench, kind: Kind, names: &[&str]) -> anyhow::Result<Row> {
    let (body, mut row) = (Body::of(BODY_BYTES), Row::of(format!("taken on {kind}, {} source(s)", names.len())));
    let (_site, server) = at_a_standstill_with(bench, kind, names, None)?;
    send_to(&server, &body, names, 256, Pace::For(Duration::from_millis(500)))?;
    for _ in 0..bench.scale.rounds {
        note(&mut row, &server, || send_to(&server, &body, names, 256, Pace::For(bench.scale.load)))?;
    }
    Ok(row)
}

fn end_to_end(bench: &Bench, kind: Kind, names: &[&str]) -> anyhow::Result<Row> {
    let site = Site::new(bench.databases.empty(kind));
    site.guests(&["parse"]);
    let routes: Vec<_> = names.iter().map(|name| (*name, "parse")).collect();
    site.configure(PLACES, &routes, &bench.upstreams);
    let server = site.start()?;
    let mut row = Row::of(format!("end to end on {kind}, {} source(s)", names.len()));
    process(&server, names, bench.scale.events / 10)?;
    for _ in 0..bench.scale.rounds {
        process(&server, names, bench.scale.events)?.note(&mut row);
    }
    Ok(row)
}
