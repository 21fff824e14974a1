//! JSON Web Tokens (RFC 7519) in the compact form (RFC 7515 §7.1). Nothing that a token says of itself is believed: its algorithm is only
//! compared with the provider's, and no key is looked up where it points.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Sha256, Sha384, Sha512};

use crate::domain::{RefusalCause, Timestamp};

use super::algorithm::JwtAlgorithm;
use super::canonical;
use super::json;
use super::key::KeyFault;
use super::mac::any_is;
use super::message::Context;
use super::public_key::{Kind, PublicKey};
use super::scheme::{Claim, ClaimRule, Jwt};
use super::template::Template;

/// How far the clocks of two honest machines are taken to differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// A key for tokens, once for each algorithm that the provider uses.
pub(super) struct JwtKey(Vec<(JwtAlgorithm, Material)>);

enum Material {
    Shared(Vec<u8>),
    Public(PublicKey),
}

/// A token taken apart.
pub(super) struct Token<'t> {
    signed: Vec<u8>,
    algorithm: JwtAlgorithm,
    signature: Vec<u8>,
    payload: std::borrow::Cow<'t, [u8]>,
}

impl JwtKey {
    pub(super) fn new(jwt: &Jwt, decoded: &[u8]) -> Result<Self, KeyFault> {
        let key = |algorithm: &JwtAlgorithm| {
            let material = match Kind::of_jwt(*algorithm) {
                Some(kind) => Material::Public(PublicKey::read(kind, jwt.key, decoded.to_vec())?),
                None => Material::Shared(decoded.to_vec()),
            };
            Ok((*algorithm, material))
        };
        // Where a provider uses several kinds of public keys, the operator's is of one of them.
        let keys: Vec<Result<_, KeyFault>> = jwt.algorithms.iter().map(key).collect();
        let (fit, unfit): (Vec<_>, Vec<_>) = keys.into_iter().partition(Result::is_ok);
        let fit: Vec<_> = fit.into_iter().flatten().collect();
        match unfit.into_iter().next() {
            Some(Err(fault)) if fit.is_empty() => Err(fault),
            _ => Ok(Self(fit)),
        }
    }

    /// One that its provider publishes, for each algorithm of the provider's that it is a key for; `None` where it is for none.
    pub(super) fn published(jwt: &Jwt, key: impl Fn(Kind) -> Option<PublicKey>) -> Option<Self> {
        let of = |algorithm: &JwtAlgorithm| Some((*algorithm, Material::Public(key(Kind::of_jwt(*algorithm)?)?)));
        let keys: Vec<_> = jwt.algorithms.iter().filter_map(of).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Whether this key's owner made the token.
    pub(super) fn holds(&self, token: &Token<'_>) -> bool {
        let key = self.0.iter().find(|(algorithm, _)| *algorithm == token.algorithm);
        match key {
            Some((_, Material::Public(key))) => key.holds(&token.signed, &token.signature),
            Some((algorithm, Material::Shared(key))) => {
                let signature = [&token.signature];
                match algorithm {
                    JwtAlgorithm::Hs384 => any_is(&mac::<Hmac<Sha384>>(key, &token.signed), &signature),
                    JwtAlgorithm::Hs512 => any_is(&mac::<Hmac<Sha512>>(key, &token.signed), &signature),
                    _ => any_is(&mac::<Hmac<Sha256>>(key, &token.signed), &signature),
                }
            }
            None => false,
        }
    }

    /// A token over these claims; `None` for a public key.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let (algorithm, key) = self.0.iter().find_map(|(algorithm, material)| match material {
            Material::Shared(key) => Some((*algorithm, key)),
            Material::Public(_) => None,
        })?;
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.word());
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = match algorithm {
            JwtAlgorithm::Hs384 => mac::<Hmac<Sha384>>(key, signed.as_bytes()),
            JwtAlgorithm::Hs512 => mac::<Hmac<Sha512>>(key, signed.as_bytes()),
            _ => mac::<Hmac<Sha256>>(key, signed.as_bytes()),
        };
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The id of the key that a token says it was made with: a hint where to look, and nothing that is believed.
pub(super) fn key_id(token: &[u8]) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(token.split(|byte| *byte == b'.').next()?).ok()?;
    json::unambiguous(&header)?.get("kid")?.as_str().map(Into::into)
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

impl<'t> Token<'t> {
    /// Takes a token apart; `None` where it is none, or of an algorithm that the provider does not use. A detached one (RFC 7515
    /// appendix F) has `body` for its payload.
    pub(super) fn read(jwt: &Jwt, text: &'t [u8], body: &'t [u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || jwt.detached != payload.is_empty() {
            return None;
        }
        let read = json::unambiguous(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        let word = read.get("alg")?.as_str()?;
        // A token that must be understood in another way than this one is not understood.
        if read.get("crit").is_some() {
            return None;
        }
        let algorithm = *jwt.algorithms.iter().find(|algorithm| algorithm.word() == word)?;
        let encoded = if jwt.detached { URL_SAFE_NO_PAD.encode(body).into_bytes() } else { payload.to_vec() };
        let payload = if jwt.detached { body.into() } else { URL_SAFE_NO_PAD.decode(payload).ok()?.into() };
        Some(Self { signed: [header, b".", &encoded].concat(), algorithm, signature: URL_SAFE_NO_PAD.decode(signature).ok()?, payload })
    }

    /// Whether the claims are as the provider's rules say; only to be asked of a token whose signature holds.
    pub(super) fn check(&self, jwt: &Jwt, context: &Context<'_>, now: Timestamp) -> Result<(), RefusalCause> {
        if jwt.detached {
            return Ok(());
        }
        let malformed = || RefusalCause::WrongClaim { claim: "payload".into() };
        let claims = json::unambiguous(&self.payload).filter(Value::is_object).ok_or_else(malformed)?;
        check_validity(&claims, now)?;
        jwt.claims.iter().try_for_each(|claim| {
            let held = claim.holds(&claims, context, now)?;
            if held { Ok(()) } else { Err(RefusalCause::WrongClaim { claim: claim.name.clone() }) }
        })
    }
}

/// Where a token says from when and until when it is valid, that is heeded (RFC 7519 §4.1.4 and §4.1.5).
fn check_validity(claims: &Value, now: Timestamp) -> Result<(), RefusalCause> {
    let wrong = |claim: &str| RefusalCause::WrongClaim { claim: claim.into() };
    if let Some(until) = claims.get("exp") {
        let until = moment(until).ok_or_else(|| wrong("exp"))?;
        let skew = now.since(until);
        if skew >= LEEWAY {
            return Err(RefusalCause::TimestampTooOld { skew, tolerance: LEEWAY });
        }
    }
    if let Some(from) = claims.get("nbf") {
        let from = moment(from).ok_or_else(|| wrong("nbf"))?;
        let skew = from.since(now);
        if skew > LEEWAY {
            return Err(RefusalCause::TimestampTooNew { skew, tolerance: LEEWAY });
        }
    }
    Ok(())
}

/// A NumericDate (RFC 7519 §2): seconds, maybe with a fraction.
fn moment(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < 1e12)?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded above; a fraction of a second does not count")]
        Some(seconds as i64)
    })?;
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

impl Claim {
    fn holds(&self, claims: &Value, context: &Context<'_>, now: Timestamp) -> Result<bool, RefusalCause> {
        let own = claims.get(&self.name);
        let is_one_of = |allowed: &[&str]| match own {
            Some(Value::String(text)) => allowed.contains(&text.as_str()),
            // An audience may be a list (RFC 7519 §4.1.3).
            Some(Value::Array(texts)) => texts.iter().any(|text| text.as_str().is_some_and(|text| allowed.contains(&text))),
            _ => false,
        };
        Ok(match &self.rule {
            ClaimRule::OneOf(allowed) => is_one_of(&allowed.iter().map(String::as_str).collect::<Vec<_>>()),
            ClaimRule::Parameter(name) => context.parameters.get(name).is_some_and(|wanted| is_one_of(&[wanted])),
            ClaimRule::True => own == Some(&Value::Bool(true)),
            ClaimRule::There => own.is_some(),
            ClaimRule::Near(tolerance) => {
                let at = own.and_then(moment);
                at.is_some_and(|at| now.since(at) <= *tolerance && at.since(now) <= *tolerance)
            }
            ClaimRule::Equals(template) => equals(own, template, context)?,
            ClaimRule::EqualsIfBody(template) => {
                if own.is_none() && context.view.body().is_empty() {
                    true
                } else {
                    equals(own, template, context)?
                }
            }
            ClaimRule::Qsh => own.and_then(Value::as_str) == Some(&canonical::query_string_hash(context.view)),
        })
    }
}

fn equals(own: Option<&Value>, template: &Template, context: &Context<'_>) -> Result<bool, RefusalCause> {
    let expected = template.resolve(context)?.whole();
    // Some write base64url with padding, some without.
    let unpadded = |text: &[u8]| {
        if template.is_base64() { text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1) } else { text.len() }
    };
    let own = own.and_then(Value::as_str).map(str::as_bytes);
    Ok(own.is_some_and(|own| own[..unpadded(own)] == expected[..unpadded(&expected)]))
}
