//! Which headers cross between plugin and upstream. Those that belong to one connection, or that frame the message, cross in
//! neither direction (RFC 9110 §7.6.1, RFC 9112 §6). Knows nothing of credentials.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::domain::Headers;

/// All headers of a plugin's request together, bytes.
const REQUEST_BYTES_MAX: usize = 32 << 10;

/// All headers of an answer together, bytes, and their number.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_COUNT_MAX: usize = 100;

/// What a plugin sets `Idempotency-Key` with where its call has no step.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What describes a body, and goes with it (RFC 9110 §15.4).
pub(super) const OF_CONTENT: [HeaderName; 8] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    header::LAST_MODIFIED,
    HeaderName::from_static("repr-digest"),
];

const CONNECTION_OWNED: [HeaderName; 6] =
    [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")];

/// Whether only the host may put this header on a request.
pub(super) fn is_host_owned(name: &HeaderName) -> bool {
    is_connection_owned(name) || [header::HOST, header::CONTENT_LENGTH, header::EXPECT].contains(name)
}

/// The plugin's headers as HTTP takes them; `is_reserved` names further ones that it must not set. Else one sentence for the author.
pub(super) fn outgoing(headers: &Headers, is_reserved: impl Fn(&HeaderName) -> bool) -> Result<HeaderMap, String> {
    if headers.iter().map(|(name, value)| size(name, value)).sum::<usize>() > REQUEST_BYTES_MAX {
        return Err("the headers of a call are at most 32 KiB together".into());
    }
    let mut map = HeaderMap::with_capacity(headers.len() + 4);
    for (text, value) in headers.iter() {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{:?} is not the name of a header", shown(text)))?;
        if is_host_owned(&name) || is_reserved(&name) {
            return Err(format!("`{name}` is set by Hookfast; a plugin cannot set it"));
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| format!("the value of `{name}` has bytes that no header can carry"))?;
        map.append(name, value);
    }
    Ok(map)
}

/// The answer's headers without those that belong to the connection; `None` where they are more than 100 or over 64 KiB.
pub(super) fn incoming(headers: &HeaderMap) -> Option<Headers> {
    let bytes: usize = headers.iter().map(|(name, value)| size(name.as_str(), value.as_bytes())).sum();
    if bytes > ANSWER_BYTES_MAX || headers.len() > ANSWER_COUNT_MAX {
        return None;
    }
    let mut kept = Headers::with_capacity(headers.len(), bytes);
    for (name, value) in headers.iter().filter(|(name, _)| !is_connection_owned(name) && !is_named_by_connection(headers, name)) {
        kept.push(name.as_str(), value);
    }
    Some(kept)
}

/// As HTTP/1.1 writes it, `name: value` and a line break.
fn size(name: &str, value: &[u8]) -> usize {
    name.len() + value.len() + ": \r\n".len()
}

fn is_connection_owned(name: &HeaderName) -> bool {
    CONNECTION_OWNED.contains(name) || name.as_str().starts_with("proxy-")
}

fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut tokens = headers.get_all(header::CONNECTION).iter().flat_map(|list| list.as_bytes().split(|b| *b == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn plugin(headers: &[(&'static str, &'static str)]) -> Headers {
        headers.iter().map(|(name, value)| (*name, Bytes::from_static(value.as_bytes()))).collect()
    }

    #[test]
    fn headers_of_connection_and_framing_are_refused() {
        for name in [
            "host",
            "connection",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "proxy-authorization",
            "proxy-connection",
            "keep-alive",
            "expect",
            "reserved",
            "",
            "a b",
            "a:b",
            "ä",
            ":path",
        ] {
            assert!(outgoing(&plugin(&[(name, "x")]), |name| name == "reserved").is_err(), "{name} was taken");
        }
    }

    #[test]
    fn values_that_would_split_the_head_are_refused() {
        for value in ["a\r\nhost: evil", "a\n", "a\0"] {
            assert!(outgoing(&plugin(&[("x-a", value)]), |_| false).is_err(), "{value:?} was taken");
        }
    }

    #[test]
    fn other_headers_pass_in_order_with_their_duplicates_and_odd_bytes() {
        let mut headers = plugin(&[("x-a", "1"), ("content-type", "text/plain"), ("x-a", "2")]);
        headers.push("x-raw", Bytes::from_static(b"\xff"));
        let map = outgoing(&headers, |_| false).expect("good headers");
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(map["x-raw"].as_bytes(), b"\xff");
    }

    #[test]
    fn thirty_two_kibibytes_pass_and_one_more_byte_does_not() {
        let sized = |bytes: usize| [("x-a", Bytes::from(vec![b'a'; bytes - "x-a: \r\n".len()]))].into_iter().collect::<Headers>();
        assert!(outgoing(&sized(REQUEST_BYTES_MAX), |_| false).is_ok());
        assert!(outgoing(&sized(REQUEST_BYTES_MAX + 1), |_| false).is_err());
    }

    #[test]
    fn an_answer_loses_what_belongs_to_its_connection() {
        let mut map = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("connection", "close, X-Hop"), ("x-hop", "1"), ("transfer-encoding", "chunked"), ("x-b", "2")]
        {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(incoming(&map), Some(plugin(&[("x-a", "1"), ("x-b", "2")])));
    }

    #[test]
    fn an_answers_headers_are_bounded_in_size_and_number() {
        let sized = |bytes: usize| HeaderMap::from_iter([(header::ETAG, HeaderValue::try_from("a".repeat(bytes - 8)).expect("a value"))]);
        assert!(incoming(&sized(ANSWER_BYTES_MAX)).is_some());
        assert!(incoming(&sized(ANSWER_BYTES_MAX + 1)).is_none());
        let many = |count| std::iter::repeat_n((header::ETAG, HeaderValue::from_static("a")), count).fold(HeaderMap::new(), appended);
        assert!(incoming(&many(ANSWER_COUNT_MAX)).is_some());
        assert!(incoming(&many(ANSWER_COUNT_MAX + 1)).is_none());
    }

    fn appended(mut map: HeaderMap, (name, value): (HeaderName, HeaderValue)) -> HeaderMap {
        map.append(name, value);
        map
    }
}
