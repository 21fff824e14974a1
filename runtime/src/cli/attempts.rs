//! The attempts of an event as a person reads them: each with how it ended, its calls and its log lines.

use serde::Deserialize;

use super::output::{plain, plain_lines};
use super::time::{Times, measured};
use crate::domain::CallRecord;

/// One attempt, as far as it is shown.
#[derive(Deserialize)]
pub(super) struct Attempt {
    pub(super) route: String,
    attempt: u32,
    digest: String,
    started_at: String,
    duration_us: u64,
    outcome: String,
    failure: Option<String>,
    detail: Option<String>,
    retry_at: Option<String>,
    #[serde(default)]
    calls: Vec<CallRecord>,
    #[serde(default)]
    log: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    level: String,
    message: String,
    #[serde(default)]
    fields: Vec<(String, String)>,
}

/// Writes attempts one after the other, indented, under a heading; nothing where there are none.
pub(super) fn write<'a>(attempts: impl Iterator<Item = &'a Attempt>, times: Times) -> String {
    let text = attempts.map(|attempt| attempt.write(times)).collect::<String>();
    if text.is_empty() { text } else { format!("\nATTEMPTS\n{text}") }
}

impl Attempt {
    fn write(&self, times: Times) -> String {
        let Self { route, attempt, outcome, duration_us, .. } = self;
        let started = times.write(&self.started_at);
        let mut text = format!("  {route} #{attempt}  {outcome}  {started}  took {}\n", measured(*duration_us));
        let mut line = |name: &str, value: &str| text.push_str(&format!("    {name:8}{value}\n"));
        let words = [self.failure.as_deref(), self.detail.as_deref()].into_iter().flatten().map(plain);
        let why = words.collect::<Vec<_>>().join(": ");
        if !why.is_empty() {
            line(if self.failure.is_some() { "failed" } else { "note" }, &why);
        }
        self.retry_at.iter().for_each(|at| line("next", &times.write(at)));
        self.calls.iter().for_each(|call| line("call", &written_call(call)));
        self.log.iter().for_each(|logged| line("log", &logged.write()));
        line("code", &self.digest);
        text
    }
}

impl Line {
    fn write(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("  {}={}", plain(name), plain(value))).collect::<String>();
        let message = plain_lines(&self.message).replace('\n', "\n            ");
        format!("{:5}  {message}{fields}", self.level)
    }
}

fn written_call(call: &CallRecord) -> String {
    let CallRecord { upstream, method, path, status, fault, ms, idempotency_key, recorded, .. } = call;
    let answer = status.map(|status| status.to_string()).or_else(|| fault.clone()).unwrap_or_default();
    let key = idempotency_key.as_ref().map(|key| format!("\n              Idempotency-Key: {key}")).unwrap_or_default();
    let took = if *recorded { "from the journal, not sent".to_owned() } else { format!("{ms} ms") };
    format!("{}  {} {}  {answer}  {took}{key}", plain(upstream), plain(method), plain(path))
}
