//! Everything the test host knows: the script, what was sent and logged, and the journal of steps.

use super::Answer;
use crate::bindings::hookfast::plugin::upstream::Outgoing;
use crate::event::find_header;
use crate::{Event, Header, Plugin};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
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
    journal: HashMap<String, Answer>,
    lineage: String,
    attempt: u32,
    steps: HashSet<String>,
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
            journal: HashMap::new(),
            lineage: String::new(),
            attempt: 0,
            steps: HashSet::new(),
        }
    }

    pub(super) fn script(&mut self, method: &str, upstream: &str, path: &str, answers: Vec<Answer>) {
        let request = (method.to_owned(), upstream.to_owned(), path.to_owned());
        self.script.entry(request).or_default().extend(answers);
    }

    pub(super) fn begin(&mut self, event: &Event) {
        self.lineage = format!("{}.{}", event.id, self.plugin.name());
        self.attempt = event.attempt;
        self.steps.clear();
    }

    pub(super) fn call(&mut self, outgoing: &Outgoing) -> Answer {
        if let Some(problem) = self.refuse(outgoing) {
            return Answer::fault_with("invalid_request", problem);
        }
        let key = outgoing.step.as_ref().map(|step| format!("{}/{step}", self.lineage));
        if let Some(remembered) = key.as_ref().and_then(|key| self.journal.get(key)) {
            return remembered.clone();
        }
        let answer = self.answer(outgoing);
        self.sent.push(Sent::new(outgoing, key.as_deref()));
        if let Some(key) = key.filter(|_| answer.is_final()) {
            self.journal.insert(key, answer.clone());
        }
        answer
    }

    /// What the real host answers with `invalid_request`.
    fn refuse(&mut self, outgoing: &Outgoing) -> Option<String> {
        if !outgoing.path.starts_with('/') {
            return Some(format!("path `{}` does not start with `/`", outgoing.path));
        }
        let step = outgoing.step.as_ref()?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if !(1..=64).contains(&step.len()) || !step.bytes().all(is_allowed) {
            return Some(format!("step `{step}` is not 1 to 64 of `a-z A-Z 0-9 _ . -`"));
        }
        (!self.steps.insert(step.clone())).then(|| format!("step `{step}` is used twice in one attempt"))
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
        let block = |index: u32| {
            let mut hasher = DefaultHasher::new();
            (&self.lineage, self.attempt, index).hash(&mut hasher);
            hasher.finish().to_le_bytes()
        };
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
