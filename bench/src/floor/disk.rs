//! What it takes until a small write is on the disk.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use hookfast_tests::directory::Directory;

use crate::report::Row;

/// Appends 4 KiB and syncs, so many times.
pub(super) fn syncs(count: usize) -> anyhow::Result<Row> {
    let directory = Directory::new();
    let mut file = File::create(directory.path().join("log"))?;
    let mut millis = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        file.write_all(&[7; 4 << 10])?;
        file.sync_data()?;
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_unstable_by(f64::total_cmp);
    let mut row = Row::of("fdatasync of 4 KiB appended");
    row.figure("p50 ms", millis[count / 2]);
    row.figure("p99 ms", millis[count * 99 / 100]);
    Ok(row)
}
