//! The question a provider asks before it sends events, answered by the host. Only a request that was verified first is
//! answered, with a short plain value of its own body, so nobody can have bytes of theirs signed or served.

use bytes::Bytes;

use crate::domain::{RawRequest, RefusalCause, Verified};

use super::json::Wanted;
use super::provider::Handshake;
use super::verifier::Verifier;

/// What the provider wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// A provider's handshake, made ready.
pub(super) struct Question {
    wanted: Wanted,
    at: usize,
    is: String,
    echo: usize,
}

impl Question {
    pub(super) fn new(handshake: &Handshake) -> Self {
        let mut wanted = Wanted::default();
        let (at, echo) = (wanted.add(&handshake.at), wanted.add(&handshake.echo));
        Self { wanted, at, is: handshake.is.clone(), echo }
    }
}

impl Verifier {
    /// The answer, if this request is a handshake and no event. Taking a [`Verified`] is what keeps strangers out.
    pub fn handshake(&self, request: &RawRequest, _: &Verified) -> Option<Result<HandshakeAnswer, RefusalCause>> {
        let question = self.question.as_ref()?;
        let found = question.wanted.find(&request.body);
        if found[question.at].as_ref() != Some(&question.is) {
            return None;
        }
        let echo = found[question.echo].clone().filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()));
        let body = echo.ok_or_else(|| RefusalCause::HandshakeFailed { detail: "its challenge is missing or not plain text".into() });
        Some(body.map(|body| HandshakeAnswer { status: 200, content_type: "text/plain; charset=utf-8", body: body.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sender::{NOW, Sender};
    use super::*;

    fn answer(provider: &str, body: &str) -> Option<Result<HandshakeAnswer, RefusalCause>> {
        let sender = Sender::new(provider, "s");
        let request = sender.with(body, &[]);
        let verified = sender.verifier.verify(&request, NOW).expect("a proof");
        sender.verifier.handshake(&request, &verified)
    }

    #[test]
    fn a_signed_challenge_is_answered_as_plain_text() {
        let answer = answer("slack", r#"{"token":"t","challenge":"3eZbrw1aB","type":"url_verification"}"#).expect("a handshake");
        let expected = HandshakeAnswer { status: 200, content_type: "text/plain; charset=utf-8", body: "3eZbrw1aB".into() };
        assert_eq!(answer, Ok(expected));
    }

    #[test]
    fn an_event_is_no_handshake() {
        assert_eq!(answer("slack", r#"{"challenge":"x","type":"event_callback"}"#), None);
        assert_eq!(answer("slack", "type=url_verification&challenge=x"), None);
        assert_eq!(answer("stripe", r#"{"challenge":"x","type":"url_verification"}"#), None);
    }

    #[test]
    fn a_challenge_that_is_missing_long_or_not_plain_is_refused() {
        let long = "a".repeat(257);
        for challenge in ["", "a b", "é", "a\\u0000", &long] {
            let body = format!(r#"{{"type":"url_verification","challenge":"{challenge}"}}"#);
            assert!(matches!(answer("slack", &body), Some(Err(RefusalCause::HandshakeFailed { .. }))), "{challenge}");
        }
        assert!(matches!(answer("slack", r#"{"type":"url_verification"}"#), Some(Err(RefusalCause::HandshakeFailed { .. }))));
    }
}
