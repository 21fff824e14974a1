//! One request as a proof looks at it: its parts, taken apart only where a scheme asks for them and then only once. What does not
//! decode is not there; nothing is guessed.

use std::borrow::Cow;
use std::cell::OnceCell;

use percent_encoding::percent_decode;
use serde_json::Value;

use crate::domain::{Headers, RawRequest};

use super::json;
use super::location::Pointer;

/// The largest body that is taken apart before anyone has vouched for it, in bytes: providers that put their proof into the body send
/// far less.
const UNPROVED_BYTES_MAX: usize = 4 << 20;
/// How many fields of a form or query are looked at.
const FIELDS_MAX: usize = 1000;

/// Names and values in their order.
pub(super) type Fields = Vec<(String, String)>;

/// A request, and the URL that its provider knows.
pub(super) struct View<'r> {
    request: &'r RawRequest,
    /// As registered with the provider, with the query of this request.
    url: Option<String>,
    json: OnceCell<Option<Value>>,
    form: OnceCell<Option<Fields>>,
    query: OnceCell<Option<Fields>>,
}

impl<'r> View<'r> {
    /// The view of a request to a source whose provider knows it as `public_url`.
    pub(super) fn new(request: &'r RawRequest, public_url: Option<&str>) -> Self {
        let url = public_url.map(|url| match request.target.split_once('?') {
            Some((_, query)) => format!("{url}?{query}"),
            None => url.to_owned(),
        });
        Self { request, url, json: OnceCell::new(), form: OnceCell::new(), query: OnceCell::new() }
    }

    pub(super) fn headers(&self) -> &'r Headers {
        &self.request.headers
    }

    pub(super) fn body(&self) -> &'r [u8] {
        &self.request.body
    }

    pub(super) fn method(&self) -> &'r str {
        &self.request.method
    }

    /// The URL without a fragment; `None` where the source does not say it.
    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The request target: path and query, of the URL that the provider knows where that is said.
    pub(super) fn target(&self) -> &str {
        let after_host = |url| str::split_once(url, "://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        self.url.as_deref().and_then(after_host).unwrap_or(&self.request.target)
    }

    /// The body's JSON; `None` where it is none, too large, or has a key twice in one object.
    pub(super) fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| self.small_body().and_then(json::unambiguous)).as_ref()
    }

    /// A value of the body.
    pub(super) fn json_at(&self, pointer: &Pointer) -> Option<&Value> {
        pointer.find(self.json()?)
    }

    /// The body's fields, where its content type says that it is a form.
    pub(super) fn form(&self) -> Option<&Fields> {
        self.form.get_or_init(|| self.is_form().then(|| self.small_body()).flatten().and_then(fields)).as_ref()
    }

    /// The parameters of the request's query.
    pub(super) fn query(&self) -> Option<&Fields> {
        let query = || self.request.target.split_once('?').map_or("", |(_, query)| query);
        self.query.get_or_init(|| fields(query().as_bytes())).as_ref()
    }

    fn small_body(&self) -> Option<&'r [u8]> {
        (self.request.body.len() <= UNPROVED_BYTES_MAX).then_some(&*self.request.body)
    }

    fn is_form(&self) -> bool {
        let content_type = self.request.headers.text("content-type").unwrap_or_default();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        kind.is_empty() || kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }
}

/// The only value of a name; `None` where it is not there or there twice.
pub(super) fn only<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let mut values = fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
    values.next().filter(|_| values.next().is_none())
}

/// Reads `application/x-www-form-urlencoded` (WHATWG URL §5.1); `None` where a part is not UTF-8.
fn fields(text: &[u8]) -> Option<Fields> {
    let parts = text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).take(FIELDS_MAX + 1);
    let fields: Fields = parts
        .map(|part| {
            let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            let value = part.get(at + 1..).unwrap_or_default();
            Some((decode(&part[..at])?, decode(value)?))
        })
        .collect::<Option<_>>()?;
    (fields.len() <= FIELDS_MAX).then_some(fields)
}

fn decode(text: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<u8>>().into()
    } else {
        text.into()
    };
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_in_its_order() {
        let read = fields(b"b=1+2&a=%C3%A9&b=&c").expect("a form");
        let expected = [("b", "1 2"), ("a", "é"), ("b", ""), ("c", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(only(&read, "a"), Some("é"));
        assert_eq!((only(&read, "b"), only(&read, "d")), (None, None));
        assert_eq!(fields(b"a=%ff"), None, "two bodies must not share a reading");
        assert_eq!(fields(b"").map(|fields| fields.len()), Some(0));
    }
}
