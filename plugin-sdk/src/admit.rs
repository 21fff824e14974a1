//! Proving requests: what a plugin sees of one, and what it can say of it. Where a file of the catalogue can describe a provider, that is
//! better; this is for those that none can.

use crate::Header;
use crate::bindings::exports::hookfast::plugin::ingress as wire;
use crate::event::find_header;
use std::fmt::Display;

/// One HTTP request to a source, before anything is believed of it.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, incoming};
///
/// hookfast_sdk::plugin! { name: "acme", admit => admit, }
///
/// fn admit(request: Incoming, cx: &mut Context) -> Ruling {
///     if let Some(challenge) = request.query("challenge") {
///         return respond(200, challenge);
///     }
///     let signature = decode(request.header("x-acme-signature")?)?;
///     cx.secret("default").verify("hmac-sha256", &request.body, &signature)?;
///     let kind: String = request.data_at("/kind")?;
///     accept(Arrival::new().event_type(kind))
/// }
///
/// fn decode(hex: &str) -> Result<Vec<u8>, Rejection> {
///     let digits = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16));
///     digits.collect::<Result<_, _>>().or_reject("malformed", "the signature is not hexadecimal")
/// }
///
/// let mut host = Host::new(&PLUGIN).secret("default", "shared");
/// let mut request = incoming(r#"{"kind":"order.paid"}"#);
/// assert_eq!(host.admit(&request).unwrap_err().code, "missing_header");
/// request.headers.push(hookfast_sdk::Header::new("x-acme-signature", "00"));
/// assert_eq!(host.admit(&request).unwrap_err().code, "wrong_signature");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Incoming {
    /// The HTTP method, upper-case.
    pub method: String,
    /// Path and query exactly as received.
    pub target: String,
    /// The URL as it is registered with the provider, if the source says it; never made from headers.
    pub public_url: Option<String>,
    /// In the order of arrival, duplicates kept.
    pub headers: Vec<Header>,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// When it was received, in Unix milliseconds of the host's clock.
    pub received_at_ms: u64,
    /// Further facts from the host, by name.
    pub attributes: Vec<(String, String)>,
}

impl Incoming {
    /// The only header of that name (any case).
    ///
    /// # Errors
    /// It is not there, there twice, or not UTF-8; `?` turns the request away.
    pub fn header(&self, name: &str) -> Result<&str, Rejection> {
        let count = self.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).count();
        match find_header(&self.headers, name) {
            Some(value) if count == 1 => Ok(value),
            _ if count == 0 => Err(Rejection::new("missing_header", format!("header `{name}` is missing"))),
            _ => Err(Rejection::new("malformed_header", format!("header `{name}` came twice or is no text"))),
        }
    }

    /// The first parameter of that name in the query, as it is written there: percent-encoding is left alone.
    pub fn query(&self, name: &str) -> Option<&str> {
        let query = self.target.split_once('?')?.1;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// A part of the body, by JSON Pointer (RFC 6901).
    ///
    /// # Errors
    /// The body is not JSON, nothing sits there, or it is not a `U`; `?` turns the request away as malformed.
    pub fn data_at<U: serde::de::DeserializeOwned>(&self, pointer: &str) -> Result<U, Rejection> {
        <U as crate::Payload>::parse(&self.body, pointer).or_reject("malformed", "the body")
    }
}

/// What a plugin says of a request.
pub type Ruling = Result<Admission, Rejection>;

/// The request is the provider's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// These events, at least one; all are stored or none. The receipt is told in place of the source's own answer, 200 to 299.
    Accept {
        /// The events.
        events: Vec<Arrival>,
        /// Status and body.
        receipt: Option<(u16, Vec<u8>)>,
    },
    /// A handshake or a ping: this is answered, and nothing stored.
    Respond {
        /// 200 to 499.
        status: u16,
        /// The answer's headers.
        headers: Vec<Header>,
        /// Its body, at most 64 KiB.
        body: Vec<u8>,
    },
    /// Not wanted: 200, and nothing is stored.
    Ignore(String),
}

/// The request is not the provider's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A stable word; `malformed` is answered 400, every other 401.
    pub code: String,
    /// For the operator; the sender never sees it.
    pub message: String,
}

impl Rejection {
    /// A rejection with its code and a sentence for the operator.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// An event of an accepted request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Arrival {
    /// The provider's name for what happened.
    pub event_type: Option<String>,
    /// What makes two requests the same event; the proof must cover it. Without one the body does.
    pub dedupe_key: Option<String>,
    /// Events of one key are handled one at a time, in order.
    pub ordering_key: Option<String>,
    /// The event's body; without one the request's.
    pub body: Option<Vec<u8>>,
}

impl Arrival {
    /// An event of which nothing is known but its body, the request's.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a type.
    #[must_use]
    pub fn event_type(self, event_type: impl Into<String>) -> Self {
        Self { event_type: Some(event_type.into()), ..self }
    }

    /// With a dedupe key.
    #[must_use]
    pub fn dedupe_key(self, key: impl Into<String>) -> Self {
        Self { dedupe_key: Some(key.into()), ..self }
    }

    /// With an ordering key.
    #[must_use]
    pub fn ordering_key(self, key: impl Into<String>) -> Self {
        Self { ordering_key: Some(key.into()), ..self }
    }

    /// With a body of its own.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }
}

/// The request is authentic, and one event.
///
/// # Errors
/// Never; it is ready to be returned.
pub fn accept(event: Arrival) -> Ruling {
    accept_all([event])
}

/// The request is authentic, and several events.
///
/// # Errors
/// Never; it is ready to be returned.
pub fn accept_all(events: impl IntoIterator<Item = Arrival>) -> Ruling {
    Ok(Admission::Accept { events: events.into_iter().collect(), receipt: None })
}

/// Answers a handshake; nothing is stored. Never sign what a stranger chose in a form that an event could have.
///
/// # Errors
/// Never; it is ready to be returned.
pub fn respond(status: u16, body: impl Into<Vec<u8>>) -> Ruling {
    Ok(Admission::Respond { status, headers: Vec::new(), body: body.into() })
}

/// The request is authentic and not wanted.
///
/// # Errors
/// Never; it is ready to be returned.
pub fn ignore(reason: impl Into<String>) -> Ruling {
    Ok(Admission::Ignore(reason.into()))
}

/// The request is not the provider's.
///
/// # Errors
/// Always: it is a rejection, ready to be returned.
pub fn reject<T>(code: impl Into<String>, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, message))
}

/// Turns an error, or a missing value, into a rejection.
pub trait OrReject<T> {
    /// The value, else a rejection with this code.
    ///
    /// # Errors
    /// There was an error or no value.
    fn or_reject(self, code: &str, message: &str) -> Result<T, Rejection>;
}

impl<T, E: Display> OrReject<T> for Result<T, E> {
    fn or_reject(self, code: &str, message: &str) -> Result<T, Rejection> {
        self.map_err(|error| Rejection::new(code, format!("{message}: {error}")))
    }
}

impl<T> OrReject<T> for Option<T> {
    fn or_reject(self, code: &str, message: &str) -> Result<T, Rejection> {
        self.ok_or_else(|| Rejection::new(code, message))
    }
}

impl From<wire::Request> for Incoming {
    fn from(request: wire::Request) -> Self {
        Self {
            method: request.method,
            target: request.target,
            public_url: request.public_url,
            headers: request.headers.into_iter().map(Header::from).collect(),
            body: request.body,
            received_at_ms: request.received_at,
            attributes: request.attributes,
        }
    }
}

/// A ruling as it crosses to the host.
pub(crate) fn to_wire(ruling: Ruling) -> wire::Admission {
    match ruling {
        Ok(Admission::Accept { events, receipt }) => wire::Admission::Accept(wire::Acceptance {
            events: events.into_iter().map(arrival).collect(),
            receipt: receipt.map(|(status, body)| wire::Receipt { status, body }),
        }),
        Ok(Admission::Respond { status, headers, body }) => {
            let headers = headers.into_iter().map(wire::Header::from).collect();
            wire::Admission::Respond(wire::Response { status, headers, body, attributes: Vec::new() })
        }
        Ok(Admission::Ignore(reason)) => wire::Admission::Ignore(reason),
        Err(Rejection { code, message }) => wire::Admission::Reject(wire::Fault { code, message, attributes: Vec::new() }),
    }
}

fn arrival(arrival: Arrival) -> wire::Arrival {
    let Arrival { event_type, dedupe_key, ordering_key, body } = arrival;
    wire::Arrival { facts: wire::Facts { event_type, dedupe_key, ordering_key, attributes: Vec::new() }, body }
}
