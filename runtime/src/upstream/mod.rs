//! Outbound HTTP by upstream name: address, credentials, time limits and what may cross are the operator's, not the plugin's.
//! The only module that opens outbound connections. It must never follow a redirect, dial an address it has not checked, or let a
//! secret, a body or an internal error into a log line, a journal row or a plugin.

mod address;
mod base_url;
mod connector;
mod credentials;
mod exchange;
mod fault;
mod fetch;
mod header;
mod path;
mod request;
mod settings;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{CallFault, CallFaultKind, CallRecord, Lineage, OutboundAnswer, OutboundRequest, Timestamp, UpstreamName};
use connector::{Connector, Guard};
use credentials::Credentials;
use exchange::{Bounds, HttpClient};

pub use address::is_public;
pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use fetch::{fetch, fetch_public};
pub use settings::{Auth, Timeouts, UpstreamSettings};
pub use signature::standard_webhooks_key;

/// All configured upstreams, each with its own client and pool of connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Upstreams(Arc<HashMap<UpstreamName, Arc<Upstream>>>);

struct Upstream {
    settings: UpstreamSettings,
    credentials: Credentials,
    client: HttpClient,
}

/// On whose behalf a call is made.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// What idempotency keys hang on.
    pub lineage: Lineage,
    /// Wall-clock time, for the timestamp of signed calls.
    pub now: Timestamp,
}

/// Why upstreams cannot be built; the operator has to change something.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The credentials cannot be sent.
    #[error("[upstreams.{upstream}] auth: {reason}")]
    Auth { upstream: UpstreamName, reason: &'static str },
    /// An `https` upstream, and nothing to check certificates against.
    #[error(
        "[upstreams.{upstream}] is https, but this machine has no trusted root certificates; install ca-certificates or set SSL_CERT_FILE"
    )]
    Roots { upstream: UpstreamName, source: io::Error },
}

impl Upstreams {
    /// Builds a client for each upstream; connects to none. Where two have the same name the last one counts.
    /// For each `https` upstream it reads the machine's root certificates, which blocks for some 10 ms.
    ///
    /// # Errors
    /// Credentials that no header can carry, or no root certificates for an `https` upstream.
    pub fn new(settings: impl IntoIterator<Item = UpstreamSettings>) -> Result<Self, UpstreamError> {
        Self::default().reloaded(settings)
    }

    /// The upstreams of a new configuration. Those whose settings did not change keep their client and its open connections.
    ///
    /// # Errors
    /// As [`Self::new`]; `self` stays usable.
    pub fn reloaded(&self, settings: impl IntoIterator<Item = UpstreamSettings>) -> Result<Self, UpstreamError> {
        let build = |settings: UpstreamSettings| {
            let kept = self.0.get(&settings.name).filter(|old| old.settings == settings).cloned();
            let name = settings.name.clone();
            let upstream = kept.map_or_else(|| Upstream::new(settings).map(Arc::new), Ok)?;
            Ok((name, upstream))
        };
        let upstreams: Result<_, UpstreamError> = settings.into_iter().map(build).collect();
        Ok(Self(Arc::new(upstreams?)))
    }

    /// Makes one call and tells how it went, for the journal. Any HTTP status is an answer; a fault is that none came.
    /// Dropping the future ends the call; what was sent by then stays sent.
    pub async fn call(&self, request: OutboundRequest, context: &CallContext) -> (Result<OutboundAnswer, CallFault>, CallRecord) {
        let started = Instant::now();
        let mut record = opened_record(&request, context);
        let result = match self.0.get(request.upstream.as_str()) {
            Some(upstream) => upstream.call(request, context).await,
            None => Err(unknown_upstream(&record.upstream)),
        };
        match &result {
            Ok(answer) => record.status = Some(answer.status),
            Err(fault) => record.fault = Some(fault.kind.code().into()),
        }
        record.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        (result, record)
    }
}

impl Upstream {
    fn new(settings: UpstreamSettings) -> Result<Self, UpstreamError> {
        let upstream = &settings.name;
        let credentials =
            Credentials::prepare(&settings.auth).map_err(|reason| UpstreamError::Auth { upstream: upstream.clone(), reason })?;
        let guard = if settings.allow_private { Guard::Anywhere } else { Guard::PublicOnly };
        let connector = Connector::new(settings.base.is_https(), guard, settings.timeouts.connect)
            .map_err(|source| UpstreamError::Roots { upstream: upstream.clone(), source })?;
        Ok(Self { credentials, client: exchange::client(connector), settings })
    }

    async fn call(&self, asked: OutboundRequest, context: &CallContext) -> Result<OutboundAnswer, CallFault> {
        let bounds = self.bounds(&asked);
        let request = request::prepare(asked, &self.settings.base, &self.credentials, context)
            .map_err(|message| CallFault::new(CallFaultKind::InvalidRequest, message))?;
        exchange::exchange(&self.client, request, bounds).await.map_err(|broken| {
            let name = &self.settings.name;
            let allow = format!("if it is meant to be there, its operator sets `allow_private = true` under [upstreams.{name}]");
            broken.fault(&format!("upstream `{name}`"), &allow)
        })
    }

    fn bounds(&self, asked: &OutboundRequest) -> Bounds {
        let timeouts = &self.settings.timeouts;
        let total = asked.timeout.map_or(timeouts.total, |own| own.min(timeouts.total));
        Bounds { read: timeouts.read, total, answer_bytes_max: self.settings.response_bytes_max }
    }
}

fn unknown_upstream(name: &str) -> CallFault {
    CallFault::new(CallFaultKind::UnknownUpstream, format!("no upstream has the name {name:?}; its operator adds it under [upstreams]"))
}

/// The journal's row before the call; names and methods may be anything a plugin made up, so they are cut.
fn opened_record(request: &OutboundRequest, context: &CallContext) -> CallRecord {
    CallRecord {
        upstream: request.upstream.chars().take(64).collect(),
        method: request.method.chars().take(16).collect(),
        path: path::without_values(&request.path),
        step: request.step.as_ref().map(ToString::to_string),
        idempotency_key: request.step.as_ref().map(|step| request::idempotency_key(context, step)),
        status: None,
        fault: None,
        ms: 0,
    }
}
