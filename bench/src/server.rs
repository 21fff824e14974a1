//! The real server as a process of its own, on its own core: started, asked, killed. Its log goes into a file, as an operator's would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hookfast_tests::SlowDisk;
use hookfast_tests::build::binary;
use serde_json::Value;

use crate::cores::Core;
use crate::patience::wait_until;
use crate::usage::{self, Memory};

/// A start that takes longer than this is a failure: 500 plugins are compiled in it.
const START_MAX: Duration = Duration::from_mins(5);

/// A running server. Dropping it kills it, as does [`Self::kill`].
pub(crate) struct Server {
    child: Child,
    pub(crate) ingest: SocketAddr,
    admin: SocketAddr,
    /// When the process was begun.
    pub(crate) begun: Instant,
    /// From then to its word that it serves.
    pub(crate) start: Duration,
}

impl Server {
    pub(super) fn start(config: &Path, log: &Path, level: &str, disk: Option<&SlowDisk>) -> anyhow::Result<Self> {
        let mut command = Core::Server.command(binary());
        command.args(["serve", "--log", level, "--config"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        if let Some(disk) = disk {
            disk.slow_down(&mut command);
        }
        let begun = Instant::now();
        let mut child = command.spawn().context("taskset of util-linux is installed")?;
        let mut serving = None;
        let in_time = wait_until(START_MAX, || {
            serving = said_serving(log)?;
            Ok(serving.is_some() || child.try_wait()?.is_some())
        })?;
        let Some(serving) = serving else {
            let _ = child.kill();
            let why = if in_time { "ended" } else { "took too long" };
            bail!("the server {why} before it served:\n{}", fs::read_to_string(log)?);
        };
        let address = |name: &str| serving[name].as_str().context("an address")?.parse().context("an address");
        let (ingest, admin, start) = (address("ingest")?, address("admin")?, begun.elapsed());
        Ok(Self { child, ingest, admin, begun, start })
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        usage::process_cpu(self.child.id())
    }

    /// Bytes that it has had the disk write so far.
    pub(crate) fn written(&self) -> anyhow::Result<f64> {
        usage::written(self.child.id())
    }

    /// Memory now.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        usage::memory(self.child.id())
    }

    /// What it counts. The server counts its queue for this, which costs the more, the longer the queue is.
    pub(crate) fn metrics(&self) -> anyhow::Result<Counts> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "the metrics are not to be had: {}", answer.lines().next().unwrap_or_default());
        Ok(Counts::read(&answer))
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is as dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line `serving`, if it is there and whole.
fn said_serving(log: &Path) -> anyhow::Result<Option<Value>> {
    let text = fs::read_to_string(log)?;
    let lines = text.lines().filter(|line| line.contains("\"serving\"")).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.into_iter().find(|line| line["message"] == "serving"))
}

/// Jobs as the server counts them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Attempts that ended so, over all plugins.
    attempts: BTreeMap<String, u64>,
    jobs: BTreeMap<String, u64>,
}

impl Counts {
    fn read(text: &str) -> Self {
        let mut counts = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let label = |label: &str| name.split_once(label)?.1.split('"').next().map(str::to_owned);
            let (into, label) = if name.starts_with("hookfast_attempt_seconds_count{") {
                (&mut counts.attempts, label("outcome=\""))
            } else if name.starts_with("hookfast_jobs{") {
                (&mut counts.jobs, label("state=\""))
            } else {
                continue;
            };
            if let (Some(label), Ok(value)) = (label, value.parse::<u64>()) {
                *into.entry(label).or_default() += value;
            }
        }
        counts
    }

    /// Attempts that ended as done.
    pub(crate) fn done(&self) -> u64 {
        self.attempts.get("done").copied().unwrap_or(0)
    }

    /// Attempts that ended otherwise.
    pub(crate) fn not_done(&self) -> u64 {
        self.attempts.values().sum::<u64>() - self.done()
    }

    /// Jobs that are ready or run.
    pub(crate) fn unfinished(&self) -> u64 {
        ["ready", "running"].iter().filter_map(|state| self.jobs.get(*state)).sum()
    }

    /// Jobs that wait for their turn.
    pub(crate) fn ready(&self) -> u64 {
        self.jobs.get("ready").copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_counted_over_all_plugins() {
        let text = "hookfast_attempt_seconds_count{plugin=\"a\",outcome=\"done\"} 7\nhookfast_attempt_seconds_count{plugin=\"b\",outcome=\"done\"} 2\n\
                    hookfast_attempt_seconds_count{plugin=\"b\",outcome=\"retry\"} 1\nhookfast_attempt_seconds_sum{plugin=\"b\",outcome=\"done\"} 9\n\
                    hookfast_jobs{state=\"ready\"} 4\nhookfast_jobs{state=\"running\"} 1\nhookfast_jobs{state=\"dead\"} 3\n";
        let counts = Counts::read(text);
        assert_eq!((counts.done(), counts.not_done(), counts.ready(), counts.unfinished()), (9, 1, 4, 5));
    }
}
