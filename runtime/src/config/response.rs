//! `response = { status, headers, body }` of a source: what an accepted request is answered.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::document::{Field, Section};
use crate::domain::Answer;

/// What a source answers to what it accepts.
#[derive(Debug, Default)]
pub(super) struct Response {
    /// Stored with each event, so that a resend gets the same.
    pub(super) answer: Answer,
    pub(super) headers: HeaderMap,
}

/// Of the connection, not of the answer (RFC 9110 §7.6.1), or ours to count.
const NOT_OF_AN_ANSWER: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(super) fn read(section: &Section<'_>) -> Response {
    let status = section.field("status").and_then(|field| field.as_integer(200..=299)).and_then(|status| u16::try_from(status).ok());
    let status = status.unwrap_or(Answer::default().status);
    let headers = section.section("headers", |headers| headers.entries().iter().filter_map(read_header).collect());
    let field = section.field("body");
    let mut body = field.as_ref().and_then(Field::as_str).map(|text| Bytes::copy_from_slice(text.as_bytes()));
    // No Content and Reset Content (RFC 9110 §15.3.5, §15.3.6).
    if matches!(status, 204 | 205) {
        if let Some(field) = field.filter(|_| body.as_ref().is_some_and(|body| !body.is_empty())) {
            field.error(format!("an answer of status {status} has no body"), Some("leave `body` out, or answer 200".into()));
        }
        body = Some(Bytes::new());
    }
    Response { answer: Answer { status, body }, headers: headers.unwrap_or_default() }
}

fn read_header((name, field): &(String, Field<'_>)) -> Option<(HeaderName, HeaderValue)> {
    let text = field.as_str()?;
    let Ok(value) = HeaderValue::from_str(text) else {
        field.error(format!("`{}` is not the value of a header: visible ASCII on one line", field.path()), None);
        return None;
    };
    match HeaderName::from_bytes(name.as_bytes()) {
        Err(_) => field.error(format!("`{name}` is not the name of a header"), None),
        Ok(name) if NOT_OF_AN_ANSWER.contains(&name) || name == "keep-alive" || name == "proxy-connection" => {
            field.error(format!("`{name}` belongs to the connection, not to the answer"), Some("leave it out; the server sets it".into()));
        }
        Ok(name) => return Some((name, value)),
    }
    None
}
