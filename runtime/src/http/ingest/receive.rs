//! One webhook from head to answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use tracing::{debug, info};

use super::FrontDoor;
use super::answer::{self, Body, Receipt};
use super::budget::Share;
use super::client_address::client_address;
use super::refusals::Evidence;
use super::{admission, body, decode, keys};
use crate::config::{Networks, Source};
use crate::domain::{
    Answer, ContentEncoding, Headers, NewEvent, RawRequest, Refusal, RefusalCause, RequestId, SourceName, SourceUsage, Timestamp, Verified,
};
use crate::http::listen::Incoming;
use crate::store::Admitted;
use crate::verify::{HandshakeAnswer, Identity, Part};

/// Receives a request from this address. What its head says is looked at before there is a future, so that this one, of which each request
/// has one, is small.
pub(super) fn receive(
    door: Arc<FrontDoor>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> impl Future<Output = Response<Body>> + Send + 'static {
    let (head, body) = request.into_parts();
    let mut visit = Visit::new(door, peer);
    let opened = visit.open(&head);
    drop(head);
    async move {
        let received = match opened {
            Ok(source) => visit.receive(&source, body).await,
            Err(cause) => Err(cause),
        };
        visit.answer(received)
    }
}

/// One request on its way through the door.
pub(super) struct Visit {
    pub(super) door: Arc<FrontDoor>,
    /// Who is connected.
    peer: IpAddr,
    source: Option<Arc<Source>>,
    /// What is counted of that source.
    pub(super) usage: Option<Arc<SourceUsage>>,
    /// Empty until the head is found to be in order, but for the time; its body until that is read; and all again once its events are made.
    pub(super) request: RawRequest,
    encoding: Option<ContentEncoding>,
    declared_length: Option<u64>,
    body_bytes: usize,
    /// Whether the proof of the request did not hold.
    is_unproven: bool,
    /// What its body may take of the memory for bodies, until it is answered.
    share: Option<Share>,
}

impl Visit {
    fn new(door: Arc<FrontDoor>, peer: IpAddr) -> Self {
        let request = RawRequest::empty(door.clock.now());
        Self {
            door,
            peer,
            source: None,
            usage: None,
            request,
            encoding: None,
            declared_length: None,
            body_bytes: 0,
            is_unproven: false,
            share: None,
        }
    }

    /// All that can be said before the body is read.
    fn open(&mut self, head: &Parts) -> Result<Arc<Source>, RefusalCause> {
        let name = head.uri.path().strip_prefix("/in/").ok_or(RefusalCause::UnknownSource)?;
        let in_force = self.door.current.load();
        let source = in_force.settings.sources.get(name).cloned().ok_or(RefusalCause::UnknownSource)?;
        self.source = Some(Arc::clone(&source));
        self.usage = in_force.usage(&source.name).cloned();
        self.declared_length = body::declared_length(&head.headers);
        self.check_head(head, &source)?;
        let encodings = head.headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
        self.encoding = decode::encoding(encodings, &source)?;
        if let Some(limiter) = in_force.limiter(&source.name) {
            limiter.take(self.request.received_at).map_err(|retry_after| RefusalCause::RateLimited { retry_after })?;
        }
        let most = self.declared_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(source.max_body);
        self.share = Some(self.door.budget.take(most).ok_or(RefusalCause::Busy)?);
        self.request = raw_request(head, self.request.received_at);
        Ok(source)
    }

    // What few requests need is boxed, and so no part of the future that each of them is.
    async fn receive(&mut self, source: &Arc<Source>, body: Incoming) -> Result<Receipt, RefusalCause> {
        self.read_body(source, body).await?;
        // Shutdown may have begun while the body was on its way.
        if self.door.draining.is_cancelled() {
            return Err(RefusalCause::Draining);
        }
        if let Some(adapter) = &source.adapter {
            return Box::pin(self.ask(source, adapter)).await;
        }
        if let Some(answer) = source.verifier.handshake(&self.request, None, self.request.received_at) {
            return answer.map(|answer| self.answer_handshake(source, answer));
        }
        if self.request.method != "POST" {
            return Err(RefusalCause::MethodNotAllowed);
        }
        if source.verifier.fetches() {
            let supplied = Box::pin(self.door.keys.supply(source, &self.request, self.request.received_at)).await;
            supplied.inspect_err(|_| self.is_unproven = true)?;
        }
        let verified = source.verifier.verify(&self.request, self.request.received_at);
        let verified = verified.inspect_err(|_| self.is_unproven = true)?;
        self.count_secret(&verified);
        if let Some(encoding) = self.encoding {
            decode::unwrap(&mut self.request, encoding, source.max_body)?;
        }
        if let Some(answer) = source.verifier.handshake(&self.request, Some(&verified), self.request.received_at) {
            let answer = answer?;
            Box::pin(keys::visit(source, &answer)).await?;
            return Ok(Receipt::Handshake(answer));
        }
        let events = admission::events(&self.door.store, &self.door.random, source, &mut self.request, &verified)?;
        // Not kept while the commit is waited for.
        drop(verified);
        // From here on the sender's disconnect changes nothing: the commit is on its way.
        self.store(source, events, source.answer.clone()).await
    }

    fn answer_handshake(&self, source: &Source, answer: HandshakeAnswer) -> Receipt {
        if let (Some(usage), Some(secret)) = (&self.usage, &answer.offered) {
            info!(source = %source.name, "a secret was offered; `hookfast sources show` shows it");
            usage.offer(secret.clone(), self.request.received_at);
        }
        Receipt::Handshake(answer)
    }

    fn check_head(&self, head: &Parts, source: &Source) -> Result<(), RefusalCause> {
        // What a plugin's provider asks by is the plugin's to say.
        let is_open = source.adapter.is_some() && [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS].contains(&head.method);
        if head.method != Method::POST && !is_open && !source.verifier.asks_by(head.method.as_str()) {
            return Err(RefusalCause::MethodNotAllowed);
        }
        if self.door.draining.is_cancelled() {
            return Err(RefusalCause::Draining);
        }
        if let Some(allowed) = &source.allow_from {
            self.check_address(head, allowed)?;
        }
        match self.declared_length {
            Some(length) if length > source.max_body as u64 => Err(RefusalCause::BodyTooLarge { limit: source.max_body }),
            _ => Ok(()),
        }
    }

    fn check_address(&self, head: &Parts, allowed: &Networks) -> Result<(), RefusalCause> {
        let client = client_address(self.peer, &head.headers, &self.door.proxies);
        if client.is_some_and(|client| allowed.contain(client)) {
            return Ok(());
        }
        let address = client.map_or_else(|| "an address that the proxy does not tell".into(), |client| client.to_string());
        Err(RefusalCause::AddressNotAllowed { address })
    }

    async fn read_body(&mut self, source: &Source, body: Incoming) -> Result<(), RefusalCause> {
        let read = body::read(body, self.declared_length.unwrap_or(0), source.max_body);
        self.request.body = tokio::time::timeout(self.door.body_timeout, read).await.map_err(|_| RefusalCause::BodyTimeout)??;
        self.body_bytes = self.request.body.len();
        Ok(())
    }

    /// Stores the events of the request; they are received once they are synced.
    pub(super) async fn store(&self, source: &Source, events: Vec<NewEvent>, usual: Answer) -> Result<Receipt, RefusalCause> {
        let admitted = admission::store(&self.door.store, source, events).await?;
        Ok(Receipt::Stored { admitted, usual })
    }

    pub(super) fn event(&self, source: &Source, request: RawRequest, identity: Identity, part: Option<Part>) -> NewEvent {
        let id = self.door.store.event_id(request.received_at, self.door.random.bytes());
        admission::event(id, source, request, identity, part)
    }

    fn count_secret(&self, verified: &Verified) {
        if let (Some(usage), Some(held)) = (&self.usage, verified.held) {
            usage.prove(held.secret, self.request.received_at);
        }
    }

    fn count(&self, receipt: &Receipt) {
        let (Some(usage), Receipt::Stored { admitted, .. }) = (&self.usage, receipt) else { return };
        admitted.iter().for_each(|admitted| match admitted {
            Admitted::New(_) => usage.counts().accept(),
            Admitted::Duplicate { .. } => usage.counts().recognise(),
        });
    }

    fn source_name(&self) -> Option<&SourceName> {
        self.source.as_ref().map(|source| &source.name)
    }

    fn answer(self, received: Result<Receipt, RefusalCause>) -> Response<Body> {
        match received {
            Ok(receipt) => {
                self.count(&receipt);
                self.door.metrics.request(self.source_name(), receipt.result());
                receipt.into_response(self.source.as_ref().map_or(&HeaderMap::new(), |source| &source.answer_headers))
            }
            Err(cause) => self.refuse(cause),
        }
    }

    fn refuse(self, cause: RefusalCause) -> Response<Body> {
        self.door.metrics.request(self.source_name(), cause.code());
        self.usage.iter().for_each(|usage| usage.counts().refuse());
        debug!(source = ?self.source_name(), cause = cause.code(), "refused");
        let response = answer::refused(&cause);
        let refusal = Refusal {
            id: RequestId::new(self.request.received_at, self.door.random.bytes()),
            source: self.source_name().cloned(),
            at: self.request.received_at,
            cause,
            body_bytes: self.body_bytes,
            headers: None,
            diagnosis: None,
        };
        let evidence = self.source.filter(|_| self.is_unproven).map(|source| Evidence { source, request: self.request });
        self.door.refusals.push(refusal, evidence);
        response
    }
}

/// A request without its body.
fn raw_request(head: &Parts, received_at: Timestamp) -> RawRequest {
    let bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut headers = Headers::with_capacity(head.headers.len(), bytes);
    for (name, value) in &head.headers {
        headers.push(name.as_str(), value);
    }
    // HTTP/2 has it beside the headers (RFC 9113 §8.3.1).
    if let (Some(authority), false) = (head.uri.authority(), head.headers.contains_key(header::HOST)) {
        headers.push("host", authority.as_str());
    }
    let target = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    RawRequest { method: head.method.as_str().to_owned(), target, headers, body: Bytes::new(), received_at }
}
