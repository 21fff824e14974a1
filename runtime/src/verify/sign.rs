//! The inverse of verifying: makes the headers that a provider would send, for `hookfast send` and for tests.

use std::cmp::Reverse;

use bytes::Bytes;

use crate::domain::{Headers, RefusalCause, Timestamp};

use super::carrier;
use super::mac::Key;
use super::scheme::{Parse, Proof, Scheme, Signature, TimestampPlace, TimestampRule};
use super::verifier::{Armed, ArmedKey, Verifier};

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// None of the secrets is valid now.
    #[error("the source has no secret that is valid now")]
    NoLiveSecret,
    /// Only the provider has the private key.
    #[error("secret {} is a public key: only the provider can sign for it", .0 + 1)]
    PublicKey(usize),
    /// A header that would be signed is not fit for it.
    #[error("{0}")]
    Header(RefusalCause),
}

impl Verifier {
    /// Adds the headers that prove `body`, with the newest live secret: of those the one that became valid last, and among
    /// equals the one listed first. `id` fills signed id headers; headers that are there already are kept.
    pub fn sign(&self, headers: &mut Headers, body: &Bytes, now: Timestamp, id: &str) -> Result<(), CannotSign> {
        let (armed, newest) = self.newest(now).ok_or(CannotSign::NoLiveSecret)?;
        let scheme = self.scheme(armed);
        let value = match (&scheme.proof, &newest.key) {
            (Proof::Token, Key::Token(token)) => write(scheme, None, token),
            (Proof::Token, _) => return Err(CannotSign::NoLiveSecret),
            (Proof::Signature(signature), key) => {
                add_signed_headers(scheme, signature, headers, now, id);
                let timestamp = signature.timestamp.as_ref().map(|rule| timestamp(rule, headers, now)).transpose()?;
                let text = timestamp.as_deref().unwrap_or_default();
                let message = signature.message.resolve(headers, body, text).map_err(CannotSign::Header)?;
                let bytes = key.sign(&message).ok_or(CannotSign::PublicKey(newest.secret))?;
                write(scheme, Some((signature, text)), signature.encoding.encode(&bytes).as_bytes())
            }
        };
        headers.push(&scheme.header, value);
        Ok(())
    }

    fn newest(&self, now: Timestamp) -> Option<(&Armed, &ArmedKey)> {
        let keys = self.armed.iter().flat_map(|armed| armed.keys.iter().map(move |key| (armed, key)));
        keys.filter(|(_, key)| key.is_live(now)).min_by_key(|(armed, key)| (Reverse(key.not_before), key.secret, armed.scheme))
    }
}

fn add_signed_headers(scheme: &Scheme, signature: &Signature, headers: &mut Headers, now: Timestamp, id: &str) {
    for name in scheme.signed_headers() {
        if headers.all(name).next().is_some() {
            continue;
        }
        match &signature.timestamp {
            Some(TimestampRule { place: TimestampPlace::Header(own), unit, .. }) if own == name => headers.push(name, unit.write(now)),
            _ => headers.push(name, id),
        }
    }
}

fn timestamp(rule: &TimestampRule, headers: &Headers, now: Timestamp) -> Result<Vec<u8>, CannotSign> {
    match &rule.place {
        TimestampPlace::Header(name) => carrier::only(headers, name).map(Into::into).map_err(CannotSign::Header),
        TimestampPlace::Pair(_) => Ok(rule.unit.write(now).into()),
    }
}

/// The header's value around a proof.
fn write(scheme: &Scheme, signed: Option<(&Signature, &[u8])>, proof: &[u8]) -> Vec<u8> {
    match &scheme.parse {
        Parse::List { prefix, .. } => [prefix.as_bytes(), proof].concat(),
        Parse::Pairs { separator, signature } => {
            let mut value = Vec::new();
            if let Some((Signature { timestamp: Some(TimestampRule { place: TimestampPlace::Pair(name), .. }), .. }, text)) = signed {
                value.extend_from_slice(&[name.as_bytes(), b"=", text, separator.to_string().as_bytes()].concat());
            }
            value.extend_from_slice(&[signature.as_bytes(), b"=", proof].concat());
            value
        }
    }
}
