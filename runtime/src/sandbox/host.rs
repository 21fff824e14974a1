//! The imports that a plugin is offered. Each charges the meter first, so that a flood of calls ends the attempt.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::bindings::imports::{clock, config, log, random, types, upstream};
use super::guest::{Guest, Handling, Powers, Work};
use super::outside::Outside;
use crate::domain::{
    CallFault, CallFaultKind, CallRecord, Grant, Headers, LogLevel, LogLine, OutboundAnswer, OutboundRequest, Step, shown_path,
};

const RANDOM_BYTES_MAX: u32 = 65_536;

/// The plugin used an import while it only described itself.
#[derive(Debug, thiserror::Error)]
#[error("imports are refused while a plugin describes itself")]
struct NotNow;

/// The plugin asked for more random bytes than one call gives.
#[derive(Debug, thiserror::Error)]
#[error("random.bytes gives at most 65,536 bytes a call")]
struct TooManyRandomBytes;

impl Guest {
    pub(super) fn powers(&mut self, bytes: usize) -> wasmtime::Result<&mut Powers> {
        self.meter.host_call(bytes)?;
        Ok(self.powers.as_mut().ok_or(NotNow)?)
    }
}

impl types::Host for Guest {}

impl log::Host for Guest {
    fn write(&mut self, level: u8, message: String, fields: types::Attributes) -> wasmtime::Result<()> {
        let fields_bytes: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.powers(message.len() + fields_bytes)?;
        let level = match level {
            0 | 1 => LogLevel::Error,
            2 => LogLevel::Warn,
            3 => LogLevel::Info,
            4 => LogLevel::Debug,
            _ => LogLevel::Trace,
        };
        let fields = fields.into_iter().map(|(key, value)| (without_nul(key), without_nul(value))).collect();
        self.log.push(LogLine { level, message: without_nul(message), fields });
        Ok(())
    }
}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.powers(key.len())?.grant.config.get(&key).cloned())
    }
}

impl clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.powers(0)?.now.as_millis().unsigned_abs())
    }

    fn remaining(&mut self) -> wasmtime::Result<u64> {
        let left = self.powers(0)?.ends_at.saturating_duration_since(Instant::now());
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

impl random::Host for Guest {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        let powers = self.powers(0)?;
        if length > RANDOM_BYTES_MAX {
            return Err(TooManyRandomBytes.into());
        }
        let mut bytes = vec![0; length as usize];
        powers.random.fill(&mut bytes[..]);
        Ok(bytes)
    }
}

impl upstream::Host for Guest {
    async fn call(&mut self, request: upstream::Outgoing) -> wasmtime::Result<Result<upstream::Response, upstream::Fault>> {
        let made = self.http.made;
        let headers: usize = request.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
        self.meter.host_call(request.body.len() + request.path.len() + headers)?;
        let powers = self.powers.as_mut().ok_or(NotNow)?;
        let limit = powers.grant.limits.calls as usize;
        // Written down before it is made: the attempt may end, and the row with it, while the answer is out.
        let row = opened_record(&request.upstream, &request.method, &request.path, request.step.as_deref());
        let (answer, record) = match check(powers, made, &request) {
            Ok((step, outside)) => {
                let call = outside.call(outbound(request, step));
                self.calls.push(row);
                let called = call.await;
                self.calls.pop();
                called
            }
            Err(fault) => (Err(fault.clone()), CallRecord { fault: Some(fault.kind.code().into()), ..row }),
        };
        self.meter.waited();
        // A call past the limit is refused and leaves one row, however often it is tried.
        let is_recorded = record.recorded;
        if made <= limit {
            self.http.made += 1;
            self.calls.push(record);
        }
        Ok(answer.map(|answer| to_response(answer, is_recorded)).map_err(|fault| to_fault(&fault)))
    }

    async fn begin(&mut self, step: String) -> wasmtime::Result<Result<String, upstream::Fault>> {
        let powers = self.powers(step.len())?;
        let step: Result<Step, _> = step.parse();
        let standing = match (&powers.work, step) {
            (Work::Handle(Handling { outside, .. }), Ok(step)) => outside.begin(step).await,
            (Work::Handle(_), Err(fault)) => Err(fault),
            (Work::Admit(_), _) => Err(CallFault::new(CallFaultKind::NotGranted, NOT_WHILE_ADMITTING)),
        };
        self.meter.waited();
        Ok(standing.map(|standing| standing.as_str().to_owned()).map_err(|fault| to_fault(&fault)))
    }
}

const NOT_WHILE_ADMITTING: &str = "no upstream is called while a request waits for its answer";

/// Checks what only the sandbox knows, the grant and the number of calls; gives the step, if the call is one, and the way out.
fn check<'p>(powers: &'p Powers, made: usize, request: &upstream::Outgoing) -> Result<(Option<Step>, &'p dyn Outside), CallFault> {
    let Work::Handle(Handling { outside, .. }) = &powers.work else {
        return Err(CallFault::new(CallFaultKind::NotGranted, NOT_WHILE_ADMITTING));
    };
    let Grant { upstreams, limits, .. } = &*powers.grant;
    if !upstreams.contains(request.upstream.as_str()) {
        let name = short(&request.upstream, 64);
        return Err(CallFault::new(CallFaultKind::NotGranted, format!("upstream `{name}` is not granted to this plugin")));
    }
    if request.headers.iter().any(|header| header.name.len() > HEADER_NAME_BYTES_MAX) {
        return Err(CallFault::new(CallFaultKind::InvalidRequest, "a header's name is longer than 1 KiB"));
    }
    if made >= limits.calls as usize {
        return Err(CallFault::new(CallFaultKind::TooManyCalls, format!("an attempt may make {} calls", limits.calls)));
    }
    Ok((request.step.as_deref().map(str::parse).transpose()?, &**outside))
}

/// Longer than any name in use; what all headers may have together is the upstream's to say.
const HEADER_NAME_BYTES_MAX: usize = 1 << 10;

fn outbound(request: upstream::Outgoing, step: Option<Step>) -> OutboundRequest {
    OutboundRequest {
        upstream: request.upstream,
        method: request.method,
        path: request.path,
        headers: from_guest(request.headers),
        body: request.body.into(),
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        step,
    }
}

pub(super) fn from_guest(given: Vec<types::Header>) -> Headers {
    let bytes = given.iter().map(|header| header.name.len() + header.value.len()).sum();
    let mut headers = Headers::with_capacity(given.len(), bytes);
    for header in given {
        headers.push(&header.name.to_ascii_lowercase(), header.value);
    }
    headers
}

/// The journal's row of a call that has no answer yet, and perhaps never gets one.
pub(super) fn opened_record(upstream: &str, method: &str, path: &str, step: Option<&str>) -> CallRecord {
    CallRecord {
        upstream: short(upstream, 64),
        method: short(method, 16),
        path: shown_path(path),
        step: step.map(|step| short(step, 64)),
        idempotency_key: None,
        status: None,
        fault: Some("unfinished".into()),
        recorded: false,
        ms: 0,
    }
}

pub(super) fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn to_response(answer: OutboundAnswer, is_recorded: bool) -> upstream::Response {
    let headers = answer.headers.iter().map(|(name, value)| types::Header { name: name.into(), value: value.into() }).collect();
    let recorded = is_recorded.then(|| ("recorded".to_owned(), "true".to_owned()));
    let stale = answer.stale_for.map(|age| ("stale-ms".to_owned(), age.as_millis().to_string()));
    upstream::Response { status: answer.status, headers, body: answer.body.into(), attributes: recorded.into_iter().chain(stale).collect() }
}

fn to_fault(fault: &CallFault) -> upstream::Fault {
    let class = ("class".to_owned(), fault.class().code().to_owned());
    let retry_after = fault.retry_after.map(|after| ("retry-after-ms".to_owned(), after.as_millis().to_string()));
    let attributes = std::iter::once(class).chain(retry_after).collect();
    upstream::Fault { code: fault.kind.code().into(), message: fault.message.clone(), attributes }
}

/// Guest text loses NUL at the sandbox: not every database can store it.
pub(super) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text }
}
