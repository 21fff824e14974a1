//! Where a provider publishes its keys, as a file says it: a URL, within what the file allows, and how what is there is read.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::domain::RefusalCause;

use super::location::Pointer;
use super::message::Context;
use super::template::{Part, Source, Template};

/// The longest URL: a stranger may name it, and it is logged and stored.
const URL_BYTES_MAX: usize = 512;

/// Where a scheme's public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    /// The URL; may have parts of the request in it.
    pub(super) url: Template,
    /// What the URL must be like.
    pub(super) within: Vec<UrlPattern>,
    /// What is found there.
    pub(super) document: KeyDocument,
    /// Whether it is asked for with a token of the source's (RFC 6750).
    pub(super) has_token: bool,
}

/// How keys are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyDocument {
    /// A JSON Web Key Set (RFC 7517 §5).
    Jwks,
    /// A public key or certificate in PEM.
    Pem,
    /// The same, or base64 of a SubjectPublicKeyInfo, at this place of a JSON document.
    Json(Pointer),
}

/// An `https` URL in which each `*` stands for letters, digits, `-` and `_`: never for a dot or a slash. `**` at its end is anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlPattern {
    parts: Vec<String>,
    is_open: bool,
}

impl FromStr for KeyDocument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "jwks" => Ok(Self::Jwks),
            None if text == "pem" => Ok(Self::Pem),
            Some(("json", pointer)) => pointer.parse().map(Self::Json),
            _ => Err("keys are found as `jwks`, `pem` or `json:/POINTER`".into()),
        }
    }
}

impl KeySource {
    /// The URL for one request. What a stranger chose is fetched only where the file allows it.
    pub(super) fn url(&self, context: &Context<'_>) -> Result<String, RefusalCause> {
        let malformed = || RefusalCause::MalformedField { field: "the URL of the key".into(), expected: "one of the provider's".into() };
        let url = String::from_utf8(self.url.resolve(context)?.whole()).map_err(|_| malformed())?;
        if (self.within.is_empty() || self.allows(&url)) && url.starts_with("https://") && url.len() <= URL_BYTES_MAX {
            Ok(url)
        } else {
            Err(malformed())
        }
    }

    /// Whether a URL is one of those that the file allows.
    pub(super) fn allows(&self, url: &str) -> bool {
        self.within.iter().any(|pattern| pattern.fits(url))
    }

    /// The URL where no request decides it, as far as the source says its parameters.
    pub(super) fn fixed_url(&self, parameters: &BTreeMap<String, String>) -> Option<String> {
        let text = |part: &Part| match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Made(Source::Parameter(name), _) => parameters.get(name).cloned(),
            _ => None,
        };
        self.url.parts.iter().map(text).collect()
    }

    /// Whether a stranger can fetch nothing but what the file names; the error says what is missing.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_ours = |part: &Part| matches!(part, Part::Literal(_) | Part::Made(Source::Parameter(_), _));
        if self.within.is_empty() && !self.url.parts.iter().all(is_ours) {
            return Err("`keys` has parts of the request in its `url`: say what it must be `within`".into());
        }
        Ok(())
    }
}

impl UrlPattern {
    pub(super) fn fits(&self, url: &str) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let Some((first, others)) = self.parts.split_first() else { return false };
        let Some(mut rest) = url.strip_prefix(first.as_str()) else { return false };
        for literal in others {
            // Literals begin with what a `*` does not stand for, or are empty at the end.
            let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
            match rest[end..].strip_prefix(literal.as_str()) {
                Some(after) if end > 0 => rest = after,
                _ => return false,
            }
        }
        rest.is_empty() || (self.is_open && rest.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}

impl FromStr for UrlPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, is_open) = text.strip_suffix("**").map_or((text, false), |text| (text, true));
        let parts: Vec<String> = text.split('*').map(Into::into).collect();
        let separates = |part: &String| part.is_empty() || part.starts_with(['.', '/', '?', '=']);
        let is_whole = text.starts_with("https://") && text["https://".len()..].contains('/');
        let is_apart = parts[1..].iter().all(separates) && parts[1..parts.len().max(2) - 1].iter().all(|part| !part.is_empty());
        // What is open begins behind the path.
        let is_closed = !is_open || text.ends_with(['/', '?', '&', '=']);
        if is_whole && is_apart && is_closed {
            return Ok(Self { parts, is_open });
        }
        Err("a pattern is an https URL in which `*` stands for a word between dots and slashes, as in `https://sns.*.amazonaws.com/*.pem`"
            .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, url: &str) -> bool {
        pattern.parse::<UrlPattern>().expect("a pattern").fits(url)
    }

    #[test]
    fn a_star_is_a_word_and_never_a_host_or_a_path() {
        let sns = "https://sns.*.amazonaws.com/*.pem";
        assert!(fits(sns, "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-01d0.pem"));
        for url in [
            "http://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
            "https://sns.evil.example/.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com:8443/a.pem",
            "https://sns..amazonaws.com/a.pem",
            "https://sns.a.b.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com/a/b.pem",
            "https://sns.us-east-1.amazonaws.com/a.pem?x=1",
            "https://sns.us-east-1.amazonaws.com/.pem",
        ] {
            assert!(!fits(sns, url), "{url}");
        }
        assert!(fits("https://api.paypal.com/v1/notifications/certs/*", "https://api.paypal.com/v1/notifications/certs/CERT-360caa42"));
        assert!(!fits("https://api.paypal.com/v1/notifications/certs/*", "https://api.paypal.com/v1/notifications/certs/../x"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let confirm = "https://sns.*.amazonaws.com/?Action=ConfirmSubscription&**";
        assert!(fits(confirm, "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:x&Token=1"));
        assert!(!fits(confirm, "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&TopicArn=arn"));
        assert!(!fits(confirm, "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&a b"));
        for text in ["", "https://**", "https://a.example**", "http://a.example/*", "https://*", "https://a.example/a*b", "*"] {
            assert!(text.parse::<UrlPattern>().is_err(), "{text}");
        }
    }
}
