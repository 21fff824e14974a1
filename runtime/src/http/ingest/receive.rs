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
    Answer, Headers, NewEvent, RawRequest, Refusal, RefusalCause, RequestId, SourceName, SourceUsage, Timestamp, Verified,
};
use crate::http::listen::Incoming;
use crate::store::Admitted;
use crate::verify::{Identity, Part};

/// Receives a request from this address.
pub(super) async fn receive(door: Arc<FrontDoor>, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
    let mut visit = Visit::new(door, peer);
    match visit.receive(request).await {
        Ok(receipt) => {
            visit.count(&receipt);
            visit.door.metrics.request(visit.source_name(), receipt.result());
            receipt.into_response(visit.source.as_ref().map_or(&HeaderMap::new(), |source| &source.answer_headers))
        }
        Err(cause) => visit.refuse(cause),
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
    received_at: Timestamp,
    body_bytes: usize,
    /// The request whose proof did not hold.
    unproven: Option<RawRequest>,
    /// What its body may take of the memory for bodies, until it is answered.
    share: Option<Share>,
}

impl Visit {
    fn new(door: Arc<FrontDoor>, peer: IpAddr) -> Self {
        let received_at = door.clock.now();
        Self { door, peer, source: None, usage: None, received_at, body_bytes: 0, unproven: None, share: None }
    }

    async fn receive(&mut self, request: Request<Incoming>) -> Result<Receipt, RefusalCause> {
        let name = request.uri().path().strip_prefix("/in/").ok_or(RefusalCause::UnknownSource)?;
        let in_force = self.door.current.load();
        let source = in_force.settings.sources.get(name).cloned().ok_or(RefusalCause::UnknownSource)?;
        self.source = Some(Arc::clone(&source));
        self.usage = in_force.usage(&source.name).cloned();
        let (head, body) = request.into_parts();
        self.check_head(&head, &source)?;
        let encodings = head.headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
        let encoding = decode::encoding(encodings, &source)?;
        if let Some(limiter) = in_force.limiter(&source.name) {
            limiter.take(self.received_at).map_err(|retry_after| RefusalCause::RateLimited { retry_after })?;
        }
        // Not kept while a body is on its way: another configuration may come into force meanwhile.
        drop(in_force);
        let body = self.read_body(&head, body, &source).await?;
        // Shutdown may have begun while the body was on its way.
        if self.door.draining.is_cancelled() {
            return Err(RefusalCause::Draining);
        }
        let mut request = raw_request(&head, body, self.received_at);
        if let Some(adapter) = &source.adapter {
            // A box, as for a handshake's visit below: what few requests need is no part of the future that each of them is.
            return Box::pin(self.ask(&source, adapter, request)).await;
        }
        if let Some(answer) = source.verifier.handshake(&request, None, self.received_at) {
            let answer = answer?;
            if let (Some(usage), Some(secret)) = (&self.usage, &answer.offered) {
                info!(source = %source.name, "a secret was offered; `hookfast sources show` shows it");
                usage.offer(secret.clone(), self.received_at);
            }
            return Ok(Receipt::Handshake(answer));
        }
        if request.method != "POST" {
            return Err(RefusalCause::MethodNotAllowed);
        }
        let proven = match self.door.keys.supply(&source, &request, self.received_at).await {
            Ok(()) => source.verifier.verify(&request, self.received_at),
            Err(cause) => Err(cause),
        };
        let verified = match proven {
            Ok(verified) => verified,
            Err(cause) => {
                self.unproven = Some(request);
                return Err(cause);
            }
        };
        self.count_secret(&verified);
        if let Some(encoding) = encoding {
            decode::unwrap(&mut request, encoding, source.max_body)?;
        }
        if let Some(answer) = source.verifier.handshake(&request, Some(&verified), self.received_at) {
            let answer = answer?;
            Box::pin(keys::visit(&source, &answer)).await?;
            return Ok(Receipt::Handshake(answer));
        }
        self.admit(&source, request, &verified).await
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
        match body::declared_length(&head.headers) {
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

    async fn read_body(&mut self, head: &Parts, body: Incoming, source: &Source) -> Result<Bytes, RefusalCause> {
        let declared = body::declared_length(&head.headers);
        let most = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(source.max_body);
        self.share = Some(self.door.budget.take(most).ok_or(RefusalCause::Busy)?);
        let read = body::read(body, declared.unwrap_or(0), source.max_body);
        let body = tokio::time::timeout(self.door.body_timeout, read).await.map_err(|_| RefusalCause::BodyTimeout)??;
        self.body_bytes = body.len();
        Ok(body)
    }

    /// From here on the sender's disconnect changes nothing: the commit is on its way.
    async fn admit(&self, source: &Source, request: RawRequest, verified: &Verified) -> Result<Receipt, RefusalCause> {
        let admitted = admission::admit(&self.door.store, &self.door.random, source, request, verified).await?;
        Ok(Receipt::Stored { admitted, usual: source.answer.clone() })
    }

    /// Stores the events of a request that a plugin has proven, and receives them once they are synced.
    pub(super) async fn store(&self, source: &Source, events: Vec<NewEvent>, usual: Answer) -> Result<Receipt, RefusalCause> {
        let admitted = admission::store(&self.door.store, source, events).await?;
        Ok(Receipt::Stored { admitted, usual })
    }

    pub(super) fn event(&self, source: &Source, request: RawRequest, identity: Identity, part: Option<Part>) -> NewEvent {
        let id = self.door.store.event_id(self.received_at, self.door.random.bytes());
        admission::event(id, source, request, identity, part)
    }

    fn count_secret(&self, verified: &Verified) {
        if let (Some(usage), Some(held)) = (&self.usage, verified.held) {
            usage.prove(held.secret, self.received_at);
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

    fn refuse(self, cause: RefusalCause) -> Response<Body> {
        self.door.metrics.request(self.source_name(), cause.code());
        self.usage.iter().for_each(|usage| usage.counts().refuse());
        debug!(source = ?self.source_name(), cause = cause.code(), "refused");
        let response = answer::refused(&cause);
        let refusal = Refusal {
            id: RequestId::new(self.received_at, self.door.random.bytes()),
            source: self.source_name().cloned(),
            at: self.received_at,
            cause,
            body_bytes: self.body_bytes,
            headers: None,
            diagnosis: None,
        };
        let evidence = self.source.zip(self.unproven).map(|(source, request)| Evidence { source, request });
        self.door.refusals.push(refusal, evidence);
        response
    }
}

fn raw_request(head: &Parts, body: Bytes, received_at: Timestamp) -> RawRequest {
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
    RawRequest { method: head.method.as_str().to_owned(), target, headers, body, received_at }
}
