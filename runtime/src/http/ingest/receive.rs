//! One webhook from head to answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use bytes::Bytes;
use tracing::{debug, error};

use super::FrontDoor;
use super::answer::{self, Receipt};
use super::budget::Share;
use super::client_address::client_address;
use super::{body, decode};
use crate::config::{Networks, Source};
use crate::domain::{
    Answer, ContentEncoding, Event, Headers, NewEvent, RawRequest, Refusal, RefusalCause, RequestId, SourceName, SourceUsage, Timestamp,
    Verified,
};
use crate::http::listen::Peer;
use crate::store::{AdmitError, Admitted};
use crate::verify::{Identity, Part};

/// `POST /in/{source}`; any other path is no source's. Without axum's matching of paths, which costs more than a map of sources.
pub(super) async fn receive(State(door): State<FrontDoor>, request: Request) -> Response {
    let mut visit = Visit::new(door);
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
    pub(super) door: FrontDoor,
    source: Option<Arc<Source>>,
    /// What is counted of that source.
    pub(super) usage: Option<Arc<SourceUsage>>,
    received_at: Timestamp,
    body_bytes: usize,
    /// What its body may take of the memory for bodies, until it is answered.
    share: Option<Share>,
}

impl Visit {
    fn new(door: FrontDoor) -> Self {
        let received_at = door.clock.now();
        Self { door, source: None, usage: None, received_at, body_bytes: 0, share: None }
    }

    async fn receive(&mut self, request: Request) -> Result<Receipt, RefusalCause> {
        let name = request.uri().path().strip_prefix("/in/").ok_or(RefusalCause::UnknownSource)?;
        let in_force = self.door.current.load();
        let source = in_force.settings.sources.get(name).cloned().ok_or(RefusalCause::UnknownSource)?;
        self.source = Some(Arc::clone(&source));
        self.usage = in_force.usage(&source.name).cloned();
        let (head, body) = request.into_parts();
        self.check_head(&head, &source)?;
        let encoding = encoding(&head.headers, &source)?;
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
            return self.ask(&source, adapter, request).await;
        }
        if let Some(answer) = source.verifier.handshake(&request, None, self.received_at) {
            return answer.map(Receipt::Handshake);
        }
        if request.method != "POST" {
            return Err(RefusalCause::MethodNotAllowed);
        }
        self.door.keys.supply(&source, &request, self.received_at).await?;
        let verified = source.verifier.verify(&request, self.received_at)?;
        self.count_secret(&verified);
        if let Some(encoding) = encoding {
            decode::unwrap(&mut request, encoding, source.max_body)?;
        }
        if let Some(answer) = source.verifier.handshake(&request, Some(&verified), self.received_at) {
            return answer.map(Receipt::Handshake);
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
        let client = head.extensions.get().and_then(|Peer(peer)| client_address(*peer, &head.headers, &self.door.proxies));
        if client.is_some_and(|client| allowed.contain(client)) {
            return Ok(());
        }
        let address = client.map_or_else(|| "an address that the proxy does not tell".into(), |client| client.to_string());
        Err(RefusalCause::AddressNotAllowed { address })
    }

    async fn read_body(&mut self, head: &Parts, body: Body, source: &Source) -> Result<Bytes, RefusalCause> {
        let declared = body::declared_length(&head.headers);
        let most = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(source.max_body);
        self.share = Some(self.door.budget.take(most).ok_or(RefusalCause::Busy)?);
        let read = body::read(body, declared.unwrap_or(0), source.max_body);
        let body = tokio::time::timeout(self.door.body_timeout, read).await.map_err(|_| RefusalCause::BodyTimeout)??;
        self.body_bytes = body.len();
        Ok(body)
    }

    /// From here on the sender's disconnect changes nothing: the commit is on its way.
    async fn admit(&self, source: &Arc<Source>, mut request: RawRequest, verified: &Verified) -> Result<Receipt, RefusalCause> {
        source.verifier.redact(&mut request, verified);
        let bodies = source.verifier.split(&request.body)?;
        let mut events = Vec::with_capacity(bodies.len());
        for (body, part) in bodies {
            request.body = body;
            let identity = source.verifier.identify(&request, verified);
            events.push(self.event(source, &request, identity, part));
        }
        self.store(source, events, source.answer.clone()).await
    }

    /// Stores the events of a proven request, and receives them once they are synced.
    pub(super) async fn store(&self, source: &Source, events: Vec<NewEvent>, usual: Answer) -> Result<Receipt, RefusalCause> {
        let first = events.first().map(|new| new.event.id);
        match self.door.store.admit(events).await {
            Ok(admitted) => {
                debug!(event = ?first, source = %source.name, bytes = self.body_bytes, events = admitted.len(), "stored");
                Ok(Receipt::Stored { admitted, usual })
            }
            Err(AdmitError::Saturated) => Err(RefusalCause::Saturated),
            Err(AdmitError::Unstorable(error)) => {
                error!(event = ?first, source = %source.name, %error, "the database refuses this event");
                Err(RefusalCause::Unstorable)
            }
        }
    }

    pub(super) fn event(&self, source: &Source, request: &RawRequest, identity: Identity, part: Option<Part>) -> NewEvent {
        let key = source.verifier.dedupe_key(&source.name, request, &identity, source.dedupe, part);
        let ordering = source.verifier.ordering_key(&source.name, &identity, source.skip_after);
        let (dedupe_key, key) = key.unzip();
        let routes = source.routes.iter().filter(|route| route.takes(identity.event_type.as_deref())).cloned().collect();
        let event = Event {
            id: self.door.store.event_id(self.received_at, self.door.random.bytes()),
            source: source.name.clone(),
            event_type: identity.event_type,
            dedupe_key,
            received_at: self.received_at,
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        NewEvent { event: Arc::new(event), key, ordering, answer: source.answer.clone(), routes }
    }

    fn count_secret(&self, verified: &Verified) {
        if let (Some(usage), Some(source), Some(held)) = (&self.usage, self.source_name(), verified.held)
            && usage.prove(held.secret, self.received_at)
        {
            self.door.metrics.secret_use(source, held.secret);
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

    fn refuse(self, cause: RefusalCause) -> Response {
        self.door.metrics.request(self.source_name(), cause.code());
        self.usage.iter().for_each(|usage| usage.counts().refuse());
        debug!(source = ?self.source_name(), cause = cause.code(), "refused");
        let response = answer::refused(&cause);
        self.door.refusals.push(Refusal {
            id: RequestId::new(self.received_at, self.door.random.bytes()),
            source: self.source_name().cloned(),
            at: self.received_at,
            cause,
            body_bytes: self.body_bytes,
        });
        response
    }
}

/// The coding that the body is to be unwrapped from; `None` where it came as it is.
fn encoding(headers: &HeaderMap, source: &Source) -> Result<Option<ContentEncoding>, RefusalCause> {
    let mut named = headers.get_all(header::CONTENT_ENCODING).iter().filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let Some(first) = named.next() else { return Ok(None) };
    let encoding = first.to_str().ok().and_then(ContentEncoding::of_header).filter(|_| named.next().is_none());
    let allowed = encoding.filter(|encoding| source.content_encodings.contains(encoding));
    allowed.map(Some).ok_or(RefusalCause::EncodedBody)
}

fn raw_request(head: &Parts, body: Bytes, received_at: Timestamp) -> RawRequest {
    let bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut headers = Headers::with_capacity(head.headers.len(), bytes);
    for (name, value) in &head.headers {
        headers.push(name.as_str(), value);
    }
    let target = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    RawRequest { method: head.method.as_str().to_owned(), target, headers, body, received_at }
}
