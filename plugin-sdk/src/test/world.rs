//! Everything the test host knows: the script, what was sent and logged, the journal of steps, state and effects.

use super::journal::Journal;
use super::kept::{Conflict, Kept};
use super::outbox::Outbox;
use super::{Answer, digest, fault};
use crate::bindings::hookfast::plugin::{effects, types, upstream::Outgoing};
use crate::event::find_header;
use crate::{Event, Header, Plugin};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

/// 2026-01-01 00:00:00 UTC; a fixed time, so that a test means the same tomorrow.
pub(super) const NOW_MS: u64 = 1_767_225_600_000;

type Method = String;
type Upstream = String;
type Path = String;

#[derive(Debug)]
pub(crate) struct World {
    pub(super) config: HashMap<String, String>,
    /// Of the source: name and text.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) now_ms: u64,
    pub(super) remaining: Duration,
    pub(super) sent: Vec<Sent>,
    pub(super) logs: Vec<LogLine>,
    /// Calls that nobody scripted: mistakes of the test or of the plugin, never an outcome.
    pub(super) unexpected: Vec<String>,
    plugin: &'static Plugin,
    script: HashMap<(Method, Upstream, Path), VecDeque<Answer>>,
    journal: Journal,
    kept: Kept,
    pub(super) outbox: Outbox,
    /// Upstreams, targets or `state` that the operator does not grant.
    pub(super) refused: HashSet<String>,
    doing: Doing,
    lineage: String,
    attempt: u32,
}

/// What the plugin is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Handling,
    Admitting,
}

impl World {
    pub(super) fn new(plugin: &'static Plugin) -> Self {
        Self {
            config: HashMap::new(),
            secrets: Vec::new(),
            now_ms: NOW_MS,
            remaining: Duration::from_secs(30),
            sent: Vec::new(),
            logs: Vec::new(),
            unexpected: Vec::new(),
            plugin,
            script: HashMap::new(),
            journal: Journal::default(),
            kept: Kept::default(),
            outbox: Outbox::default(),
            refused: HashSet::new(),
            doing: Doing::Handling,
            lineage: String::new(),
            attempt: 0,
        }
    }

    pub(super) fn script(&mut self, method: &str, upstream: &str, path: &str, answers: Vec<Answer>) {
        let request = (method.to_owned(), upstream.to_owned(), path.to_owned());
        self.script.entry(request).or_default().extend(answers);
    }

    pub(super) fn start_run(&mut self, event: &Event) {
        self.doing = Doing::Handling;
        self.lineage = format!("{}.{}", event.id, self.plugin.name());
        self.attempt = event.attempt;
        self.journal.start_run();
        self.kept.start_run();
        self.outbox.start_run(&self.lineage, event);
    }

    pub(super) fn start_admitting(&mut self) {
        self.doing = Doing::Admitting;
    }

    /// Makes what the run wrote, emitted and handed over true.
    pub(super) fn commit(&mut self) -> Result<(), Conflict> {
        self.kept().commit()?;
        self.outbox.commit();
        Ok(())
    }

    pub(super) fn call(&mut self, outgoing: &Outgoing) -> Result<types::Response, types::Fault> {
        self.granted(&outgoing.upstream)?;
        if !outgoing.path.starts_with('/') {
            return Err(fault("invalid_request", format!("path `{}` does not start with `/`", outgoing.path)));
        }
        let Some(step) = &outgoing.step else { return self.send(outgoing, None).0 };
        if let Some(recorded) = self.journal.replay(&self.lineage, step, outgoing)? {
            return recorded.0;
        }
        let answer = self.send(outgoing, Some(&format!("{}/{step}", self.lineage)));
        self.journal.record(&self.lineage, step, outgoing, &answer);
        answer.0
    }

    fn send(&mut self, outgoing: &Outgoing, idempotency_key: Option<&str>) -> Answer {
        let answer = self.answer(outgoing);
        self.sent.push(Sent::new(outgoing, idempotency_key));
        answer
    }

    pub(super) fn begin(&mut self, step: &str) -> Result<String, types::Fault> {
        self.handling()?;
        self.journal.begin(&self.lineage, step)
    }

    pub(super) fn state(&mut self) -> Result<&mut Kept, types::Fault> {
        self.granted("state")?;
        Ok(self.kept())
    }

    /// The state, at the present time.
    pub(super) fn kept(&mut self) -> &mut Kept {
        self.kept.now_ms = self.now_ms;
        &mut self.kept
    }

    pub(super) fn committed_state(&self, key: &str) -> Option<&[u8]> {
        self.kept.committed(key, self.now_ms)
    }

    pub(super) fn emit(&mut self, event: &effects::NewEvent) -> Result<String, types::Fault> {
        self.granted(&event.target)?;
        self.outbox.emit(event)
    }

    pub(super) fn deliver(&mut self, request: &effects::Delivery) -> Result<String, types::Fault> {
        self.granted(&request.upstream)?;
        self.outbox.deliver(request)
    }

    fn granted(&self, name: &str) -> Result<(), types::Fault> {
        self.handling()?;
        if self.refused.contains(name) { Err(fault("not_granted", format!("`{name}` is not granted to this plugin"))) } else { Ok(()) }
    }

    fn handling(&self) -> Result<(), types::Fault> {
        let refusal = || fault("not_granted", "upstreams, state and effects are not there while a request waits for its answer".to_owned());
        (self.doing == Doing::Handling).then_some(()).ok_or_else(refusal)
    }

    fn answer(&mut self, outgoing: &Outgoing) -> Answer {
        let Outgoing { method, upstream, path, .. } = outgoing;
        if !self.plugin.upstreams().contains(&upstream.as_str()) {
            self.unexpected.push(format!("`{upstream}` is not among the plugin's `upstreams`"));
            return Answer::fault("not_granted");
        }
        let request = (method.clone(), upstream.clone(), path.clone());
        self.script.get_mut(&request).and_then(VecDeque::pop_front).unwrap_or_else(|| {
            self.unexpected.push(format!("no answer is left for {method} {upstream} {path}"));
            Answer::fault("connect")
        })
    }

    /// The same for the same attempt of the same job, another for every other.
    pub(super) fn random(&self, length: u32) -> Vec<u8> {
        let block = |index: u32| digest(&(&self.lineage, self.attempt, index)).to_le_bytes();
        (0..length.div_ceil(8)).flat_map(block).take(length as usize).collect()
    }
}

/// A request as the upstream got it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sent {
    /// The upstream's name.
    pub upstream: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// With the `idempotency-key` that the host sets.
    pub headers: Vec<Header>,
    /// The bytes of the body.
    pub body: Vec<u8>,
    /// The handler's own limit, if it set one.
    pub timeout: Option<Duration>,
}

impl Sent {
    fn new(outgoing: &Outgoing, idempotency_key: Option<&str>) -> Self {
        let key = idempotency_key.map(|key| Header::new("idempotency-key", key));
        Self {
            upstream: outgoing.upstream.clone(),
            method: outgoing.method.clone(),
            path: outgoing.path.clone(),
            headers: outgoing.headers.iter().cloned().map(Header::from).chain(key).collect(),
            body: outgoing.body.clone(),
            timeout: outgoing.timeout_ms.map(|timeout| Duration::from_millis(timeout.into())),
        }
    }

    /// The first header of that name (any case), if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// The body is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the request's body is the JSON that the test expects")
    }
}

/// A line that the plugin logged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u8,
    /// The text.
    pub message: String,
    /// Named values.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    pub(super) fn new(level: u8, message: &str, fields: &[(String, String)]) -> Self {
        Self { level, message: message.to_owned(), fields: fields.to_vec() }
    }
}
