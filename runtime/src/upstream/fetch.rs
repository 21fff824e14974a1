//! Requests of no upstream: the command line's own to the admin API and the ingest, which may go anywhere, and the host's for the keys
//! that providers publish. Must never be used for a plugin: there are no credentials and no journal.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Method};

use super::connector::{Connector, Guard};
use super::exchange::{Bounds, client, exchange};
use super::tls::Tls;
use super::{header, request};
use crate::domain::{CallFault, CallFaultKind, Headers, OutboundAnswer, Secret};

/// Pages of the admin API are far smaller; this only keeps a wrong address from filling memory.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What a provider publishes of its keys is far smaller.
const KEYS_BYTES_MAX: usize = 256 << 10;
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a public document, by `https` and from public addresses only, within 5 s and 256 KiB; a redirect is no answer. With a token it is
/// asked for as RFC 6750 §2.1 has it.
///
/// # Errors
/// A fault where no answer came.
pub async fn fetch_public(url: &str, token: Option<&Secret>) -> Result<(u16, Bytes), CallFault> {
    let (uri, is_https) = parse(url).ok_or_else(|| CallFault::new(CallFaultKind::InvalidRequest, "is no URL"))?;
    if !is_https {
        return Err(CallFault::new(CallFaultKind::InvalidRequest, "is not https"));
    }
    read(uri, Guard::PublicOnly, is_https, token).await
}

pub(super) async fn read(uri: Uri, guard: Guard, is_https: bool, token: Option<&Secret>) -> Result<(u16, Bytes), CallFault> {
    let target = uri.authority().map(ToString::to_string).unwrap_or_default();
    let connector = Connector::new(is_https, &Tls::default(), guard, KEYS_TIMEOUT).map_err(|_| no_roots())?;
    let bounds = Bounds::from_now(KEYS_TIMEOUT, KEYS_TIMEOUT, KEYS_BYTES_MAX);
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let value = HeaderValue::from_bytes([b"Bearer ", token.expose()].concat().trim_ascii_end());
        let mut value = value.map_err(|_| CallFault::new(CallFaultKind::InvalidRequest, "the token has bytes that no header can carry"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let request = request::assemble(Method::GET, uri, headers, Bytes::new());
    let answer = exchange(&client(connector), request, bounds).await.map_err(|broken| broken.fault(&target, ""))?;
    Ok((answer.status, answer.body))
}

fn no_roots() -> CallFault {
    CallFault::new(CallFaultKind::Tls, "this machine has no trusted root certificates; install ca-certificates")
}

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
    let connector = Connector::new(is_https, &Tls::default(), Guard::Anywhere, timeout).map_err(|_| no_roots())?;
    let bounds = Bounds::from_now(timeout, timeout, ANSWER_BYTES_MAX);
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
