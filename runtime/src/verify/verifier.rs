//! One source's proof check: its provider's schemes with its own keys. Pure: now is a parameter, the answer a value.

use std::fmt;
use std::sync::Arc;

use crate::domain::{Headers, RawRequest, RefusalCause, Secret, Timestamp, Verified};

use super::carrier;
use super::handshake::Question;
use super::identify::Lookup;
use super::key::{self, KeyFault, SetupError};
use super::mac::Key;
use super::options::Options;
use super::provider::Provider;
use super::scheme::{KeyForm, Proof, Scheme, Signature, TimestampPlace, TimestampRule};
use super::timestamp;

/// A secret of a source, as configured.
#[derive(Debug, Clone)]
pub struct SecretSpec {
    /// Its bytes as read; one newline at the end is not taken for a part of it.
    pub secret: Secret,
    /// Not valid before.
    pub not_before: Option<Timestamp>,
    /// Not valid from then on.
    pub not_after: Option<Timestamp>,
}

/// Verifies the requests of one source.
pub struct Verifier {
    pub(super) provider: Arc<Provider>,
    pub(super) armed: Vec<Armed>,
    pub(super) lookup: Lookup,
    pub(super) question: Option<Question>,
}

/// A scheme that the source has secrets for.
pub(super) struct Armed {
    /// Which of the provider's schemes.
    pub(super) scheme: usize,
    pub(super) keys: Vec<ArmedKey>,
}

/// A secret made ready for one scheme.
pub(super) struct ArmedKey {
    /// Which of the source's secrets.
    pub(super) secret: usize,
    pub(super) key: Key,
    pub(super) not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

impl ArmedKey {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= now) && self.not_after.is_none_or(|end| now < end)
    }
}

impl Verifier {
    /// Decodes the secrets once. A secret serves every scheme that takes secrets of its form.
    pub fn new(provider: &Provider, secrets: &[SecretSpec], options: &Options) -> Result<Self, SetupError> {
        let provider = Arc::new(options.apply(provider)?);
        let forms: Vec<KeyForm> = secrets
            .iter()
            .enumerate()
            .map(|(position, spec)| form(&provider, &spec.secret).map_err(|fault| SetupError::Secret { position, fault }))
            .collect::<Result<_, _>>()?;
        let mut armed = Vec::new();
        for (index, scheme) in provider.schemes.iter().enumerate() {
            let own = secrets.iter().zip(&forms).enumerate().filter(|(_, (_, form))| **form == scheme.key_form());
            let keys: Vec<ArmedKey> = own.map(|(position, (spec, _))| arm(scheme, position, spec)).collect::<Result<_, _>>()?;
            if !keys.is_empty() {
                armed.push(Armed { scheme: index, keys });
            }
        }
        let lookup = Lookup::new(&provider, options);
        let question = provider.handshake.as_ref().map(Question::new);
        Ok(Self { provider, armed, lookup, question })
    }

    /// The provider as this source sees it.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Proves that the source's provider sent these bytes, or says why not.
    ///
    /// The strongest scheme whose header is there decides, so that a right token cannot make up for a wrong signature; schemes
    /// that share that header (Standard Webhooks `v1` and `v1a`) hold each for the other.
    pub fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Verified, RefusalCause> {
        let header = self.deciding_header(&request.headers, now)?;
        let mut refusal = RefusalCause::NoLiveSecret;
        for armed in self.armed.iter().filter(|armed| self.scheme(armed).header == header) {
            match self.verify_by(armed, request, now) {
                Ok(verified) => return Ok(verified),
                Err(cause) if tells(&cause) > tells(&refusal) => refusal = cause,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// Takes the secrets out of a verified request before it is stored or shown.
    pub fn redact(&self, headers: &mut Headers, verified: &Verified) {
        for scheme in self.provider.schemes.iter().filter(|scheme| scheme.proof == Proof::Token) {
            // GitLab may send its token beside the signature that was the proof; it is a secret all the same.
            let is_proof = verified.secret_header.as_ref() == Some(&scheme.header);
            headers.replace(&scheme.header, if is_proof { "[verified]" } else { "[redacted]" });
        }
    }

    pub(super) fn scheme(&self, armed: &Armed) -> &Scheme {
        &self.provider.schemes[armed.scheme]
    }

    fn deciding_header(&self, headers: &Headers, now: Timestamp) -> Result<&str, RefusalCause> {
        if !self.armed.iter().flat_map(|armed| &armed.keys).any(|key| key.is_live(now)) {
            return Err(RefusalCause::NoLiveSecret);
        }
        let is_there = |header: &str| headers.iter().any(|(name, _)| name == header);
        let mut known = self.armed.iter().map(|armed| self.scheme(armed).header.as_str());
        let first = known.clone().next().ok_or(RefusalCause::NoLiveSecret)?;
        known.find(|header| is_there(header)).ok_or_else(|| RefusalCause::MissingHeader { header: first.into() })
    }

    fn verify_by(&self, armed: &Armed, request: &RawRequest, now: Timestamp) -> Result<Verified, RefusalCause> {
        let scheme = self.scheme(armed);
        let value = carrier::only(&request.headers, &scheme.header)?;
        let proofs = scheme.proofs(value)?;
        let live = || armed.keys.iter().filter(|key| key.is_live(now));
        if live().next().is_none() {
            return Err(RefusalCause::NoLiveSecret);
        }
        let secret = match &scheme.proof {
            Proof::Token => first_secret(live(), |key| key.is_among(&proofs)).ok_or(RefusalCause::WrongToken)?,
            Proof::Signature(signature) => {
                let signatures = decode(signature, &proofs).ok_or_else(|| scheme.malformed())?;
                let stamp = signature.timestamp.as_ref().map(|rule| stamp(scheme, rule, &request.headers, value)).transpose()?;
                let text = stamp.as_ref().map_or(&b""[..], |stamp| stamp.text);
                let message = signature.message.resolve(&request.headers, &request.body, text)?;
                let secret = first_secret(live(), |key| key.holds(&message, &signatures)).ok_or(RefusalCause::WrongSignature)?;
                // Only now: a stale request with a wrong signature is above all wrong, and its timestamp proves nothing.
                stamp.map_or(Ok(()), |stamp| timestamp::check(stamp.at, now, stamp.rule.tolerance))?;
                secret
            }
        };
        Ok(Verified {
            scheme: armed.scheme,
            secret,
            signed_headers: scheme.signed_headers().map(Into::into).collect(),
            secret_header: (scheme.proof == Proof::Token).then(|| scheme.header.clone()),
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("provider", &self.provider.name).finish_non_exhaustive()
    }
}

fn form(provider: &Provider, secret: &Secret) -> Result<KeyForm, KeyFault> {
    KeyForm::of(key::trimmed(secret), provider.schemes.iter().map(Scheme::key_form))
}

fn arm(scheme: &Scheme, position: usize, spec: &SecretSpec) -> Result<ArmedKey, SetupError> {
    let decoded = scheme.key_form().decode(key::trimmed(&spec.secret));
    let bytes = decoded.map_err(|fault| SetupError::Secret { position, fault })?;
    let key = match &scheme.proof {
        Proof::Signature(signature) => Key::new(signature.algorithm, bytes),
        Proof::Token => Key::Token(bytes),
    };
    Ok(ArmedKey { secret: position, key, not_before: spec.not_before, not_after: spec.not_after })
}

/// The first secret whose key holds. All are tried, so that the time taken does not tell which one it was.
fn first_secret<'a>(keys: impl Iterator<Item = &'a ArmedKey>, holds: impl Fn(&Key) -> bool) -> Option<usize> {
    keys.fold(None, |first, armed| {
        let held = holds(&armed.key).then_some(armed.secret);
        first.or(held)
    })
}

/// The signatures of the right length; `None` where there is none.
fn decode(signature: &Signature, proofs: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let length = signature.algorithm.signature_bytes();
    let decoded = proofs.iter().filter_map(|proof| signature.encoding.decode(proof));
    let decoded: Vec<Vec<u8>> = decoded.filter(|bytes| bytes.len() == length).collect();
    (!decoded.is_empty()).then_some(decoded)
}

/// A request's timestamp as it is signed and as it is meant.
struct Stamp<'a> {
    text: &'a [u8],
    at: Timestamp,
    rule: &'a TimestampRule,
}

fn stamp<'a>(scheme: &Scheme, rule: &'a TimestampRule, headers: &'a Headers, value: &'a [u8]) -> Result<Stamp<'a>, RefusalCause> {
    let text = match &rule.place {
        TimestampPlace::Pair(name) => scheme.pair(value, name)?,
        TimestampPlace::Header(name) => carrier::only(headers, name)?,
    };
    let at = rule.unit.read(text).ok_or_else(|| match &rule.place {
        TimestampPlace::Pair(_) => scheme.malformed(),
        TimestampPlace::Header(name) => RefusalCause::MalformedHeader { header: name.clone(), expected: format!("`{}`", rule.unit) },
    })?;
    Ok(Stamp { text, at, rule })
}

/// How much a refusal says: a signature that held and came too late says more than one that did not hold, and that more than
/// a header of another version.
fn tells(cause: &RefusalCause) -> u8 {
    match cause {
        RefusalCause::TimestampTooOld { .. } | RefusalCause::TimestampTooNew { .. } => 3,
        RefusalCause::WrongSignature | RefusalCause::WrongToken => 2,
        RefusalCause::NoLiveSecret => 0,
        _ => 1,
    }
}
