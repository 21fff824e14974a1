//! The event as a handler sees it. It carries bytes and facts; what the bytes mean is parsed in `payload`.

use crate::bindings::hookfast::plugin::types;
use crate::{Payload, PayloadError, Raw};
use serde::de::DeserializeOwned;

/// One accepted webhook, with its payload of type `T`; a plain `Event` leaves the body alone.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::{Header, test::{Host, fixture}};
///
/// hookfast_sdk::plugin! { name: "raw", otherwise => look, }
///
/// fn look(event: Event, _: &mut Context) -> Outcome {
///     let action: String = event.data_at("/action")?;
///     let delivery = event.header("x-github-delivery").or_dead_letter("no delivery id")?;
///     done(format!("{action} {delivery} {} bytes", event.body.len()))
/// }
///
/// let mut event = fixture("release", r#"{"action":"published"}"#);
/// event.headers.push(Header::new("x-github-delivery", "72d3162e"));
/// assert_eq!(Host::new(&PLUGIN).run(&event).text(), "published 72d3162e 22 bytes");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event<T = Raw> {
    /// Assigned by the host and the same over all attempts: `evt_` and 32 hexadecimal digits.
    pub id: String,
    /// The configured source that received it, for example `stripe`.
    pub source: String,
    /// The provider's name for what happened, for example `invoice.paid`.
    pub event_type: Option<String>,
    /// The key under which the host stored the event once.
    pub dedupe_key: Option<String>,
    /// 1 at the first attempt.
    pub attempt: u32,
    /// How many attempts the source's retry policy allows.
    pub max_attempts: u32,
    /// When it was received, in Unix milliseconds of the host's clock.
    pub received_at_ms: u64,
    /// In the order of arrival, duplicates kept; a proof that is itself a secret reads `[verified]`.
    pub headers: Vec<Header>,
    /// Exactly the bytes that were received.
    pub body: Vec<u8>,
    /// Further facts from the host, by name.
    pub attributes: Vec<(String, String)>,
    /// The payload, parsed from where the route in [`plugin!`](crate::plugin!) says it sits.
    pub data: T,
}

impl<T> Event<T> {
    /// The first header of that name (any case), if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// If a handler emitted this event: the lineage of the job that did.
    pub fn parent(&self) -> Option<&str> {
        self.attribute("parent")
    }

    /// How many events stand before this one in a chain, each emitted for the one before; 0 of an event that was received. The host cuts
    /// chains that are too long.
    ///
    /// ```
    /// let mut event = hookfast_sdk::test::fixture("review.due", "");
    /// assert_eq!((event.parent(), event.depth()), (None, 0));
    /// event.attributes = vec![("parent".into(), "evt_1.shop".into()), ("depth".into(), "1".into())];
    /// assert_eq!((event.parent(), event.depth()), (Some("evt_1.shop"), 1));
    /// ```
    pub fn depth(&self) -> u32 {
        self.attribute("depth").and_then(|depth| depth.parse().ok()).unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Another part of the body, by JSON Pointer (RFC 6901); `""` is all of it.
    ///
    /// # Errors
    /// The body is not JSON, nothing sits there, or it is not a `U`; `?` makes each a dead letter.
    pub fn data_at<U: DeserializeOwned>(&self, pointer: &str) -> Result<U, PayloadError> {
        U::parse(&self.body, pointer)
    }
}

impl Event {
    pub(crate) fn parse<T: Payload>(self, pointer: &str) -> Result<Event<T>, PayloadError> {
        Ok(Event {
            data: T::parse(&self.body, pointer)?,
            id: self.id,
            source: self.source,
            event_type: self.event_type,
            dedupe_key: self.dedupe_key,
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            received_at_ms: self.received_at_ms,
            headers: self.headers,
            body: self.body,
            attributes: self.attributes,
        })
    }
}

impl From<types::Event> for Event {
    fn from(event: types::Event) -> Self {
        Self {
            id: event.id,
            source: event.source,
            event_type: event.event_type,
            dedupe_key: event.dedupe_key,
            attempt: event.attempt,
            max_attempts: event.max_attempts,
            received_at_ms: event.received_at,
            headers: event.headers.into_iter().map(Header::from).collect(),
            body: event.body,
            attributes: event.attributes,
            data: Raw,
        }
    }
}

/// One header of an event, a request or a response.
///
/// ```
/// use hookfast_sdk::Header;
/// assert_eq!(Header::new("Content-Type", "text/plain"), Header::new("content-type", b"text/plain"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Bytes, since providers do send text that is not UTF-8.
    pub value: Vec<u8>,
}

impl Header {
    /// A header; the name is put in lower case.
    pub fn new(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_ascii_lowercase(), value: value.into() }
    }
}

impl From<types::Header> for Header {
    fn from(header: types::Header) -> Self {
        Self { name: header.name, value: header.value }
    }
}

impl From<Header> for types::Header {
    fn from(header: Header) -> Self {
        Self { name: header.name, value: header.value }
    }
}

pub(crate) fn find_header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(&header.value).ok()
}
