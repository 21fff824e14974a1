//! The questions that providers ask before they send events, answered by the host. An answer that is made with a secret is a signature over
//! what somebody else chose: it is given for short challenges without delimiters only, and what looks like a challenge is never taken
//! for a signed event.

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::{RawRequest, RefusalCause, Secret, Timestamp, Verified};

use super::algorithm::Encoding;
use super::key;
use super::key_source::UrlPattern;
use super::location::Pointer;
use super::mac::Key;
use super::message::Message;
use super::verifier::Verifier;
use super::view::{self, View};

/// The longest challenge, in bytes.
const CHALLENGE_BYTES_MAX: usize = 512;
/// The longest secret that is offered.
const SECRET_BYTES_MAX: usize = 256;
/// The longest that an answer is signed for.
const SIGNED_CHALLENGE_BYTES_MAX: usize = 128;

/// A request that asks for something to be sent back, and is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The HTTP method, upper-case.
    pub(super) method: String,
    /// Whether it is proved as events are, and checked first.
    pub(super) is_signed: bool,
    /// What tells it from an event: the word that stands there.
    pub(super) when: Option<(Spot, String)>,
    /// It is an event after all where this is in the body.
    pub(super) unless: Option<Pointer>,
    /// Where the operator's word stands, and the source's parameter that says it.
    pub(super) token: Option<(Spot, String)>,
    /// Where the challenge stands.
    pub(super) challenge: Option<Spot>,
    /// How `<mac>` is written: the challenge under the source's secret.
    pub(super) mac: Option<Encoding>,
    /// What `<hash>` is the SHA-256 of, in hexadecimal digits.
    pub(super) hash: Option<String>,
    /// Where the secret stands that the provider will sign with: the source's to be, once its operator says so.
    pub(super) offers: Option<Spot>,
    /// Where the URL stands that must be visited before it is answered, and what that must be like.
    pub(super) visit: Option<(Spot, Vec<UrlPattern>)>,
    /// What the answer is.
    pub(super) answer: Form,
}

/// An answer with `<challenge>`, `<mac>`, `<hash>`, `<public_url>` and `<parameter:NAME>` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    pub(super) headers: Vec<(String, String)>,
}

/// Where something of a handshake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// In a header, by its lower-case name.
    Header(String),
    /// In a parameter of the query.
    Query(String),
    /// In a field of a form.
    Form(String),
    /// In the JSON body.
    Json(Pointer),
}

/// What the provider wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The secret that the provider offers to sign with.
    pub offered: Option<Secret>,
    /// To be visited first: an `https` URL, of those that the provider's file allows.
    pub visit: Option<String>,
}

impl Spot {
    fn find(&self, view: &View<'_>) -> Option<String> {
        match self {
            Self::Header(name) => view.headers().text(name).map(Into::into),
            Self::Query(name) => view.query().and_then(|query| view::only(query, name)).map(Into::into),
            Self::Form(name) => view.form().and_then(|form| view::only(form, name)).map(Into::into),
            Self::Json(pointer) => match view.json_at(pointer)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            },
        }
    }
}

impl Handshake {
    /// The parameters that the source must set.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        let texts = self.answer.headers.iter().map(|(_, text)| text).chain([&self.answer.body]).chain(&self.hash);
        let named = texts.flat_map(|text| text.split("<parameter:").skip(1).filter_map(|rest| Some(rest.split_once('>')?.0)));
        named.chain(self.token.as_ref().map(|(_, name)| name.as_str()))
    }

    /// Whether `<public_url>` is in it.
    pub(super) fn needs_url(&self) -> bool {
        [Some(&self.answer.body), self.hash.as_ref()].into_iter().flatten().any(|text| text.contains("<public_url>"))
    }

    fn is_meant(&self, view: &View<'_>) -> bool {
        let is_word = self.when.as_ref().is_none_or(|(spot, word)| spot.find(view).as_ref() == Some(word));
        let is_event = self.unless.as_ref().is_some_and(|pointer| view.json_at(pointer).is_some());
        let is_asked = self.when.is_some() || self.challenge.as_ref().is_none_or(|spot| spot.find(view).is_some());
        view.method() == self.method && is_word && !is_event && is_asked
    }

    /// The challenge, if it is fit to be sent back.
    fn challenge(&self, view: &View<'_>) -> Result<String, RefusalCause> {
        let Some(spot) = &self.challenge else { return Ok(String::new()) };
        let challenge = spot.find(view).filter(|text| self.is_fit(text));
        challenge.ok_or_else(|| RefusalCause::HandshakeFailed { detail: "its challenge is missing, too long or not plain text".into() })
    }

    fn is_fit(&self, challenge: &str) -> bool {
        let is_json = self.answer.content_type == JSON;
        if self.mac.is_some() {
            return is_like_challenge(challenge.as_bytes());
        }
        // Nothing that would end a text in JSON or begin a tag.
        let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'<' && !(is_json && (byte == b'"' || byte == b'\\'));
        (1..=CHALLENGE_BYTES_MAX).contains(&challenge.len()) && challenge.bytes().all(is_plain)
    }
}

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Whether these bytes could be a challenge that somebody was given a signature for.
pub(super) fn is_like_challenge(bytes: &[u8]) -> bool {
    (1..=SIGNED_CHALLENGE_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

impl Verifier {
    /// Whether requests of this method can be a handshake.
    pub fn asks_by(&self, method: &str) -> bool {
        self.provider().handshakes.iter().any(|handshake| handshake.method == method)
    }

    /// The answer, if this request is a handshake and no event. One that is proved as events are is answered once it was; the others
    /// are looked for before.
    pub fn handshake(
        &self,
        request: &RawRequest,
        verified: Option<&Verified>,
        now: Timestamp,
    ) -> Option<Result<HandshakeAnswer, RefusalCause>> {
        // What is let in without a proof is not proved by that.
        let is_proved = verified.is_some_and(|verified| verified.held.is_some());
        let mut asked = self.provider().handshakes.iter().filter(|handshake| handshake.is_signed == is_proved).peekable();
        asked.peek()?;
        let view = View::new(request, self.public_url.as_deref());
        let handshake = asked.find(|handshake| handshake.is_meant(&view))?;
        Some(self.answer(handshake, &view, verified, now))
    }

    /// Whether a signature over these bytes may have been given away.
    pub(super) fn may_have_signed(&self, message: &Message<'_>) -> bool {
        self.provider().handshakes.iter().any(|handshake| handshake.mac.is_some()) && is_like_challenge(&message.whole())
    }

    fn answer(
        &self,
        handshake: &Handshake,
        view: &View<'_>,
        verified: Option<&Verified>,
        now: Timestamp,
    ) -> Result<HandshakeAnswer, RefusalCause> {
        let failed = |detail: &str| RefusalCause::HandshakeFailed { detail: detail.into() };
        if let Some(unset) = handshake.parameters().find(|name| !self.parameters.contains_key(*name)) {
            return Err(failed(&format!("the source does not set `parameters = {{ {unset} = … }}`, which the answer needs")));
        }
        if handshake.needs_url() && self.public_url.is_none() {
            return Err(failed("the source does not set `public_url`, which the answer needs"));
        }
        if let Some((spot, parameter)) = &handshake.token {
            let (sent, own) = (spot.find(view).unwrap_or_default(), self.parameters.get(parameter).map_or("", String::as_str));
            if own.is_empty() || !bool::from(sent.as_bytes().ct_eq(own.as_bytes())) {
                return Err(failed("its verify token is not the source's"));
            }
        }
        let challenge = handshake.challenge(view)?;
        let mac = match handshake.mac {
            Some(encoding) => encoding.encode(&self.sign_challenge(&challenge, verified, now).ok_or(RefusalCause::NoLiveSecret)?),
            None => String::new(),
        };
        let fill = |text: &str, hash: &str| self.fill(text, &challenge, &mac, hash);
        let hash = handshake.hash.as_ref().map_or_else(String::new, |text| hex::encode(Sha256::digest(fill(text, ""))));
        let visit = handshake.visit.as_ref().map(|(spot, within)| {
            let url = spot.find(view).filter(|url| within.iter().any(|pattern| pattern.fits(url)));
            url.ok_or_else(|| failed("what is to be visited is not the provider's"))
        });
        let offered = handshake.offers.as_ref().and_then(|spot| spot.find(view)).filter(|text| self.is_fit_for_secret(text));
        let offered = offered.map(|text| Secret::new(text.into_bytes()));
        let Form { status, content_type, body, headers } = &handshake.answer;
        let headers = headers.iter().map(|(name, text)| (name.clone(), fill(text, &hash))).collect();
        Ok(HandshakeAnswer { status: *status, content_type, headers, body: fill(body, &hash).into(), offered, visit: visit.transpose()? })
    }

    /// The source's own is no news.
    fn is_fit_for_secret(&self, text: &str) -> bool {
        let is_known = self.secrets.iter().any(|spec| key::trimmed(&spec.secret) == text.as_bytes());
        !is_known && (8..=SECRET_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    fn fill(&self, text: &str, challenge: &str, mac: &str, hash: &str) -> String {
        // The challenge comes last, so that nothing in it is taken for a place.
        let mut filled =
            text.replace("<mac>", mac).replace("<hash>", hash).replace("<public_url>", self.public_url.as_deref().unwrap_or_default());
        for (name, value) in &self.parameters {
            filled = filled.replace(&format!("<parameter:{name}>"), value);
        }
        filled.replace("<challenge>", challenge)
    }

    /// The challenge under the secret that the request itself was signed with, else under the first that is valid.
    fn sign_challenge(&self, challenge: &str, verified: Option<&Verified>, now: Timestamp) -> Option<Vec<u8>> {
        let keys = self.armed.iter().flat_map(|armed| &armed.keys).filter(|key| key.is_live(now) && !matches!(key.key, Key::Token(_)));
        let wanted = verified.and_then(|verified| verified.held).map(|held| held.secret);
        let key = keys.filter(|key| wanted.is_none_or(|wanted| key.secret == wanted)).min_by_key(|key| key.secret)?;
        key.key.sign(&Message::of(challenge.as_bytes()))
    }
}
