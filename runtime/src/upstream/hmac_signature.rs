//! Signs calls by an HMAC that the operator describes: over what, in which header, written how (RFC 2104). Signs only; what arrives is
//! verified in `verify`.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::credentials::{Message, own_header};
use crate::domain::Secret;

/// How calls are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacSigning {
    /// The key, as it is.
    pub secret: Secret,
    /// The hash below the HMAC.
    pub algorithm: HmacAlgorithm,
    /// How the signature is written.
    pub encoding: HmacEncoding,
    /// The header that carries it, such as `x-signature`.
    pub header: String,
    /// What stands before it in the header, such as `sha256=` or `t={timestamp},v1=`.
    pub prefix: SigningTemplate,
    /// What is signed, such as `{timestamp}.{body}`.
    pub over: SigningTemplate,
    /// The header that carries the time of the call, Unix seconds.
    pub timestamp_header: Option<String>,
}

/// The hash below an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// SHA-1: only for who still asks for it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacEncoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Text with `{timestamp}` (Unix seconds), `{method}`, `{path}` (with its query, as it is sent) and `{body}` in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigningTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Timestamp,
    Method,
    Path,
    Body,
}

impl FromStr for SigningTemplate {
    type Err = String;

    fn from_str(mut text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        while let Some((literal, rest)) = text.split_once('{') {
            let (name, rest) = rest.split_once('}').ok_or("a `{` has no `}`")?;
            parts.extend((!literal.is_empty()).then(|| Part::Literal(literal.into())));
            parts.push(match name {
                "timestamp" => Part::Timestamp,
                "method" => Part::Method,
                "path" => Part::Path,
                "body" => Part::Body,
                _ => return Err(format!("`{{{name}}}` is none of {{timestamp}}, {{method}}, {{path}} and {{body}}")),
            });
            text = rest;
        }
        parts.extend((!text.is_empty()).then(|| Part::Literal(text.into())));
        Ok(Self(parts))
    }
}

impl SigningTemplate {
    /// Whether the time of the call is in it.
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    fn write(&self, message: &Message<'_>, mut to: impl FnMut(&[u8])) {
        for part in &self.0 {
            match part {
                Part::Literal(text) => to(text.as_bytes()),
                Part::Timestamp => to(message.now.as_seconds().to_string().as_bytes()),
                Part::Method => to(message.method.as_str().as_bytes()),
                Part::Path => to(message.path.as_bytes()),
                Part::Body => to(message.body),
            }
        }
    }
}

/// [`HmacSigning`], with the first half of the HMAC already computed.
#[derive(Clone)]
pub(super) struct HmacKey {
    keyed: Keyed,
    encoding: HmacEncoding,
    header: HeaderName,
    prefix: SigningTemplate,
    over: SigningTemplate,
    timestamp_header: Option<HeaderName>,
}

#[derive(Clone)]
enum Keyed {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl HmacKey {
    /// Prepares what each call needs; else one sentence for the operator.
    pub(super) fn prepare(signing: &HmacSigning) -> Result<Self, &'static str> {
        let HmacSigning { secret, algorithm, encoding, header, prefix, over, timestamp_header } = signing;
        if !over.0.contains(&Part::Body) {
            return Err("what `hmac` signs has no {body} in it, so that anyone could send another one");
        }
        if over.has_timestamp() && timestamp_header.is_none() && !prefix.has_timestamp() {
            return Err("`hmac` signs a {timestamp} that is not sent; name a `timestamp_header`, or put it into `prefix`");
        }
        if prefix.0.iter().any(|part| matches!(part, Part::Method | Part::Path | Part::Body)) {
            return Err("the `prefix` of `hmac` has no other part than {timestamp}");
        }
        let is_sendable = |part: &Part| if let Part::Literal(text) = part { HeaderValue::from_str(text).is_ok() } else { true };
        if !prefix.0.iter().all(is_sendable) {
            return Err("the `prefix` of `hmac` has characters that no header can carry");
        }
        let header = own_header(header)?;
        let timestamp_header = timestamp_header.as_deref().map(own_header).transpose()?;
        if timestamp_header.as_ref() == Some(&header) {
            return Err("`header` and `timestamp_header` of `hmac` are the same");
        }
        let keyed = Keyed::new(*algorithm, secret);
        Ok(Self { keyed, encoding: *encoding, header, prefix: prefix.clone(), over: over.clone(), timestamp_header })
    }

    pub(super) fn owns(&self, name: &HeaderName) -> bool {
        self.header == *name || self.timestamp_header.as_ref() == Some(name)
    }

    /// Sets signature and time.
    pub(super) fn sign(&self, headers: &mut HeaderMap, message: &Message<'_>) {
        let signature = self.keyed.sign(|update| self.over.write(message, update));
        let mut value = Vec::new();
        self.prefix.write(message, |part| value.extend_from_slice(part));
        value.extend_from_slice(self.encoding.encode(&signature).as_bytes());
        let value = HeaderValue::from_bytes(&value).expect("checked when it was prepared; the rest is digits, hexadecimal or base64");
        headers.insert(self.header.clone(), value);
        if let Some(name) = &self.timestamp_header {
            headers.insert(name.clone(), HeaderValue::from(message.now.as_seconds()));
        }
    }
}

impl Keyed {
    fn new(algorithm: HmacAlgorithm, secret: &Secret) -> Self {
        let any_length = "HMAC takes keys of any length";
        match algorithm {
            HmacAlgorithm::Sha1 => Self::Sha1(Hmac::new_from_slice(secret.expose()).expect(any_length)),
            HmacAlgorithm::Sha256 => Self::Sha256(Hmac::new_from_slice(secret.expose()).expect(any_length)),
            HmacAlgorithm::Sha512 => Self::Sha512(Hmac::new_from_slice(secret.expose()).expect(any_length)),
        }
    }

    fn sign(&self, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<u8> {
        fn finish(mut mac: impl Mac, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<u8> {
            write(&mut |part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match self.clone() {
            Self::Sha1(mac) => finish(mac, write),
            Self::Sha256(mac) => finish(mac, write),
            Self::Sha512(mac) => finish(mac, write),
        }
    }
}

impl HmacEncoding {
    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::domain::Timestamp;

    fn signing(over: &str) -> HmacSigning {
        HmacSigning {
            secret: Secret::new(&b"Jefe"[..]),
            algorithm: HmacAlgorithm::Sha256,
            encoding: HmacEncoding::Hex,
            header: "X-Signature".into(),
            prefix: SigningTemplate::default(),
            over: over.parse().expect("a template"),
            timestamp_header: None,
        }
    }

    fn signed(signing: &HmacSigning) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let body = b"what do ya want for nothing?";
        let now = Timestamp::from_millis(1_700_000_000_999);
        let message = Message { method: &Method::POST, path: "/v1/x?a=b", body, now };
        HmacKey::prepare(signing).map_err(str::to_owned).expect("usable").sign(&mut headers, &message);
        headers
    }

    #[test]
    fn signatures_are_those_of_the_test_vectors() {
        // RFC 2202 §3 and RFC 4231 §4.3, test case 2 of each.
        let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        for (algorithm, expected) in [
            (HmacAlgorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (HmacAlgorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (HmacAlgorithm::Sha512, sha512),
        ] {
            assert_eq!(signed(&HmacSigning { algorithm, ..signing("{body}") })["x-signature"], expected);
        }
        let base64 = HmacSigning { encoding: HmacEncoding::Base64, ..signing("{body}") };
        assert_eq!(signed(&base64)["x-signature"], "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }

    #[test]
    fn the_signature_covers_the_parts_in_their_order_and_says_when() {
        let all = HmacSigning {
            prefix: "t={timestamp},v1=".parse().expect("a template"),
            timestamp_header: Some("X-Timestamp".into()),
            ..signing("{timestamp}:{method} {path}\n{body}.")
        };
        let headers = signed(&all);
        // python: hmac.new(b"Jefe", b"1700000000:POST /v1/x?a=b\nwhat do ya want for nothing?.", "sha256").hexdigest()
        let expected = "8ec165e8f6e41454bf9d5bad569dd32920740d951cb7faf0dae441520605ba16";
        assert_eq!(headers["x-signature"], format!("t=1700000000,v1={expected}"));
        assert_eq!(headers["x-timestamp"], "1700000000");
    }

    #[test]
    fn a_description_that_would_not_protect_a_call_is_refused() {
        let named = |header: &str| HmacSigning { header: header.into(), ..signing("{body}") };
        let prefixed = |prefix: &str| HmacSigning { prefix: prefix.parse().expect("a template"), ..signing("{body}") };
        let same = HmacSigning { timestamp_header: Some("x-signature".into()), ..signing("{body}") };
        for signing in [
            signing("{path}"),
            signing(""),
            signing("{timestamp}.{body}"),
            named("host"),
            named("a b"),
            prefixed("{body}"),
            prefixed("a\n"),
            same,
        ] {
            assert!(HmacKey::prepare(&signing).is_err(), "{signing:?} was taken");
        }
        assert!(HmacKey::prepare(&HmacSigning { timestamp_header: Some("x-time".into()), ..signing("{timestamp}.{body}") }).is_ok());
    }

    #[test]
    fn templates_name_only_what_there_is() {
        for text in ["{bod}", "{body", "{}", "{{body}}"] {
            assert!(text.parse::<SigningTemplate>().is_err(), "{text} was taken");
        }
    }
}
