//! Turns what a plugin asks into the request that is sent: checks every part, adds what is the host's. Sends nothing.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;

use super::credentials::{Credentials, Message};
use super::{BaseUrl, CallContext, header as headers, path};
use crate::domain::{OutboundRequest, Step};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookfast/", env!("CARGO_PKG_VERSION")));

/// One request of a call: the plugin's own, or one that a redirect made of it.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
    /// Whether a redirect has taken the body away, and with it the headers that describe it.
    pub(super) is_bare: bool,
}

impl Hop {
    /// What the plugin asks for; else one sentence for its author.
    pub(super) fn first(asked: &OutboundRequest, base: &BaseUrl) -> Result<Self, &'static str> {
        Ok(Self { method: method(&asked.method)?, uri: target(base, &asked.path)?, body: asked.body.clone(), is_bare: false })
    }

    /// The request for the upstream; else one sentence for the plugin's author.
    pub(super) fn prepare(
        &self,
        asked: &OutboundRequest,
        credentials: &Credentials,
        context: &CallContext,
    ) -> Result<Request<Full<Bytes>>, String> {
        let key = context.idempotency_key(asked.step.as_ref());
        let is_reserved = |name: &_| credentials.own(name) || (key.is_some() && *name == headers::IDEMPOTENCY_KEY);
        let mut map = headers::outgoing(&asked.headers, is_reserved)?;
        if self.is_bare {
            headers::OF_CONTENT.iter().for_each(|name| drop(map.remove(name)));
        }
        if let Some(key) = &key {
            let key = HeaderValue::try_from(key).expect("event id, route and step are plain ASCII");
            map.insert(headers::IDEMPOTENCY_KEY, key);
        }
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let message = Message { method: &self.method, path, body: &self.body, now: context.now };
        credentials.apply(&mut map, &message, || message_id(context, asked.step.as_ref()))?;
        Ok(assemble(self.method.clone(), self.uri.clone(), map, self.body.clone()))
    }
}

/// The parts put together, with a `User-Agent` where there is none; the body is shared, not copied.
pub(super) fn assemble(method: Method, uri: Uri, mut headers: http::HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// The method's name is compared as it is: methods are case-sensitive (RFC 9110 §9.1).
pub(super) fn method(text: &str) -> Result<Method, &'static str> {
    match text {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        "OPTIONS" => Ok(Method::OPTIONS),
        _ => Err("a method is one of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in capitals"),
    }
}

fn target(base: &BaseUrl, path: &str) -> Result<Uri, &'static str> {
    path::check(path)?;
    base.join(path).ok_or("the path has characters that a URL cannot contain; percent-encode them")
}

/// A signed message's id where the plugin gave none: the event's, or the idempotency key with no full stop in it, so that the messages of
/// two routes or steps are not taken for one. A full stop becomes `~`, which no key contains, but for the one between event and route.
fn message_id(context: &CallContext, step: Option<&Step>) -> String {
    match context.idempotency_key(step) {
        None => context.lineage.event.to_string(),
        Some(key) => key.replacen('.', "/", 1).replace('.', "~"),
    }
}
