//! A running server in its box. Time stands still until a test moves it; whatever the server is asked to do is done when
//! [`World::settle`] returns.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use expect_test::Expect;
use hookfast::app::{self, App, TOKEN_FILE};
use hookfast::clock::Clock;
use hookfast::config;
use hookfast::domain::{EventId, Headers, JobState, Timestamp};
use hookfast::random::Random;
use hookfast::sandbox::PluginStatus;
use hookfast::store::{AttemptView, Database, EventView, JobCounts, Rush};
use http::Method;

use crate::build::binary;
use crate::directory::Directory;
use crate::logs;
use crate::plan::{Plan, Source};
use crate::postgres;
use crate::sender::{Answer, Delivery, NoAnswer, Sender, Wire};
use crate::upstream::Upstream;
use crate::wait::{eventually, within};

/// When every story begins.
const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const CONFIG: &str = "hookfast.toml";

/// The box and everything in it.
pub struct World {
    /// The server's clock.
    pub clock: Clock,
    /// The world behind the plugins.
    pub upstream: Upstream,
    app: Option<App>,
    file: String,
    senders: BTreeMap<String, Sender>,
    wire: Wire,
    sent: AtomicU32,
    starts: u64,
    directory: Directory,
}

impl Plan {
    /// Starts the server, and all around it.
    pub async fn start(mut self) -> World {
        logs::start();
        if is_on_postgres() {
            self = self.postgres(&postgres::database().await);
        }
        let (upstream, directory) = (Upstream::start().await, Directory::new());
        for (name, wasm) in &self.plugins {
            directory.write(&format!("plugins/{name}.wasm"), wasm);
        }
        self.files.iter().for_each(|(name, text)| directory.write(name, text));
        let file = self.file(upstream.address);
        upstream.script(self.replies);
        let senders = self.sources.iter().filter(|source| source.adapter().is_none() && !source.secret.is_empty());
        let senders = senders.map(|source| (source.name.clone(), sender(source))).collect();
        let (clock, wire, sent) = (Clock::manual(BEGINNING), Wire::new(), AtomicU32::new(0));
        let mut world = World { clock, upstream, app: None, file, senders, wire, sent, starts: 0, directory };
        world.directory.write(CONFIG, &world.file);
        world.boot().await;
        world
    }
}

/// A test binary whose name ends so plays its stories on PostgreSQL, those of the others on SQLite.
fn is_on_postgres() -> bool {
    let binary = std::env::current_exe().expect("a test binary has a file");
    binary.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("stories_postgres"))
}

fn sender(source: &Source) -> Sender {
    Sender::new(&source.name, &source.provider, &source.secret)
}

impl World {
    /// A source `stripe` whose invoices go to the CRM, tried again after 10 s and 30 s.
    pub fn stripe() -> Plan {
        Plan::default().source(Source::new("stripe", "stripe").to("stripe-crm").retry(&["10s", "30s"]))
    }

    /// One source and nothing else.
    pub fn with(source: Source) -> Plan {
        Plan::default().source(source)
    }

    async fn boot(&mut self) {
        self.starts += 1;
        self.app = Some(self.start_another().await.expect("a server"));
    }

    /// Starts a server on this world's directory, whether or not there is one already.
    ///
    /// # Errors
    /// The server does not start.
    pub async fn start_another(&self) -> anyhow::Result<App> {
        let path = self.path(CONFIG);
        let reading = config::read(&path);
        let mistakes: Vec<_> = reading.mistakes.iter().map(ToString::to_string).collect();
        let settings = reading.settings.unwrap_or_else(|| panic!("{}", mistakes.concat()));
        let world = app::World {
            clock: self.clock.clone(),
            random: Random::seeded(self.starts),
            role: app::Role::All,
            rush: Rush::default(),
            faults: Vec::new(),
        };
        App::start(settings, path, world).await
    }

    /// The server itself.
    ///
    /// # Panics
    /// If it is stopped.
    pub fn app(&self) -> &App {
        self.app.as_ref().expect("a running server")
    }

    /// Where webhooks are sent to.
    pub fn ingest(&self) -> SocketAddr {
        self.app().ingest.as_ref().expect("a front door").address
    }

    /// The database that its configuration names.
    ///
    /// # Panics
    /// If the configuration has mistakes.
    pub fn database(&self) -> Database {
        config::read(&self.path(CONFIG)).settings.expect("a configuration").storage.database
    }

    /// A path in the world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    // --- before the server ---

    /// A request of a source's provider under a fresh event id, signed now.
    pub fn delivery(&self, source: &str, event_type: &str) -> Delivery {
        let id = format!("evt_test_{}", self.sent.fetch_add(1, Ordering::Relaxed));
        self.sender(source).delivery(event_type, &id, self.clock.now())
    }

    /// The sender of a source.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn sender(&self, source: &str) -> &Sender {
        self.senders.get(source).unwrap_or_else(|| panic!("no source {source}"))
    }

    /// Sends a request as it is.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn deliver(&self, delivery: &Delivery) -> Answer {
        self.try_deliver(delivery).await.expect("an answer")
    }

    /// Sends a request as it is, where there may be no answer.
    ///
    /// # Errors
    /// No answer came.
    pub async fn try_deliver(&self, delivery: &Delivery) -> Result<Answer, NoAnswer> {
        within("an answer", self.wire.send(self.ingest(), delivery)).await
    }

    /// Sends an event of this type and gives its id.
    pub async fn send(&self, source: &str, event_type: &str) -> EventId {
        self.deliver(&self.delivery(source, event_type)).await.event()
    }

    /// Sends a body to a source, and gives its event's id.
    pub async fn send_body(&self, source: &str, body: &serde_json::Value) -> EventId {
        self.deliver(&self.sender(source).delivery_of(body.to_string(), self.clock.now())).await.event()
    }

    /// Asks the admin API, with its token: `GET /events`, `POST /dead-letters/replay {…}`.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn admin(&self, request: &str) -> Answer {
        let (method, rest) = request.split_once(' ').expect("a method");
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        self.ask_admin(method, path, body.to_owned().into()).await
    }

    /// Loads a plugin through the admin API.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn load(&self, plugin: &str, wasm: Vec<u8>) -> Answer {
        self.ask_admin("PUT", &format!("/plugins/{plugin}"), wasm.into()).await
    }

    async fn ask_admin(&self, method: &str, path: &str, body: Bytes) -> Answer {
        let token = std::fs::read_to_string(self.path(TOKEN_FILE)).expect("a token file");
        let mut headers = Headers::default();
        headers.push("authorization", format!("Bearer {}", token.trim()));
        headers.push("content-type", "application/json");
        let method = method.parse::<Method>().expect("a method");
        let request = Delivery { method, path: format!("/api/v1{path}"), headers, body };
        within("an answer", self.wire.send(self.app().admin.address, &request)).await.expect("an answer")
    }

    /// What a command of the real binary prints when it talks to this server: stdout, and stderr where it fails.
    ///
    /// # Panics
    /// If it cannot be run.
    pub async fn command(&self, arguments: &[&str]) -> String {
        let (url, token) = (format!("http://{}", self.app().admin.address), self.path(TOKEN_FILE));
        let mut command = Command::new(binary());
        command.args(arguments).args(["--url", &url, "--token-file"]).arg(token).stdin(Stdio::null());
        // The server that answers runs on this very thread.
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("a process");
        let told = if output.status.success() { output.stdout } else { output.stderr };
        String::from_utf8_lossy(&told).into_owned()
    }

    /// All metrics, as Prometheus reads them.
    ///
    /// # Panics
    /// If no answer comes.
    pub async fn metrics(&self) -> String {
        let (headers, body) = (Headers::default(), Bytes::new());
        let request = Delivery { method: Method::GET, path: "/metrics".into(), headers, body };
        within("the metrics", self.wire.send(self.app().admin.address, &request)).await.expect("an answer").body
    }

    // --- the server's work ---

    /// Runs until the queue is quiet: nothing runs and nothing is due.
    ///
    /// # Panics
    /// If it never is.
    pub async fn settle(&self) {
        let mut commits = self.app().store.commits();
        within("the queue to be quiet", async {
            loop {
                commits.borrow_and_update();
                let counts = self.counts().await;
                if counts.running == 0 && counts.due == 0 {
                    break;
                }
                commits.changed().await.expect("the store lives");
            }
        })
        .await;
    }

    /// Moves time, and runs what has become due.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.settle().await;
    }

    /// The state of the queue.
    ///
    /// # Panics
    /// If the store cannot be read.
    pub async fn counts(&self) -> JobCounts {
        self.app().store.job_counts().await.expect("counts")
    }

    /// An event with all that became of it.
    ///
    /// # Panics
    /// If there is none.
    pub async fn event(&self, id: EventId) -> EventView {
        self.app().store.event(id).await.expect("an event").expect("an event of this id")
    }

    /// Compares an event's attempts: when, what the upstream said, what it came to, what next.
    ///
    /// # Panics
    /// If they are others.
    pub async fn check_attempts(&self, id: EventId, expected: Expect) {
        let event = self.event(id).await;
        let mut table = String::new();
        for attempt in &event.attempts {
            let _ = writeln!(table, "{}", line(attempt));
        }
        for job in &event.jobs {
            let reason = job.reason.as_ref().filter(|_| job.state != JobState::Done).map(|reason| format!(": {reason}"));
            let _ = writeln!(table, "{} is {}{}", job.route, job.state, reason.unwrap_or_default());
        }
        expected.assert_eq(&table);
    }

    /// The refusals of a source as status, cause and sentence, oldest first.
    pub async fn refusals(&self, source: &str) -> Vec<String> {
        let answer = self.admin(&format!("GET /requests?source={source}")).await.json();
        let rows = answer["data"].as_array().expect("a list").iter().rev();
        rows.map(|row| format!("{} {}: {}", row["status"], row["cause"].as_str().unwrap_or(""), row["detail"].as_str().unwrap_or("")))
            .collect()
    }

    // --- its files ---

    /// Publishes a plugin's file.
    pub fn publish(&self, plugin: &str, wasm: &[u8]) {
        self.directory.write(&format!("plugins/{plugin}.wasm"), wasm);
    }

    /// Takes a plugin's file away.
    pub fn withdraw(&self, plugin: &str) {
        self.directory.remove(&format!("plugins/{plugin}.wasm"));
    }

    /// What is known of a plugin.
    pub fn plugin(&self, name: &str) -> Option<PluginStatus> {
        self.app().plugins.statuses().into_iter().find(|status| status.name.as_str() == name)
    }

    /// Waits until what is known of a plugin is as wished.
    pub async fn until_plugin(&self, name: &str, is_so: impl Fn(&PluginStatus) -> bool) {
        eventually(&format!("plugin {name}"), async || self.plugin(name).is_some_and(|status| is_so(&status))).await;
    }

    /// Edits the configuration file.
    pub fn configure_anew(&mut self, edit: impl FnOnce(&str) -> String) {
        self.file = edit(&self.file);
        self.directory.write(CONFIG, &self.file);
    }

    /// Adds a source, by an edit of the file, and waits until the server has it.
    pub async fn add_source(&mut self, source: Source) {
        self.configure_anew(|file| format!("{file}\n{}", source.section()));
        self.senders.insert(source.name.clone(), sender(&source));
        eventually("the new source", async || self.app().current.load().settings.sources.contains_key(source.name.as_str())).await;
    }

    // --- its end ---

    /// Stops the server as a signal would.
    pub async fn stop(&mut self) {
        let app = self.app.take().expect("a running server");
        within("the shutdown", app.shutdown()).await;
    }

    /// Starts it again on the same directory.
    pub async fn start_again(&mut self) {
        self.boot().await;
    }

    /// Ends the story in the middle, with whatever is left.
    pub fn kill(mut self) {
        drop(self.app.take());
    }

    /// Ends the story, with no job left.
    pub async fn finish(self) {
        self.finish_with("").await;
    }

    /// Ends the story with these jobs left, as in `1 parked, 2 dead`.
    ///
    /// # Panics
    /// If others are, or if a server logged an error that no story provokes.
    pub async fn finish_with(mut self, left: &str) {
        self.settle().await;
        let JobCounts { ready, running, waiting, parked, dead, .. } = self.counts().await;
        let counts = [(ready, "ready"), (running, "running"), (waiting, "waiting"), (parked, "parked"), (dead, "dead")];
        let found: Vec<_> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
        assert_eq!(found.join(", "), left, "jobs are left behind");
        self.stop().await;
        assert_eq!(logs::unexpected_errors(), Vec::<String>::new());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(self.app.is_none() || std::thread::panicking(), "a story ends with `finish`");
    }
}

fn line(attempt: &AttemptView) -> String {
    let calls = attempt.calls.iter().map(|call| match (call.status, &call.fault) {
        (Some(status), _) => status.to_string(),
        (None, fault) => fault.clone().unwrap_or_default(),
    });
    let calls: Vec<_> = calls.collect();
    let at = attempt.started_at.since(BEGINNING).as_secs();
    let mut words = vec![attempt.attempt.to_string(), format!("at {at}s"), format!("[{}]", calls.join(" ")), attempt.outcome.clone()];
    words.extend(attempt.failure.clone());
    words.extend(attempt.retry_at.map(|due| format!("after {}s", due.since(attempt.started_at).as_secs())));
    words.extend(attempt.detail.as_ref().map(|detail| format!("— {detail}")));
    words.join(" ")
}
