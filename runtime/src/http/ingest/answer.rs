//! What senders are told: the receipt, or a fixed text per status. Never what they sent, never anything of ours.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::domain::{Answer, EventId, RefusalCause};
use crate::verify::HandshakeAnswer;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An accepted request.
pub(super) enum Receipt {
    Accepted {
        id: EventId,
        answer: Answer,
    },
    /// Answered as the first one was.
    Duplicate {
        of: EventId,
        key_reused: bool,
        answer: Answer,
    },
    Handshake(HandshakeAnswer),
}

impl Receipt {
    /// The word for metrics.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Duplicate { key_reused: false, .. } => "duplicate",
            Self::Duplicate { key_reused: true, .. } => "key_reused",
            Self::Handshake(_) => "handshake",
        }
    }

    /// The answer, with the source's own headers unless it is a handshake's, which the provider prescribes.
    pub(super) fn into_response(self, headers: &HeaderMap) -> Response {
        match self {
            Self::Accepted { id, answer } | Self::Duplicate { of: id, answer, .. } => {
                let mut response = accepted(id, answer);
                // The names here are few, and each stands once.
                headers.iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, value.clone())));
                response
            }
            Self::Handshake(answer) => {
                let content_type = HeaderValue::from_static(answer.content_type);
                let mut response = respond(answer.status, content_type, Body::from(answer.body));
                // What strangers have sent back must not be taken for a page.
                response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                for (name, value) in answer.headers {
                    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                        response.headers_mut().insert(name, value);
                    }
                }
                response
            }
        }
    }
}

fn accepted(id: EventId, answer: Answer) -> Response {
    match answer.body {
        Some(body) if body.is_empty() => with_status(answer.status, Body::empty()),
        Some(body) => respond(answer.status, TEXT, Body::from(body)),
        None => respond(answer.status, JSON, Body::from(format!("{{\"id\":\"{id}\"}}"))),
    }
}

/// The answer to a refused request: the same for all causes of one status.
pub(super) fn refused(cause: &RefusalCause) -> Response {
    let body = match cause.status() {
        400 => "{\"error\":\"bad request\"}",
        401 => "{\"error\":\"unauthorized\"}",
        403 => "{\"error\":\"forbidden\"}",
        404 => "{\"error\":\"not found\"}",
        405 => "{\"error\":\"method not allowed\"}",
        408 => "{\"error\":\"request timeout\"}",
        413 => "{\"error\":\"payload too large\"}",
        415 => "{\"error\":\"unsupported content encoding\"}",
        429 => "{\"error\":\"too many requests\"}",
        500 => "{\"error\":\"internal error\"}",
        _ => "{\"error\":\"unavailable\"}",
    };
    let mut response = respond(cause.status(), JSON, Body::from(body));
    if let Some(time) = cause.retry_after() {
        let seconds = time.as_nanos().div_ceil(1_000_000_000);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    if cause.status() == 405 {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn respond(status: u16, content_type: HeaderValue, body: Body) -> Response {
    let mut response = with_status(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn with_status(status: u16, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
