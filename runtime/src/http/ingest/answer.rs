//! What senders are told: the receipt, or a fixed text per status. Never what they sent, never anything of ours.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::domain::{Answer, OutboundAnswer, RefusalCause};
use crate::store::Admitted;
use crate::verify::HandshakeAnswer;

/// An answer's body, whole.
pub(super) type Body = Full<Bytes>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An accepted request.
pub(super) enum Receipt {
    /// Its events, and what their sender is told where one of them is new. Else it is answered as the first of them was.
    Stored {
        admitted: Vec<Admitted>,
        usual: Answer,
    },
    Handshake(HandshakeAnswer),
    /// What the plugin that proves the source's requests says.
    Plugin(OutboundAnswer),
    /// Proven and not wanted.
    Ignored,
}

impl Receipt {
    /// The word for metrics.
    pub(super) fn result(&self) -> &'static str {
        let admitted = match self {
            Self::Stored { admitted, .. } => admitted,
            Self::Handshake(_) | Self::Plugin(_) => return "handshake",
            Self::Ignored => return "ignored",
        };
        if admitted.iter().any(|admitted| matches!(admitted, Admitted::New(_))) {
            "accepted"
        } else if admitted.iter().any(|admitted| matches!(admitted, Admitted::Duplicate { key_reused: true, .. })) {
            "key_reused"
        } else {
            "duplicate"
        }
    }

    /// The answer, with the source's own headers unless it is a handshake's, which the provider prescribes.
    pub(super) fn into_response(self, headers: &HeaderMap) -> Response<Body> {
        match self {
            Self::Stored { admitted, usual } => {
                let mut response = stored(&admitted, usual);
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
            Self::Plugin(answer) => plugin_answer(answer),
            Self::Ignored => with_status(200, Body::default()),
        }
    }
}

/// Headers that say how an answer travels are the server's, and a plugin has no business with cookies.
const NOT_A_PLUGINS: [HeaderName; 6] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE, header::SET_COOKIE, header::DATE];

fn plugin_answer(answer: OutboundAnswer) -> Response<Body> {
    let mut response = respond(answer.status, TEXT, Body::from(answer.body));
    for (name, value) in answer.headers.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value))
            && !NOT_A_PLUGINS.contains(&name)
        {
            response.headers_mut().insert(name, value);
        }
    }
    // What strangers have sent back must not be taken for a page.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn stored(admitted: &[Admitted], usual: Answer) -> Response<Body> {
    let told = |admitted: &Admitted| match admitted {
        Admitted::New(_) => None,
        Admitted::Duplicate { answer, .. } => Some(answer.clone()),
    };
    let answers: Option<Vec<Answer>> = admitted.iter().map(told).collect();
    let answer = answers.and_then(|answers| answers.into_iter().next()).unwrap_or(usual);
    match answer.body {
        Some(body) if body.is_empty() => with_status(answer.status, Body::default()),
        Some(body) => respond(answer.status, TEXT, Body::from(body)),
        None => respond(answer.status, JSON, Body::from(ids(admitted))),
    }
}

/// `{"id":"evt_…"}`, or of a batch `{"ids":["evt_…","evt_…"]}`.
fn ids(admitted: &[Admitted]) -> String {
    let is_lone = admitted.len() == 1;
    let mut text = String::with_capacity(16 + 40 * admitted.len());
    text.push_str(if is_lone { "{\"id\":" } else { "{\"ids\":[" });
    for (position, admitted) in admitted.iter().enumerate() {
        let (Admitted::New(id) | Admitted::Duplicate { of: id, .. }) = admitted;
        text.push_str(if position == 0 { "\"" } else { ",\"" });
        write!(text, "{id}\"").expect("a String takes all");
    }
    text.push_str(if is_lone { "}" } else { "]}" });
    text
}

/// The answer to a refused request: the same for all causes of one status.
pub(super) fn refused(cause: &RefusalCause) -> Response<Body> {
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

fn respond(status: u16, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = with_status(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn with_status(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
