//! From the first request to the last settled job: what a whole event costs.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::Bench;
use crate::databases::Kind;
use crate::ingest::BODY_BYTES;
use crate::load::{Body, Load, Pace, Requests, What};
use crate::patience::pass;
use crate::report::{Row, Section};
use crate::server::{Counts, Server};
use crate::site::{PLACES, Site};

const CONNECTIONS: usize = 64;
/// A plugin, what is logged (the server must say at least that it serves), the plugin's config, and the words for it.
const CASES: [(&str, &str, &str, &str); 4] = [
    ("parse", "info", "", ""),
    ("stripe-crm", "info", "", ""),
    ("stripe-crm", "warn,hookfast::app=info", "", ", not logging attempts"),
    ("stripe-crm", "info", "notify = \"on\"", " with a delivery"),
];
/// Between two looks, at the least and at the most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
const PATIENCE: Duration = Duration::from_mins(2);

/// A plugin that only parses, and one that calls an upstream, on both databases.
pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(
        "2 KB events over 64 connections as fast as they are taken, until the last job is settled. `parse` parses the JSON and is done;\n\
         `stripe-crm` makes one request to an upstream that answers at once, as a step; with a delivery: it tells another upstream, too.",
    );
    for kind in Kind::ALL {
        for (plugin, log, config, how) in CASES {
            let site = Site::new(bench.databases.empty(kind));
            site.guests(&[plugin]);
            let grant = format!("[grants.stripe-crm]\nupstreams = [\"crm\", \"notify\"]\nconfig = {{ {config} }}\n");
            site.configure_with(PLACES, &[("stripe", plugin)], &bench.upstreams, &grant);
            let server = site.start_logging(log)?;
            let mut row = Row::of(format!("{plugin} on {kind}{how}"));
            process(&server, &["stripe"], bench.scale.events / 10)?;
            for _ in 0..bench.scale.rounds {
                process(&server, &["stripe"], bench.scale.events)?.note(&mut row);
            }
            row.figure("PSS MiB after", server.memory()?.pss_mib);
            section.push(row);
        }
    }
    Ok(())
}

/// How long so many events took.
pub(crate) struct Processed {
    events: u64,
    took: Duration,
    cpu: Duration,
}

impl Processed {
    pub(crate) fn note(&self, row: &mut Row) {
        row.figure("events/s", self.events as f64 / self.took.as_secs_f64());
        row.figure("server µs each", self.cpu.as_secs_f64() * 1e6 / self.events as f64);
    }
}

/// What the server counts once nothing is unfinished, or patience is. For each look it counts its jobs on the core that is measured, so
/// the next one is when half of what is left would be done at the rate so far.
fn finished(server: &Server, before: &Counts, started: Instant) -> anyhow::Result<Counts> {
    loop {
        let counts = server.metrics()?;
        let left = counts.unfinished();
        if left == 0 || started.elapsed() > PATIENCE {
            return Ok(counts);
        }
        let done = (counts.done() - before.done()).max(1);
        pass(started.elapsed().mul_f64(left as f64 / done as f64 / 2.0).clamp(LOOKS.0, LOOKS.1));
    }
}

/// Sends events to these sources in turn and waits until each has been done.
pub(crate) fn process(server: &Server, sources: &[&str], events: u64) -> anyhow::Result<Processed> {
    let (before, cpu, started) = (server.metrics()?, server.cpu()?, Instant::now());
    let what = What::Fresh(Requests::new(Body::of(BODY_BYTES), sources));
    let tally = Load { to: server.ingest, connections: CONNECTIONS, what, pace: Pace::Count(events) }.run()?;
    ensure!(tally.refused() == 0, "requests were not accepted: {}", tally.refusals());
    let counts = finished(server, &before, started)?;
    let (took, cpu) = (started.elapsed(), server.cpu()?.saturating_sub(cpu));
    let done = counts.done() - before.done();
    ensure!(done == events && counts.unfinished() == 0, "of {events} events {done} were done within {PATIENCE:?}: {counts:?}");
    ensure!(counts.not_done() == before.not_done(), "attempts failed: {counts:?}");
    Ok(Processed { events, took, cpu })
}
