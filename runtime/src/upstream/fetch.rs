//! One request of the operator's own: the command line speaks to the admin API and the ingest with it.
//! Must never be used for a plugin: it may go anywhere, and has no credentials and no journal.

use std::time::Duration;

use bytes::Bytes;
use http::uri::Uri;

use super::connector::{Connector, Guard};
use super::exchange::{Bounds, client, exchange};
use super::{header, request};
use crate::domain::{CallFault, CallFaultKind, Headers, OutboundAnswer};

/// Pages of the admin API are far smaller; this only keeps a wrong address from filling memory.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Sends one request to an `http` or `https` URL and reads the answer in full, within `timeout` and 64 MiB.
///
/// # Errors
/// A fault where no answer came; its sentence names the host and port of the URL.
pub async fn fetch(method: &str, url: &str, headers: Headers, body: Bytes, timeout: Duration) -> Result<OutboundAnswer, CallFault> {
    let invalid = |message: &str| CallFault::new(CallFaultKind::InvalidRequest, message);
    let method = request::method(method).map_err(invalid)?;
    let (uri, is_https) = parse(url).ok_or_else(|| invalid("write the URL like http://127.0.0.1:8081/path"))?;
    let target = uri.authority().map(ToString::to_string).unwrap_or_default();
    let headers = header::outgoing(&headers, |_| false).map_err(|message| invalid(&message))?;
    let connector = Connector::new(is_https, Guard::Anywhere, timeout)
        .map_err(|_| CallFault::new(CallFaultKind::Tls, "this machine has no trusted root certificates; install ca-certificates"))?;
    let bounds = Bounds { read: timeout, total: timeout, answer_bytes_max: ANSWER_BYTES_MAX };
    let request = request::assemble(method, uri, headers, body);
    exchange(&client(connector), request, bounds).await.map_err(|broken| broken.fault(&target, ""))
}

/// The URL and whether it is `https`; `None` where it is neither kind, or carries a user.
fn parse(url: &str) -> Option<(Uri, bool)> {
    let uri: Uri = url.parse().ok()?;
    let is_plain = uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    match uri.scheme_str() {
        Some("http") if is_plain => Some((uri, false)),
        Some("https") if is_plain => Some((uri, true)),
        _ => None,
    }
}
