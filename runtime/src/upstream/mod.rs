//! Outbound HTTP by upstream name: address, credentials, time limits and what may cross are the operator's, not the plugin's.
//! The only module that opens outbound connections. It must never follow a redirect out of an upstream, dial an address it has not checked, or let a
//! secret, a body or an internal error into a log line, a journal row or a plugin.

mod address;
mod attempt;
mod base_url;
mod connector;
mod credentials;
mod exchange;
mod fault;
mod faults;
mod fetch;
mod gate;
mod guarded;
mod header;
mod hmac_signature;
mod oauth;
mod path;
mod policies;
mod redirect;
mod request;
mod settings;
mod signature;
mod stale;
mod tls;
mod tokens;
mod trace_context;
mod view;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use crate::domain::{
    CallFault, CallFaultKind, CallRecord, Lineage, OutboundAnswer, OutboundRequest, PluginName, Step, Timestamp, UpstreamName,
};
use connector::{Connector, Guard};
use credentials::Credentials;
use exchange::HttpClient;
use faults::Mischief;
use gate::Gate;
use stale::Remembered;
use tls::UnusableTls;
use tokens::{Endpoint, Tokens};
use trace_context::TraceContext;

pub use address::is_public;
pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use faults::{Faults, InjectedFault, PlannedFault, When};
pub use fetch::{fetch, fetch_public};
pub use gate::{Refused, UpstreamChange, UpstreamState};
pub use hmac_signature::{HmacAlgorithm, HmacEncoding, HmacSigning, SigningTemplate};
pub use oauth::{ClientAuthentication, OAuth, token_url};
pub use path::check as check_path;
pub use policies::{BreakerPolicy, Policies};
pub use settings::{Auth, Timeouts, UpstreamSettings};
pub use signature::standard_webhooks_key;
pub use tls::{Identity, Tls};
pub use view::UpstreamView;

/// All configured upstreams, each with its own client and pool of connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Upstreams(Arc<HashMap<UpstreamName, Arc<Upstream>>>);

struct Upstream {
    settings: UpstreamSettings,
    credentials: Credentials,
    /// Where the credentials are tokens.
    tokens: Option<Tokens>,
    client: HttpClient,
    remembered: Option<Remembered>,
    mischief: Option<Arc<Mischief>>,
    gate: Gate,
}

/// On whose behalf a call is made.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who calls: what one plugin was answered is remembered for no other.
    pub plugin: PluginName,
    /// What idempotency keys hang on.
    pub lineage: Lineage,
    /// How often the step, or the delivery, was replayed after a recorded failure.
    pub replays: u32,
    /// Wall-clock time, for the timestamp of signed calls.
    pub now: Timestamp,
}

impl CallContext {
    /// The `Idempotency-Key` of a call that has one.
    fn idempotency_key(&self, step: Option<&Step>) -> Option<String> {
        self.lineage.idempotency_key(step, self.replays)
    }
}

/// Why upstreams cannot be built; the operator has to change something.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The credentials cannot be sent.
    #[error("[upstreams.{upstream}] auth: {reason}")]
    Auth { upstream: UpstreamName, reason: &'static str },
    /// The operator's own certificates cannot be used.
    #[error("[upstreams.{upstream}] tls: {reason}")]
    Tls { upstream: UpstreamName, reason: &'static str },
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

    /// The upstreams of a new configuration. Those whose settings did not change keep their client with its open connections, and what is
    /// held against them; of the others that is forgotten.
    ///
    /// # Errors
    /// As [`Self::new`]; `self` stays usable.
    pub fn reloaded(&self, settings: impl IntoIterator<Item = UpstreamSettings>) -> Result<Self, UpstreamError> {
        let build = |settings: UpstreamSettings| {
            let (name, before) = (settings.name.clone(), self.0.get(&settings.name));
            let upstream = match before.filter(|before| before.settings == settings) {
                Some(unchanged) => Arc::clone(unchanged),
                None => Arc::new(Upstream::new(settings, before.map(AsRef::as_ref))?),
            };
            Ok((name, upstream))
        };
        let upstreams: Result<_, UpstreamError> = settings.into_iter().map(build).collect();
        Ok(Self(Arc::new(upstreams?)))
    }

    /// The upstream of these whose base is before a URL, the longest where several are; and the rest of that URL.
    pub fn at(&self, url: &http::Uri, of: &BTreeSet<UpstreamName>) -> Option<(String, String)> {
        let rest = |name: &UpstreamName| Some((name.to_string(), self.0.get(name)?.settings.base.rest_of(url)?));
        of.iter().filter_map(rest).min_by_key(|(_, rest)| rest.len())
    }

    /// Makes one call and tells how it went, for the journal. Any HTTP status is an answer; a fault is that none came.
    /// Dropping the future ends the call; what was sent by then stays sent.
    pub async fn call(&self, request: OutboundRequest, context: &CallContext) -> (Result<OutboundAnswer, CallFault>, CallRecord) {
        let started = Instant::now();
        let mut record = opened_record(&request, context);
        let trace = TraceContext::of(context);
        let span = info_span!("call", upstream = record.upstream, method = record.method, path = record.path, span = trace.span());
        let request = OutboundRequest { headers: trace.put(&request.headers), ..request };
        let result = match self.0.get(request.upstream.as_str()) {
            Some(upstream) => upstream.call(request, context, &mut record).instrument(span).await,
            None => {
                let unknown = Err(unknown_upstream(&record.upstream));
                note(&unknown, &mut record);
                unknown
            }
        };
        record.ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        (result, record)
    }

    /// How many jobs that wait for this upstream to wake now: none while it takes no calls, a few while it is probed, more and more while
    /// it recovers, at most as many as its limits have room for. All of them where no upstream has this name: they find out.
    pub fn takes(&self, name: &UpstreamName, now: Timestamp) -> u32 {
        self.0.get(name).map_or(u32::MAX, |upstream| upstream.gate.room(now))
    }

    /// Forgets all that is held against an upstream: its next calls are made. `false` where no upstream has this name.
    pub fn reset(&self, name: &str) -> bool {
        let upstream = self.0.get(name);
        upstream.iter().for_each(|upstream| upstream.gate.reset());
        upstream.is_some()
    }

    /// One upstream as the API shows it; `None` where no upstream has this name.
    pub fn view(&self, name: &str, now: Timestamp) -> Option<UpstreamView> {
        self.0.get(name).map(|upstream| upstream.view(now))
    }

    /// All upstreams as the API shows them, by name, each with the latest changes of its state.
    pub fn views(&self, now: Timestamp) -> Vec<UpstreamView> {
        let mut views: Vec<_> = self.0.values().map(|upstream| upstream.view(now)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }
}

impl Upstream {
    /// Where it had other settings `before`, what was counted goes on, and a refresh token that was given is not forgotten.
    fn new(settings: UpstreamSettings, before: Option<&Self>) -> Result<Self, UpstreamError> {
        let upstream = &settings.name;
        let bad_auth = |reason| UpstreamError::Auth { upstream: upstream.clone(), reason };
        let credentials = Credentials::prepare(&settings.auth).map_err(bad_auth)?;
        let guard = if settings.allow_private { Guard::Anywhere } else { Guard::PublicOnly };
        let client = |is_https| {
            let connector = Connector::new(is_https, &settings.tls, guard, settings.timeouts.connect);
            connector.map(exchange::client).map_err(|unusable| match unusable {
                UnusableTls::Roots(source) => UpstreamError::Roots { upstream: upstream.clone(), source },
                UnusableTls::Own(reason) => UpstreamError::Tls { upstream: upstream.clone(), reason },
            })
        };
        let mischief = Mischief::new(&settings.faults, upstream).map(Arc::new);
        let tokens = match &settings.auth {
            Auth::OAuth(oauth) => {
                let client = client(oauth.is_https())?;
                let endpoint = Endpoint { client, timeouts: settings.timeouts, allow: settings.how_to_allow(), mischief: mischief.clone() };
                let before = before.filter(|before| before.settings.auth == settings.auth).and_then(|before| before.tokens.as_ref());
                Some(Tokens::new(oauth.clone(), upstream.clone(), endpoint, before))
            }
            _ => None,
        };
        Ok(Self {
            credentials,
            tokens,
            client: client(settings.base.is_https())?,
            remembered: settings.stale_if_error.map(Remembered::new),
            mischief,
            gate: Gate::new(&settings, before.map(|before| &before.gate)),
            settings,
        })
    }

    async fn call(&self, asked: OutboundRequest, context: &CallContext, record: &mut CallRecord) -> Result<OutboundAnswer, CallFault> {
        // A delivery has to arrive: no remembered answer stands in for that.
        let remembered = self.remembered.as_ref().filter(|_| !context.lineage.route.is_delivery());
        let key = remembered.and_then(|remembered| Some((remembered, Remembered::key(&asked, context)?)));
        let result = self.guarded(asked, context).await;
        note(&result, record);
        match key {
            Some((remembered, key)) => remembered.settle(key, result),
            None => result,
        }
    }
}

/// What came of the call itself, whatever stands in for it.
fn note(result: &Result<OutboundAnswer, CallFault>, record: &mut CallRecord) {
    match result {
        Ok(answer) => record.status = Some(answer.status),
        Err(fault) => record.fault = Some(fault.kind.code().into()),
    }
}

fn unknown_upstream(name: &str) -> CallFault {
    CallFault::new(CallFaultKind::UnknownUpstream, format!("no upstream has the name {name:?}; its operator adds it under [upstreams]"))
}

/// The journal's row before the call; names and methods may be anything a plugin made up, so they are cut.
pub fn opened_record(request: &OutboundRequest, context: &CallContext) -> CallRecord {
    CallRecord {
        upstream: request.upstream.chars().take(64).collect(),
        method: request.method.chars().take(16).collect(),
        path: path::without_values(&request.path),
        step: request.step.as_ref().map(ToString::to_string),
        idempotency_key: context.idempotency_key(request.step.as_ref()),
        status: None,
        fault: None,
        recorded: false,
        ms: 0,
    }
}
