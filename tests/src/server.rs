//! A real server process, to be killed at any moment. Its clock and randomness are the machine's.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use hookfast::app::TOKEN_FILE;
use hookfast::domain::Headers;
use http::Method;
use serde_json::Value;
use tokio::sync::watch;

use crate::build::binary;
use crate::directory::Directory;
use crate::disk::Disk;
use crate::plan::Plan;
use crate::sender::{Answer, Delivery, NoAnswer, Wire};
use crate::slow_disk::SlowDisk;
use crate::wait::{within, worked_off};
use crate::wall_clock::WallClock;

/// Where servers run, one after another: a directory with configuration, plugins and what they leave there.
pub struct Site {
    directory: Directory,
    wire: Wire,
}

/// A running process. Dropping it kills it.
pub struct Server {
    /// Where webhooks are sent to; port 0 where it takes none.
    pub ingest: SocketAddr,
    admin: SocketAddr,
    process: Process,
    ended: watch::Receiver<bool>,
}

/// A handle by which anyone can kill the process.
#[derive(Clone)]
pub struct Process(Arc<Mutex<Child>>);

impl Process {
    /// Sends SIGKILL.
    pub fn kill(&self) {
        // One that has ended by itself is as dead.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

impl Site {
    /// Writes the plan's files, with the scripted upstream at this address.
    pub fn new(plan: &Plan, upstream: SocketAddr) -> Self {
        Self::of(Directory::new(), plan, upstream)
    }

    /// With everything on this disk.
    pub fn on(disk: &Disk, plan: &Plan, upstream: SocketAddr) -> Self {
        let site = Self::of(Directory::below(&disk.path()), plan, upstream);
        disk.sync();
        site
    }

    fn of(directory: Directory, plan: &Plan, upstream: SocketAddr) -> Self {
        directory.write("hookfast.toml", plan.file(upstream));
        for (name, wasm) in &plan.plugins {
            directory.write(&format!("plugins/{name}.wasm"), wasm);
        }
        Self { directory, wire: Wire::new() }
    }

    /// Edits the configuration file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn edit(&self, edit: impl FnOnce(&str) -> String) {
        let file = std::fs::read_to_string(self.config()).expect("a configuration");
        self.directory.write("hookfast.toml", edit(&file));
    }

    /// Publishes a plugin's file.
    pub fn publish(&self, plugin: &str, wasm: &[u8]) {
        self.directory.write(&format!("plugins/{plugin}.wasm"), wasm);
    }

    /// Starts a server and waits until it serves.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start(&self) -> Server {
        self.start_as("all").await
    }

    /// Starts a server that does a part of it: `ingest`, `worker` or `all`.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start_as(&self, role: &str) -> Server {
        let mut command = Command::new(binary());
        command.args(["serve", "--role", role, "--config"]).arg(self.config());
        self.run(command).await
    }

    /// Starts a server that takes the time from this clock.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start_under(&self, clock: &WallClock) -> Server {
        let mut command = Command::new(binary());
        command.args(["serve", "--config"]).arg(self.config());
        clock.govern(&mut command);
        self.run(command).await
    }

    /// Starts a server whose database is on this disk.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start_on(&self, disk: &SlowDisk) -> Server {
        let mut command = Command::new(binary());
        command.args(["serve", "--config"]).arg(self.config());
        disk.slow_down(&mut command);
        self.run(command).await
    }

    /// Runs `hookfast` with these arguments on this site's configuration.
    ///
    /// # Panics
    /// If there is no such binary.
    pub fn hookfast(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary()).args(arguments).arg("--config").arg(self.config()).stdin(Stdio::null()).output().expect("a process")
    }

    /// Starts a server whose files cannot grow past so many KiB: for the database that is a full disk.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_on_a_full_disk(&self, kib: u32) -> Server {
        // The signal is ignored, so that the write itself fails, as on a full disk.
        let script = format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$0\" serve --config \"$1\"");
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg(binary()).arg(self.config());
        self.run(command).await
    }

    /// Takes a file away.
    ///
    /// # Panics
    /// If it is not there.
    pub fn remove(&self, name: &str) {
        self.directory.remove(name);
    }

    /// Where a file of the site is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("hookfast.toml")
    }

    async fn run(&self, command: Command) -> Server {
        let started = tokio::task::spawn_blocking(|| start(command));
        within("the server to serve", started).await.expect("no panic")
    }

    /// Asks a server's admin API or its metrics: `/api/v1/events`.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn get(&self, server: &Server, path: &str) -> Answer {
        self.try_get(server, path).await.expect("an answer")
    }

    /// The same of a server that may die before it answers.
    ///
    /// # Errors
    /// No answer came.
    ///
    /// # Panics
    /// If the server has left no token file.
    pub async fn try_get(&self, server: &Server, path: &str) -> Result<Answer, NoAnswer> {
        let token = std::fs::read_to_string(self.directory.path().join(TOKEN_FILE)).expect("a token file");
        let mut headers = Headers::default();
        headers.push("authorization", format!("Bearer {}", token.trim()));
        let request = Delivery { method: Method::GET, path: path.into(), headers, body: Vec::new().into() };
        within("an answer", self.wire.send(server.admin, &request)).await
    }

    /// All rows of a list, from its pages.
    ///
    /// # Panics
    /// If they cannot be had.
    pub async fn list(&self, server: &Server, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let path = format!("{path}{}limit=200", if path.contains('?') { '&' } else { '?' });
        let mut cursor = String::new();
        loop {
            let page = self.get(server, &format!("{path}{cursor}")).await.json();
            rows.extend(page["data"].as_array().expect("a list").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break rows,
            }
        }
    }

    /// Waits until nothing is ready and nothing runs.
    ///
    /// # Panics
    /// If that never is.
    pub async fn until_quiet(&self, server: &Server) {
        worked_off(async || {
            let metrics = self.get(server, "/metrics").await.body;
            ["ready", "running"].iter().all(|state| metrics.contains(&format!("hookfast_jobs{{state=\"{state}\"}} 0\n")))
        })
        .await;
    }
}

impl Server {
    /// A handle to kill it by.
    pub fn process(&self) -> Process {
        self.process.clone()
    }

    /// Its admin API, as the command line is told of it.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Stops all its threads, as a machine that hangs would. None runs when this returns; one in the middle of a call to the kernel
    /// does not return from it.
    ///
    /// # Panics
    /// If `kill` is not installed.
    pub fn pause(&self) {
        let id = self.signal("STOP");
        // `3 (store-writer) T …`: stopped, or `D`: waiting for a disk.
        let is_still = |thread: std::fs::DirEntry| {
            let state = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            state.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['T', 'D']))
        };
        while !std::fs::read_dir(format!("/proc/{id}/task")).expect("a process").flatten().all(is_still) {
            std::thread::yield_now();
        }
    }

    /// Lets them go on as if nothing had been.
    ///
    /// # Panics
    /// If `kill` is not installed.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Asks it to end, as a service manager does.
    ///
    /// # Panics
    /// If `kill` is not installed.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) -> u32 {
        let id = self.process.0.lock().unwrap_or_else(PoisonError::into_inner).id();
        let sent = Command::new("kill").args(["-s", name, &id.to_string()]).status();
        assert!(sent.expect("kill is installed").success(), "SIG{name} was not sent");
        id
    }

    /// Gives its disk space again.
    ///
    /// # Panics
    /// If util-linux's `prlimit` is not installed.
    pub fn free_disk(&self) {
        let id = self.process.0.lock().unwrap_or_else(PoisonError::into_inner).id();
        let freed = Command::new("prlimit").args(["--pid", &id.to_string(), "--fsize=unlimited"]).status();
        assert!(freed.expect("prlimit of util-linux is installed").success(), "the limit was not lifted");
    }

    /// Waits until the process has ended, however it did.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(&self) {
        let _ = within("the server's end", self.ended.clone().wait_for(|ended| *ended)).await;
        // Reaped, so that its lock on the database is surely gone.
        let _ = self.process.0.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }

    /// Kills it and waits for its end.
    pub async fn kill(self) {
        self.process.kill();
        self.ended().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// Ports are the system's choice; the log line `serving` tells them.
fn start(mut command: Command) -> Server {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut told = String::new();
    let serving = loop {
        let mut line = String::new();
        let read = log.read_line(&mut line).expect("a log line");
        assert!(read > 0, "the server ended before it served:\n{told}");
        match serde_json::from_str::<Value>(&line) {
            Ok(line) if line["message"] == "serving" => break line,
            _ => told.push_str(&line),
        }
    };
    let address = |name: &str| serving[name].as_str().map_or("127.0.0.1:0", |text| text).parse().expect("an address");
    let (ended_sender, ended) = watch::channel(false);
    std::thread::spawn(move || drain(log, &ended_sender));
    Server { ingest: address("ingest"), admin: address("admin"), process: Process(Arc::new(Mutex::new(child))), ended }
}

/// Reads on, so that the server never waits for a full pipe; its end is the server's end.
fn drain(log: BufReader<ChildStderr>, ended: &watch::Sender<bool>) {
    for line in log.lines().map_while(Result::ok).filter(|line| line.contains("\"level\":\"ERROR\"")) {
        eprintln!("server: {line}");
    }
    ended.send_replace(true);
}
