//! Messages that no template can say: fixed lists of fields, lists that the request names, and spellings of a path.

use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::domain::RefusalCause;

use super::carrier;
use super::http_signature;
use super::message::Context;
use super::view::{self, View};
use super::words::value_of;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Canonical {
    /// The fields of an Amazon SNS message, by its type: <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>
    Sns,
    /// Contentful's spelling of path and query.
    ContentfulTarget,
    /// The headers that `x-contentful-signed-headers` names.
    ContentfulHeaders,
    /// Plivo's URL, query and form: <https://www.plivo.com/docs/voice/concepts/signature-validation>
    PlivoV3,
    /// What `signature-input` lists (RFC 9421).
    Rfc9421,
    /// What the pair `headers` beside the signature lists.
    Cavage,
}

impl Canonical {
    const WORDS: [(&'static str, Self); 6] = [
        ("sns", Self::Sns),
        ("contentful_target", Self::ContentfulTarget),
        ("contentful_headers", Self::ContentfulHeaders),
        ("plivo_v3", Self::PlivoV3),
        ("rfc9421", Self::Rfc9421),
        ("cavage", Self::Cavage),
    ];

    /// Whether all of the body that means something is in it.
    pub(super) fn covers_body(self) -> bool {
        self == Self::PlivoV3
    }

    /// The header with the body's digest that must be among what the request lists.
    pub(super) fn digest_header(self) -> Option<&'static str> {
        match self {
            Self::Rfc9421 => Some("content-digest"),
            Self::Cavage => Some("digest"),
            _ => None,
        }
    }

    pub(super) fn covers_timestamp(self) -> bool {
        matches!(self, Self::Sns | Self::ContentfulHeaders | Self::Rfc9421 | Self::Cavage)
    }

    pub(super) fn needs_url(self) -> bool {
        matches!(self, Self::ContentfulTarget | Self::PlivoV3)
    }

    pub(super) fn bytes(self, context: &Context<'_>) -> Result<Vec<u8>, RefusalCause> {
        let view = context.view;
        match self {
            Self::Sns => sns(context),
            Self::ContentfulTarget => Ok(contentful_target(view.target()).into()),
            Self::ContentfulHeaders => contentful_headers(view),
            Self::PlivoV3 => plivo_v3(view),
            Self::Rfc9421 => http_signature::rfc9421(context),
            Self::Cavage => http_signature::cavage(context),
        }
    }
}

impl FromStr for Canonical {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        value_of(&Self::WORDS, text).ok_or_else(|| format!("`canonical:{text}` is unknown"))
    }
}

fn sns(context: &Context<'_>) -> Result<Vec<u8>, RefusalCause> {
    const NOTIFICATION: [&str; 6] = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    const CONFIRMATION: [&str; 7] = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
    let malformed =
        |field: &str, expected: &str| RefusalCause::MalformedField { field: format!("json:/{field}"), expected: expected.into() };
    let text = |field: &str| context.view.json().and_then(|json| json.get(field)).and_then(Value::as_str);
    // The certificate there is the one that signed. Whoever may name any host may sign with a key of their own.
    let is_theirs = |url| context.scheme.keys.as_ref().is_some_and(|keys| keys.allows(url));
    if !text("SigningCertURL").is_some_and(is_theirs) {
        return Err(malformed("SigningCertURL", "https://sns.<region>.amazonaws.com/<name>.pem"));
    }
    let fields = match text("Type") {
        Some("Notification") => &NOTIFICATION[..],
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => &CONFIRMATION[..],
        _ => return Err(malformed("Type", "`Notification`, `SubscriptionConfirmation` or `UnsubscribeConfirmation`")),
    };
    let mut message = Vec::new();
    for field in fields {
        match text(field) {
            Some(value) => message.extend_from_slice(format!("{field}\n{value}\n").as_bytes()),
            None if *field == "Subject" => {}
            None => return Err(RefusalCause::MissingField { field: format!("json:/{field}") }),
        }
    }
    Ok(message)
}

/// What JavaScript's `encodeURI` leaves alone, in path and query.
const ENCODE_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What Node's `querystring.escape` leaves alone.
const ESCAPE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As Contentful's toolkit has it: the query is escaped as a whole, and then once more with the path.
fn contentful_target(target: &str) -> String {
    let whole = match target.split_once('?') {
        Some((path, query)) if !query.is_empty() => {
            format!("{path}?{}", utf8_percent_encode(query.split('?').next().unwrap_or_default(), ESCAPE))
        }
        Some((path, _)) => path.to_owned(),
        None => target.to_owned(),
    };
    utf8_percent_encode(&whole, ENCODE_URI).to_string()
}

/// The header that names the signed ones.
pub(super) const CONTENTFUL_NAMES: &str = "x-contentful-signed-headers";

fn contentful_headers(view: &View<'_>) -> Result<Vec<u8>, RefusalCause> {
    let named = carrier::only(view.headers(), CONTENTFUL_NAMES)?;
    let malformed = || RefusalCause::MalformedHeader {
        header: CONTENTFUL_NAMES.into(),
        expected: "header names separated by commas, `x-contentful-timestamp` and this one among them".into(),
    };
    let names = carrier::names(named, b',').ok_or_else(malformed)?;
    if ["x-contentful-timestamp", CONTENTFUL_NAMES].iter().any(|needed| !names.iter().any(|name| name == needed)) {
        return Err(malformed());
    }
    let pairs = names.iter().map(|name| Ok([name.as_bytes(), b":", carrier::only(view.headers(), name)?.trim_ascii()].concat()));
    Ok(pairs.collect::<Result<Vec<_>, RefusalCause>>()?.join(&b";"[..]))
}

/// As Plivo's own kits have it: the query sorted, and behind a dot the form sorted, where there is one.
fn plivo_v3(view: &View<'_>) -> Result<Vec<u8>, RefusalCause> {
    let missing = |field: &str| RefusalCause::MissingField { field: field.into() };
    let url = view.url().ok_or_else(|| missing("public_url"))?.split('?').next().unwrap_or_default();
    let sorted = |fields: &view::Fields, between: &str| -> Vec<String> {
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_unstable();
        fields.into_iter().map(|(name, value)| format!("{name}{between}{value}")).collect()
    };
    let query = sorted(view.query().ok_or_else(|| missing("query"))?, "=").join("&");
    let form = sorted(view.form().ok_or_else(|| missing("form"))?, "").concat();
    Ok(match (query.is_empty(), form.is_empty()) {
        (true, true) => url.into(),
        (false, true) => format!("{url}?{query}").into(),
        (true, false) => format!("{url}?{form}").into(),
        (false, false) => format!("{url}?{query}.{form}").into(),
    })
}

/// Atlassian's hash of method, path and sorted query:
/// <https://developer.atlassian.com/cloud/bitbucket/query-string-hash/>
pub(super) fn query_string_hash(view: &View<'_>) -> String {
    let path = view.target().split('?').next().unwrap_or("/");
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let escaped = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
    let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in view.query().into_iter().flatten().filter(|(name, _)| name != "jwt") {
        let (name, value) = (escaped(name), escaped(value));
        match grouped.iter_mut().find(|(own, _)| *own == name) {
            Some((_, values)) => values.push(value),
            None => grouped.push((name, vec![value])),
        }
    }
    grouped.sort();
    let query = grouped.into_iter().map(|(name, mut values)| {
        values.sort();
        format!("{name}={}", values.join(","))
    });
    let request = format!("{}&{path}&{}", view.method().to_ascii_uppercase(), query.collect::<Vec<_>>().join("&"));
    hex::encode(Sha256::digest(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contentful_escapes_a_query_twice() {
        assert_eq!(contentful_target("/hook?x=1&y=a%20b"), "/hook?x%253D1%2526y%253Da%252520b");
        assert_eq!(contentful_target("/a b"), "/a%20b");
    }
}
