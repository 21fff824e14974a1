//! Where an answer sends a call on to (RFC 9110 §15.4). Decides only; must never leave the upstream's origin, or what is below its base URL.

use bytes::Bytes;
use http::Method;

use super::BaseUrl;
use super::request::Hop;
use crate::domain::OutboundAnswer;

/// What an answer says of the way.
pub(super) enum Way {
    /// It is no redirect: the call has arrived.
    Arrived,
    /// It goes on below the base URL.
    On(Hop),
    /// It would leave the base URL.
    Away,
}

/// What follows from `answer` to `hop`. A redirect without `Location` is an answer.
pub(super) fn way(hop: &Hop, answer: &OutboundAnswer, base: &BaseUrl) -> Way {
    let Some(keeps_method) = keeps_method(answer.status, &hop.method) else { return Way::Arrived };
    let Some(location) = answer.headers.only("location") else { return Way::Arrived };
    let uri = std::str::from_utf8(location).ok().and_then(|location| base.resolve(&hop.uri, location.trim_ascii()));
    match uri {
        None => Way::Away,
        Some(uri) if keeps_method => Way::On(Hop { uri, ..hop.clone() }),
        Some(uri) => {
            let method = if hop.method == Method::HEAD { Method::HEAD } else { Method::GET };
            Way::On(Hop { method, uri, body: Bytes::new(), is_bare: true })
        }
    }
}

/// Whether the redirect is followed by the same method and body; `None` where the status is no redirect. 301 and 302 turn a POST into a
/// GET, as everybody does it.
fn keeps_method(status: u16, method: &Method) -> Option<bool> {
    match status {
        301 | 302 => Some(method != Method::POST),
        303 => Some(matches!(*method, Method::GET | Method::HEAD)),
        307 | 308 => Some(true),
        _ => None,
    }
}
