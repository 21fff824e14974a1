//! The right secret over another body: what proxies, middleware and the senders themselves do to a body once it is signed.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::json_text::{Escapes, Layout, lay_out, unescaped};
use super::trial::Trial;
use crate::domain::{BodyChange, Diagnosis};
use crate::verify::scheme::Scheme;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How JSON is written by those who write it anew.
const LAYOUTS: [(&str, Layout); 4] = [
    ("without blanks, as JavaScript does", Layout::Compact),
    ("with blanks after `,` and `:`, as Python does", Layout::Spaced),
    ("indented by two", Layout::Indented(2)),
    ("indented by four", Layout::Indented(4)),
];
const SORTED: &str = "with its keys sorted";

pub(super) fn diagnose(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    // Who sends a token along signs nothing.
    if trial.armed().all(Scheme::is_secret_sent) {
        return None;
    }
    let body = trial.request.body.clone();
    let mut tried = HashSet::from([xxh3_64(&body)]);
    for (change, body) in plain(&body).into_iter().chain(json(&body)) {
        if trial.effort.is_spent() {
            break;
        }
        if tried.insert(xxh3_64(&body)) && trial.holds_over(body) {
            return Some(Diagnosis::Body(change));
        }
    }
    None
}

/// Changes that do not ask what the body is.
fn plain(body: &[u8]) -> Vec<(BodyChange, Vec<u8>)> {
    let without = |end: &[u8]| body.strip_suffix(end).map(Into::into);
    let with = |end: &[u8]| Some([body, end].concat());
    let marked = || [BYTE_ORDER_MARK, body].concat();
    let changes = [
        (BodyChange::NewlineAdded, without(b"\r\n").or_else(|| without(b"\n"))),
        (BodyChange::NewlineRemoved, with(b"\n")),
        (BodyChange::NewlineRemoved, with(b"\r\n")),
        (BodyChange::LineEnds, Some(to_lf(body))),
        (BodyChange::LineEnds, Some(to_crlf(&to_lf(body)))),
        (BodyChange::ByteOrderMark, body.strip_prefix(BYTE_ORDER_MARK).map(Into::into).or_else(|| Some(marked()))),
        (BodyChange::Charset, latin1(body)),
        (BodyChange::Charset, Some(utf8(body))),
        (BodyChange::NotSigned, Some(Vec::new())),
    ];
    changes.into_iter().filter_map(|(change, body)| Some((change, body?))).collect()
}

/// The same JSON, written otherwise; made one by one, since the first ones mostly tell.
fn json(body: &[u8]) -> impl Iterator<Item = (BodyChange, Vec<u8>)> {
    let is_json = std::str::from_utf8(body).ok().filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let plain = is_json.map(unescaped);
    let escapes = plain.clone().into_iter().flat_map(written).map(|text| (BodyChange::JsonEscapes, text.into_bytes()));
    let as_sent = is_json.map(str::to_owned);
    let texts = as_sent.into_iter().chain(plain.into_iter().flat_map(|plain| std::iter::once(plain.clone()).chain(written(plain))));
    escapes.chain(texts.flat_map(laid_out))
}

fn written(plain: String) -> impl Iterator<Item = String> {
    std::iter::once(plain.clone()).chain(Escapes::ALL.into_iter().map(move |escapes| escapes.write(&plain)))
}

fn laid_out(text: String) -> impl Iterator<Item = (BodyChange, Vec<u8>)> {
    let sorted = serde_json::from_str::<Value>(&text).map(|value| value.to_string()).ok();
    let by_order = [(false, Some(text)), (true, sorted)].into_iter().filter_map(|(is_sorted, text)| Some((is_sorted, text?)));
    by_order.flat_map(|(is_sorted, text)| {
        LAYOUTS.into_iter().filter_map(move |(words, layout)| {
            let change = BodyChange::JsonLayout(if is_sorted { SORTED } else { words });
            Some((change, lay_out(&text, layout)?.into_bytes()))
        })
    })
}

fn to_lf(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.iter().copied().peekable();
    let mut converted = Vec::with_capacity(body.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            converted.push(byte);
        }
    }
    converted
}

fn to_crlf(body: &[u8]) -> Vec<u8> {
    body.iter().flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) }).copied().collect()
}

/// The bytes of ISO 8859-1 whose text is this UTF-8; `None` where it has other characters.
fn latin1(body: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(body).ok()?.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}

fn utf8(body: &[u8]) -> Vec<u8> {
    body.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_changed_in_both_directions() {
        assert_eq!(to_lf(b"a\r\nb\rc\n\r\n"), b"a\nb\rc\n\n");
        assert_eq!(to_crlf(b"a\nb"), b"a\r\nb");
        assert_eq!(latin1("é".as_bytes()), Some(vec![0xe9]));
        assert_eq!((latin1("€".as_bytes()), utf8(b"\xe9")), (None, "é".into()));
    }

    #[test]
    fn what_is_not_json_is_not_rewritten() {
        for body in [&b"a=1&b=2"[..], b"", b"{\"a\":\"\xff\"}", b"{"] {
            assert_eq!(json(body).count(), 0, "{body:?}");
        }
    }
}
