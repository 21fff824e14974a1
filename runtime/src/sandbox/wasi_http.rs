//! `wasi:http/outgoing-handler`, for languages whose HTTP library needs it: a URL below a granted upstream's base becomes a call of that
//! upstream, under the same policy as any other; everything else is denied, and the attempt's log says why.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http_body_util::{BodyExt, Full, Limited};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::guest::{Handling, Powers, Work};
use super::host::{opened_record, short};
use super::outside::{Called, Outside};
use crate::domain::{CallFault, CallFaultKind, CallRecord, Grant, Headers, OutboundAnswer, OutboundRequest, Step};

/// The header by which a request is a step; it is not sent.
const STEP: &str = "hookfast-step";
/// The largest body of a request.
const BODY_BYTES_MAX: usize = 4 << 20;
/// So many requests of a run are under way at once; others wait.
const AT_ONCE: usize = 4;
/// So many bytes all bodies of responses of a run may have together.
const ANSWERED_BYTES_MAX: usize = 64 << 20;
/// So many refusals are told in the log.
const REFUSALS_MAX: usize = 16;

type Sending = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send>;
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What an instance has of HTTP.
#[derive(Default)]
pub(super) struct WasiHttp {
    way_out: Option<WayOut>,
    /// How many requests the run has made, also those that went by `upstream.call`.
    pub(super) made: usize,
    /// What was refused and why, for the log.
    pub(super) refusals: Vec<String>,
}

/// Where the requests of a run go.
struct WayOut {
    outside: Arc<dyn Outside>,
    grant: Arc<Grant>,
    calls: Arc<Mutex<Vec<CallRecord>>>,
    turns: Arc<Semaphore>,
    answered: Arc<AtomicUsize>,
}

impl WasiHttp {
    /// For one run of a handler; a plugin that describes itself, or proves a request, reaches nothing.
    pub(super) fn of(powers: Option<&Powers>) -> Self {
        let way_out = match powers {
            Some(Powers { work: Work::Handle(Handling { outside, .. }), grant, .. }) => Some(WayOut {
                outside: Arc::clone(outside),
                grant: Arc::clone(grant),
                calls: Arc::default(),
                turns: Arc::new(Semaphore::new(AT_ONCE)),
                answered: Arc::default(),
            }),
            _ => None,
        };
        Self { way_out, ..Self::default() }
    }

    /// The calls that were made, for the journal.
    pub(super) fn calls(&mut self) -> Vec<CallRecord> {
        let calls = self.way_out.as_ref().map(|way_out| std::mem::take(&mut *lock(&way_out.calls)));
        calls.unwrap_or_default()
    }

    /// The upstream and the path below its base that a request is for, and the way there.
    fn permitted(&mut self, uri: &http::Uri) -> Result<(String, String, &WayOut), String> {
        let Some(way_out) = &self.way_out else { return Err("no HTTP request is made now".into()) };
        let shown = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |authority| authority.as_str()));
        let Some((upstream, path)) = way_out.outside.upstream_at(uri, &way_out.grant.upstreams) else {
            return Err(format!(
                "HTTP request to {} denied: it is below the URL of no upstream that is granted to this plugin",
                short(&shown, 200)
            ));
        };
        if self.made >= way_out.grant.limits.calls as usize {
            return Err(format!("HTTP request denied: an attempt may make {} calls", way_out.grant.limits.calls));
        }
        self.made += 1;
        Ok((upstream, path, way_out))
    }
}

impl WasiHttpHooks for WasiHttp {
    fn send_request(&mut self, request: http::Request<WasiBody>, options: Option<RequestOptions>, _: Io) -> Sending {
        let (head, body) = request.into_parts();
        let (upstream, path, way_out) = match self.permitted(&head.uri) {
            Ok(permitted) => permitted,
            Err(reason) => {
                if self.refusals.len() < REFUSALS_MAX {
                    self.refusals.push(reason);
                }
                return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
            }
        };
        let (outside, calls) = (Arc::clone(&way_out.outside), Arc::clone(&way_out.calls));
        let (turns, answered) = (Arc::clone(&way_out.turns), Arc::clone(&way_out.answered));
        Box::new(async move {
            let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Error::HttpRequestBodySize(None))?.to_bytes();
            let asked = outbound(&head, upstream, path, body, options)?;
            // Written down before it is made, as any call: the attempt may end while the answer is out.
            let row = {
                let mut calls = lock(&calls);
                calls.push(opened_record(&asked.upstream, &asked.method, &asked.path, asked.step.as_ref().map(Step::as_str)));
                calls.len() - 1
            };
            let (answer, record): Called = outside.call(asked).await;
            if let Some(row) = lock(&calls).get_mut(row) {
                *row = record;
            }
            match answer {
                Ok(answer) if answered.fetch_add(answer.body.len(), Ordering::Relaxed) > ANSWERED_BYTES_MAX => {
                    Err(Error::HttpResponseBodySize(None))
                }
                Ok(answer) => Ok((response(answer)?, Box::new(std::future::ready(Ok(()))) as Io)),
                Err(fault) => Err(error(&fault)),
            }
        })
    }
}

fn lock(calls: &Mutex<Vec<CallRecord>>) -> std::sync::MutexGuard<'_, Vec<CallRecord>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outbound(
    head: &http::request::Parts,
    upstream: String,
    path: String,
    body: Bytes,
    options: Option<RequestOptions>,
) -> Result<OutboundRequest, Error> {
    let bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut headers = Headers::with_capacity(head.headers.len(), bytes);
    let mut step = None;
    for (name, value) in &head.headers {
        match name.as_str() {
            STEP => {
                let named = value.to_str().ok().and_then(|text| text.parse().ok());
                step = Some(named.ok_or_else(|| Error::InternalError(Some("hookfast-step is 1 to 64 of a-z A-Z 0-9 _ . -".into())))?);
            }
            // What the host says of the connection and the body is its own.
            _ if [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) => {}
            text => headers.push(text, value.as_bytes()),
        }
    }
    let timeout = options.and_then(|options| total(&options));
    Ok(OutboundRequest { upstream, method: head.method.to_string(), path, headers, body, timeout, step })
}

/// The host knows one bound on the whole call.
fn total(options: &RequestOptions) -> Option<Duration> {
    let RequestOptions { connect_timeout, first_byte_timeout, between_bytes_timeout: _ } = options;
    first_byte_timeout.map(|first_byte| first_byte + connect_timeout.unwrap_or_default())
}

fn response(answer: OutboundAnswer) -> Result<http::Response<WasiBody>, Error> {
    let mut response = http::Response::builder().status(answer.status);
    for (name, value) in answer.headers.iter() {
        response = response.header(name, value);
    }
    if let Some(age) = answer.stale_for {
        // RFC 9111 §5.1.
        response = response.header("age", age.as_secs()).header("hookfast-stale", "true");
    }
    let body = Full::new(answer.body).map_err(Error::from).boxed_unsync();
    response.body(body).map_err(|_| Error::HttpProtocolError)
}

/// The code that comes nearest, and the sentence where there is room for one.
fn error(fault: &CallFault) -> Error {
    match fault.kind {
        CallFaultKind::Timeout if fault.may_have_happened => Error::HttpResponseTimeout,
        CallFaultKind::Timeout => Error::ConnectionTimeout,
        CallFaultKind::Connect => Error::DestinationUnavailable,
        CallFaultKind::Reset => Error::ConnectionTerminated,
        CallFaultKind::Tls => Error::TlsProtocolError,
        CallFaultKind::ResponseTooLarge => Error::HttpResponseBodySize(None),
        CallFaultKind::PrivateAddress => Error::DestinationIpProhibited,
        CallFaultKind::NotGranted | CallFaultKind::UnknownUpstream => Error::HttpRequestDenied,
        kind => Error::InternalError(Some(format!("{}: {}", kind.code(), fault.message))),
    }
}
