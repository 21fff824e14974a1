//! The imports that a plugin is offered. Each charges the meter first, so that a flood of calls ends the attempt.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::bindings::hookfast::plugin::{clock, config, log, random, types, upstream};
use super::guest::{Guest, Powers};
use crate::domain::{CallFault, CallFaultKind, CallRecord, Headers, LogLevel, LogLine, OutboundAnswer, OutboundRequest};

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
    fn powers(&mut self, bytes: usize) -> wasmtime::Result<&mut Powers> {
        self.meter.host_call(bytes)?;
        Ok(self.powers.as_mut().ok_or(NotNow)?)
    }
}

impl types::Host for Guest {}

impl log::Host for Guest {
    fn write(&mut self, level: u8, message: String, fields: types::Attributes) -> wasmtime::Result<()> {
        self.powers(message.len())?;
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
        let calls = self.calls.len();
        let powers = self.powers(request.body.len())?;
        let (answer, record) = match admit(powers, calls, request) {
            Ok(request) => (powers.caller)(request).await,
            Err((fault, record)) => (Err(fault), record),
        };
        self.calls.push(record);
        Ok(answer.map(to_response).map_err(to_fault))
    }
}

/// Checks what only the sandbox knows: the grant and the number of calls.
fn admit(powers: &Powers, calls: usize, request: upstream::Outgoing) -> Result<OutboundRequest, (CallFault, CallRecord)> {
    let granted = powers.grant.upstreams.contains(request.upstream.as_str());
    let refused = |kind: CallFaultKind, message: String| {
        let record = CallRecord {
            upstream: request.upstream.chars().take(64).collect(),
            method: request.method.chars().take(16).collect(),
            path: String::new(),
            step: None,
            idempotency_key: None,
            status: None,
            fault: Some(kind.code().into()),
            ms: 0,
        };
        (CallFault::new(kind, message), record)
    };
    if !granted {
        let message = format!("upstream `{}` is not granted to this plugin", request.upstream);
        return Err(refused(CallFaultKind::NotGranted, message));
    }
    if calls >= powers.grant.limits.calls as usize {
        return Err(refused(CallFaultKind::TooManyCalls, format!("an attempt may make {} calls", powers.grant.limits.calls)));
    }
    let step = request.step.as_deref().map(str::parse).transpose();
    let step = step.map_err(|fault: CallFault| refused(fault.kind, fault.message))?;
    Ok(OutboundRequest {
        headers: request.headers.into_iter().map(|header| (header.name, header.value.into())).collect::<Vec<_>>().as_headers(),
        upstream: request.upstream,
        method: request.method,
        path: request.path,
        body: request.body.into(),
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        step,
    })
}

trait AsHeaders {
    fn as_headers(&self) -> Headers;
}

impl AsHeaders for Vec<(String, bytes::Bytes)> {
    fn as_headers(&self) -> Headers {
        self.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
    }
}

fn to_response(answer: OutboundAnswer) -> upstream::Response {
    let headers = answer.headers.iter().map(|(name, value)| types::Header { name: name.into(), value: value.into() }).collect();
    upstream::Response { status: answer.status, headers, body: answer.body.into() }
}

fn to_fault(fault: CallFault) -> upstream::Fault {
    upstream::Fault { code: fault.kind.code().into(), message: fault.message, attributes: Vec::new() }
}

/// Guest text loses NUL at the sandbox: not every database can store it.
pub(super) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text }
}
