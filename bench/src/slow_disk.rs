//! What it costs when the disk takes longer to sync, as one in a network does.

use std::time::Duration;

use anyhow::anyhow;
use hookfast_tests::SlowDisk;

use crate::bench::Bench;
use crate::databases::Kind;
use crate::ingest::{BODY_BYTES, at_a_standstill_with, note, send};
use crate::load::{Body, Pace};
use crate::report::{Row, Section};

/// Arrivals per second that no disk is too slow for.
const STEADY: f64 = 1000.0;

/// Taken over many connections, and at a steady rate.
pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(format!(
        "As `Ingest` on SQLite, with a server each of whose syncs takes so much longer than this disk's. Steady: {STEADY} webhooks per second\n\
         in an open loop."
    ));
    let body = Body::of(BODY_BYTES);
    for sync in bench.scale.slow_syncs {
        let disk = SlowDisk::new(*sync).map_err(|why| anyhow!("no slow disk: {why}"))?;
        let (_site, server) = at_a_standstill_with(bench, Kind::Sqlite, &["stripe"], Some(&disk))?;
        send(&server, &body, 32, Pace::For(Duration::from_millis(500)))?;
        let ways = [
            (256, Pace::For(bench.scale.load), "256 connections"),
            (1024, Pace::For(bench.scale.load), "1024 connections"),
            (256, Pace::Rate(STEADY, bench.scale.load), "steady"),
        ];
        let mut rows = ways.map(|(.., words)| Row::of(format!("{sync:?} more, {words}")));
        for _ in 0..bench.scale.rounds {
            for (row, (connections, pace, _)) in rows.iter_mut().zip(ways) {
                note(row, &server, || send(&server, &body, connections, pace))?;
            }
        }
        rows.into_iter().for_each(|row| section.push(row));
    }
    Ok(())
}
