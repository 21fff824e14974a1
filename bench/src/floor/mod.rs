//! The floor of a machine: what the cheapest thing costs that does a part of the work. Hookfast is measured against it in the same
//! run, since the same machine is twice as fast at one time as at another.

mod http;
mod disk;
mod sqlite;
mod plain;
mod postgres;

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::databases::Kind;
use crate::report::{Row, Section};

pub(crate) use http::Axum;
pub(crate) use plain::Plain;

/// As many rows as Hookfast commits at once when it is busy, and as large as a usual webhook.
const BATCH_ROWS: usize = 256;
const ROW_BYTES: usize = 2 << 10;

/// The disk and the two databases, without Hookfast.
pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark(
        "Appended: 4 KiB and `fdatasync`, one after the other. Rows: an id and 2 KiB, 256 in a transaction, one core for the client.",
    );
    let scale = &bench.scale;
    section.push(disk::syncs(scale.syncs)?);
    let mut row = Row::of("SQLite: WAL, synchronous=FULL, 16 KiB pages");
    row.samples("rows/s", scale.rounds, || sqlite::rows_a_second(scale.floor))?;
    section.push(row);
    let database = bench.databases.empty(Kind::Postgres);
    for (what, connections) in [("PostgreSQL: UNNEST, 1 connection", 1), ("PostgreSQL: UNNEST, 4 connections", 4)] {
        let mut row = Row::of(what);
        row.samples("rows/s", scale.rounds, || postgres::rows_a_second(database.url(), connections, scale.floor))?;
        section.push(row);
    }
    Ok(())
}

/// Does it again and again for so long; rows a second.
fn rate_of(time: Duration, mut batch: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut rows = 0_usize;
    while started.elapsed() < time {
        batch()?;
        rows += BATCH_ROWS;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}
