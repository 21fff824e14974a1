//! What a long queue costs: taking events behind it, starting on it after a crash, working it off.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::Bench;
use crate::databases::Kind;
use crate::ingest::{BODY_BYTES, at_a_standstill, send};
use crate::load::{Body, Pace};
use crate::patience::{pass, wait_until};
use crate::report::{Row, Section, millis};
use crate::site::{HOLD, PLACES};

const CONNECTIONS: usize = 256;
/// Events before the first that are timed.
const WARM_UP: u64 = 1000;
const FIRST_CALL_MAX: Duration = Duration::from_mins(2);

pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(format!(
        "Events of 2 KB come in through the front door, 256 connections, while the worker is at a standstill: the first and the last of them\n\
         are timed. Then the server is killed and started anew. Dispatched: calls of `stripe-crm` that reach the upstream, {} s after the\n\
         first (the worker starts with 4 places and has all 128 after 5 s). PSS: before the kill, and after the start.",
        bench.scale.slow_start.as_secs()
    ));
    for kind in Kind::ALL {
        for events in bench.scale.backlogs {
            section.push(work_off(bench, kind, *events)?);
        }
    }
    Ok(())
}

fn work_off(bench: &Bench, kind: Kind, events: u64) -> anyhow::Result<Row> {
    let (site, server) = at_a_standstill(bench, kind)?;
    let body = Body::of(BODY_BYTES);
    let mut row = Row::of(format!("{events} waiting on {kind}"));
    // The ends are as long as a round of a load, or a tenth of it all.
    let end = (events / 10).min(50_000);
    send(&server, &body, CONNECTIONS, Pace::Count(WARM_UP))?;
    row.figure("taken/s at first", send(&server, &body, CONNECTIONS, Pace::Count(end))?.rate());
    send(&server, &body, CONNECTIONS, Pace::Count(events - 2 * end))?;
    row.figure("taken/s at last", send(&server, &body, CONNECTIONS, Pace::Count(end))?.rate());
    row.figure("PSS MiB", server.memory()?.pss_mib);
    let counted = Instant::now();
    let waiting = server.metrics()?.ready();
    row.figure("ms for /metrics", millis(counted.elapsed()));
    ensure!(waiting == events + WARM_UP, "{waiting} jobs are ready");
    server.kill()?;

    site.configure(PLACES, &[("stripe", "stripe-crm"), (HOLD, "forward")], &bench.upstreams);
    let before = bench.upstreams.answered();
    let server = site.start()?;
    bench.upstreams.until_more_than(before, FIRST_CALL_MAX)?;
    row.figure("start s", server.start.as_secs_f64());
    row.figure("to the first call s", server.begun.elapsed().as_secs_f64());
    row.figure("PSS MiB then", server.memory()?.pss_mib);
    pass(bench.scale.slow_start);
    let (first, cpu, started) = (bench.upstreams.answered(), server.cpu()?, Instant::now());
    // A queue that is worked off before its time ends the measurement.
    let is_over = || Ok(bench.upstreams.answered() - before >= events);
    wait_until(bench.scale.dispatch, is_over)?;
    let (calls, took) = (bench.upstreams.answered() - first, started.elapsed());
    row.figure("dispatched/s", calls as f64 / took.as_secs_f64());
    row.figure("server µs each", server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / calls as f64);
    server.kill()?;
    Ok(row)
}
