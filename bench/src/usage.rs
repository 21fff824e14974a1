//! What processes and threads use, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// The kernel counts processor time in hundredths of a second, whatever its own tick is.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor time of all threads of a process, those that have ended included.
pub(crate) fn process_cpu(process: u32) -> anyhow::Result<Duration> {
    cpu(&format!("/proc/{process}/stat"))
}

/// Processor time of the calling thread.
pub(crate) fn thread_cpu() -> anyhow::Result<Duration> {
    cpu("/proc/thread-self/stat")
}

fn cpu(path: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(path).with_context(|| path.to_owned())?;
    // The name in brackets may hold spaces; user and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(2)).context("a line of stat")?;
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks / TICKS_A_SECOND))
}

/// Bytes that a process has had the disk write.
pub(crate) fn written(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/io");
    let io = fs::read_to_string(&path).with_context(|| path.clone())?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context(path)?;
    Ok(bytes.trim().parse()?)
}

/// Memory of a process in MiB: its proportional share of all its pages, and how many of them are no file's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) pss_mib: f64,
    pub(crate) anonymous_mib: f64,
}

pub(crate) fn memory(process: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{process}/smaps_rollup");
    let rollup = fs::read_to_string(&path).context(path)?;
    let mib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    };
    Ok(Memory { pss_mib: mib("Pss:").context("a sum")?, anonymous_mib: mib("Pss_Anon:").context("a sum")? })
}
