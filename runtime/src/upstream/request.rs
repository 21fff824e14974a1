//! Turns what a plugin asks into the request that is sent: checks every part, adds what is the host's. Sends nothing.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;

use super::credentials::Credentials;
use super::{BaseUrl, CallContext, header as headers, path};
use crate::domain::{OutboundRequest, Step};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("hookfast/", env!("CARGO_PKG_VERSION")));

/// The request for an upstream; else one sentence for the plugin's author.
pub(super) fn prepare(
    asked: OutboundRequest,
    base: &BaseUrl,
    credentials: &Credentials,
    context: &CallContext,
) -> Result<Request<Full<Bytes>>, String> {
    let method = method(&asked.method)?;
    let uri = target(base, &asked.path)?;
    let is_reserved = |name: &_| credentials.own(name) || (asked.step.is_some() && *name == headers::IDEMPOTENCY_KEY);
    let mut map = headers::outgoing(&asked.headers, is_reserved)?;
    if let Some(step) = &asked.step {
        let key = HeaderValue::try_from(idempotency_key(context, step)).expect("event id, route and step are plain ASCII");
        map.insert(headers::IDEMPOTENCY_KEY, key);
    }
    credentials.apply(&mut map, &asked.body, context.now, || message_id(context, asked.step.as_ref()))?;
    Ok(assemble(method, uri, map, asked.body))
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

/// What names this effect to the upstream, the same over all attempts: `<event>.<route>/<step>`.
pub(super) fn idempotency_key(context: &CallContext, step: &Step) -> String {
    format!("{}/{step}", context.lineage)
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

/// A signed message's id where the plugin gave none: the event's, or with a step the idempotency key with no full stop in it, so
/// that the messages of two routes or steps are not taken for one. A step's `.` becomes `~`, which no step contains.
fn message_id(context: &CallContext, step: Option<&Step>) -> String {
    let event = context.lineage.event;
    match step {
        None => event.to_string(),
        Some(step) => format!("{event}/{}/{}", context.lineage.route, step.to_string().replace('.', "~")),
    }
}
