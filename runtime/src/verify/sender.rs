//! A signing sender for tests: one source's verifier, and requests as its provider would send them.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::domain::{Headers, RawRequest, Secret, Timestamp};

use super::{Catalogue, KeyForm, Options, Sample, Scheme, SecretSpec, Verifier};

/// The moment at which tests happen.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A Standard Webhooks secret.
pub(super) const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The names of the providers compiled in that share a secret with those they send to.
pub(super) fn sharing() -> impl Iterator<Item = &'static str> {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);
    let shares = |name: &&str| {
        CATALOGUE.provider(name).and_then(|provider| provider.schemes.first()).is_some_and(|scheme| !scheme.key_form().is_public())
    };
    CATALOGUE.names().filter(shares)
}

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

    /// A sender of a provider that shares a secret, with a secret of its form and whatever else its schemes ask for. `salt` makes another
    /// secret.
    pub(super) fn of(provider: &str, salt: &str) -> Self {
        let catalogue = Catalogue::builtin();
        let schemes = &catalogue.provider(provider).expect("a provider").schemes;
        let secret = match schemes.first().map(Scheme::key_form).expect("a scheme") {
            KeyForm::Whsec => format!("whsec_{}", STANDARD.encode(format!("a secret of a provider {salt}"))),
            KeyForm::Base64 => STANDARD.encode(format!("a secret {salt}")),
            KeyForm::Hex => hex::encode(format!("a secret {salt}")),
            _ => format!("a secret {salt}"),
        };
        let parameters = schemes.iter().flat_map(Scheme::parameters).map(|name| (name.to_owned(), "parameter".to_owned())).collect();
        let options = Options { public_url: Some("https://hooks.example.com/in/test".into()), parameters, ..Options::default() };
        Self::with_options(provider, &[&secret], &options)
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
        let mut sample = Sample::of(Bytes::copy_from_slice(body));
        headers.iter().for_each(|(name, value)| sample.headers.push(name, *value));
        self.verifier.sign(&mut sample, at, "msg_1").expect("a secret to sign with");
        let Sample { headers, body, query } = sample;
        let target = if query.is_empty() { "/in/test".into() } else { format!("/in/test?{query}") };
        RawRequest { method: "POST".into(), target, headers, body, received_at: at }
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
