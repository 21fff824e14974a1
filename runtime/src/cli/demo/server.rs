//! The server as a child process: this very binary's `serve`. Never outlives the demo, however that ends.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;

use super::folder::Folder;
use crate::domain::Headers;
use crate::upstream;

const START_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
const PROBE: Duration = Duration::from_secs(1);

/// A server that may be running.
pub(super) struct Server {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Not started yet.
    pub(super) fn new(folder: &Folder) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("this program's own file cannot be found")?;
        Ok(Self { binary, config: folder.config(), log: folder.log(), admin: folder.admin, child: None })
    }

    /// Starts it and waits until it is ready; how long that took.
    pub(super) async fn start(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let log = OpenOptions::new().create(true).append(true).open(&self.log).context("the server's log cannot be written")?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&self.config).args(["--log", "info"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().context("the server cannot be started")?);
        match tokio::time::timeout(START_MAX, self.ready()).await {
            Ok(ready) => ready.map(|()| started.elapsed()),
            Err(_) => bail!("the server was not ready within {} s", START_MAX.as_secs()),
        }
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.admin);
        loop {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the server ended at once: {status}");
            }
            let answer = upstream::fetch("GET", &url, Headers::default(), Bytes::new(), PROBE).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it as `kill -9` does: no signal handler, no goodbye.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The only error is that it has ended already; either way it is to be reaped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The end of its log.
    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().rev().take(count).map(|line| line.chars().take(300).collect()).collect();
        lines.reverse();
        lines
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
