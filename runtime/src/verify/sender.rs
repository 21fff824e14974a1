//! A signing sender for tests: one source's verifier, and requests as its provider would send them.

use bytes::Bytes;

use crate::domain::{Headers, RawRequest, Secret, Timestamp};

use super::{Catalogue, Options, SecretSpec, Verifier};

/// The moment at which tests happen.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A Standard Webhooks secret.
pub(super) const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Every provider compiled in, with a secret of its form.
pub(super) const SECRETS: [(&str, &str); 9] = [
    ("github", "s"),
    ("gitlab", WHSEC),
    ("hmac", "s"),
    ("shopify", "s"),
    ("slack", "s"),
    ("standard-webhooks", WHSEC),
    ("stripe", "whsec_s"),
    ("svix", WHSEC),
    ("token", "s"),
];

pub(super) struct Sender {
    pub(super) verifier: Verifier,
}

/// A secret without limits to its validity.
pub(super) fn secret(text: &str) -> SecretSpec {
    SecretSpec { secret: Secret::new(text.as_bytes()), not_before: None, not_after: None }
}

impl Sender {
    pub(super) fn new(provider: &str, secret: &str) -> Self {
        Self::with_options(provider, &[secret], &Options::default())
    }

    pub(super) fn with_options(provider: &str, secrets: &[&str], options: &Options) -> Self {
        let secrets: Vec<SecretSpec> = secrets.iter().map(|text| secret(text)).collect();
        Self::with_secrets(provider, &secrets, options)
    }

    pub(super) fn with_secrets(provider: &str, secrets: &[SecretSpec], options: &Options) -> Self {
        let catalogue = Catalogue::builtin();
        let provider = catalogue.provider(provider).expect("a provider");
        Self { verifier: Verifier::new(provider, secrets, options).expect("secrets that fit") }
    }

    /// A signed request.
    pub(super) fn with(&self, body: &str, headers: &[(&str, &str)]) -> RawRequest {
        self.at(NOW, body.as_bytes(), headers)
    }

    /// A request signed at another time.
    pub(super) fn at(&self, at: Timestamp, body: &[u8], headers: &[(&str, &str)]) -> RawRequest {
        let body = Bytes::copy_from_slice(body);
        let mut list = Headers::default();
        headers.iter().for_each(|(name, value)| list.push(name, *value));
        self.verifier.sign(&mut list, &body, at, "msg_1").expect("a secret to sign with");
        RawRequest { method: "POST".into(), target: "/in/test".into(), headers: list, body, received_at: at }
    }
}

/// The request with each header's value as `change` makes it; `None` takes the header out.
pub(super) fn edited(mut request: RawRequest, change: impl Fn(&str, &str) -> Option<String>) -> RawRequest {
    let mut headers = Headers::default();
    for (name, value) in request.headers.iter() {
        let value = std::str::from_utf8(value).expect("test headers are text");
        change(name, value).into_iter().for_each(|value| headers.push(name, value));
    }
    request.headers = headers;
    request
}
