//! Whether the parts of a scheme fit together, so that no file can describe a proof that proves nothing.

use super::algorithm::{Algorithm, JwtAlgorithm, KeyForm};
use super::scheme::{Carrier, Jwt, Parse, Proof, Scheme, Signature, TimestampPlace};
use super::template::Want;

impl Scheme {
    /// Whether the parts fit together; the error says what does not.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.proof {
            Proof::Token | Proof::Basic if self.partial => return Err("a token signs nothing: `partial` goes without saying".into()),
            Proof::Token | Proof::Basic => return Ok(()),
            Proof::Signature(signature) => self.check_signature(signature)?,
            Proof::Jwt(jwt) => check_jwt(jwt)?,
        }
        if let Some(keys) = &self.keys {
            keys.check()?;
            if !self.key_form().is_public() {
                return Err("`keys` are public keys: the scheme shares a secret".into());
            }
        }
        if self.covers_body() == self.partial {
            return Err("the proof covers the body (`{body}` in the message, or in a claim), or the scheme says `partial = true`".into());
        }
        Ok(())
    }

    fn check_signature(&self, signature: &Signature) -> Result<(), String> {
        let algorithm = signature.algorithm;
        let is_raw = matches!(signature.key, KeyForm::Whpk | KeyForm::RawHex | KeyForm::RawBase64);
        if algorithm.is_asymmetric() != signature.key.is_public() || (is_raw && algorithm != Algorithm::Ed25519) {
            return Err("the key's form does not go with the algorithm: `ed25519` takes `whpk`, `raw-hex`, `raw-base64`, `pem`, other public keys `pem`".into());
        }
        if algorithm.is_bare_hash() != signature.message.has_secret() {
            return Err("a bare hash has the `{secret}` in its message, and nothing else has".into());
        }
        if self.is_signed_itself(signature) {
            return Err("the message cannot hold the header, parameter or field in which the signature itself stands".into());
        }
        self.check_timestamp(signature)
    }

    /// Whether a part of what is signed is the place of the signature: nobody could make one.
    fn is_signed_itself(&self, signature: &Signature) -> bool {
        let mut headers = self.signed_headers().chain(signature.message.named_headers());
        let is_wanted = |place| signature.message.wants().any(|want| want == place);
        match &self.carrier {
            Carrier::Headers(_) | Carrier::Numbered { .. } => headers.any(|name| self.carrier.is_header(name)),
            Carrier::Query(name) => is_wanted(Want::Query(name)),
            Carrier::Form(name) => is_wanted(Want::Form(name)),
            Carrier::Json(pointer) => is_wanted(Want::Json(pointer)),
            Carrier::Body => false,
        }
    }

    fn check_timestamp(&self, signature: &Signature) -> Result<(), String> {
        let place = signature.timestamp.as_ref().map(|rule| &rule.place);
        match (place, signature.message.has_timestamp()) {
            (None, true) => Err("the message has a `{timestamp}` and nothing says where it stands".into()),
            (Some(TimestampPlace::Json(pointer)), false) if signature.message.covers_json(pointer) => Ok(()),
            // A window over an unsigned timestamp is no protection: whoever replays a request writes a fresh one.
            (Some(_), false) => Err("the timestamp is not signed: the message has no `{timestamp}`".into()),
            (Some(TimestampPlace::Pair(_)), _) if !matches!(self.parse, Parse::Pairs { .. }) => {
                Err("a timestamp in a pair needs `parse` with pairs".into())
            }
            (Some(TimestampPlace::First), _) if !matches!(self.parse, Parse::Positional { .. }) => {
                Err("a timestamp before the signatures needs `parse` by position".into())
            }
            (Some(TimestampPlace::Created), _) if self.parse != Parse::Dictionary => {
                Err("a timestamp in the signature's parameters needs `parse` as a dictionary".into())
            }
            _ => Ok(()),
        }
    }
}

fn check_jwt(jwt: &Jwt) -> Result<(), String> {
    // One key must not serve for both: whoever knows a public key could sign with it as a shared secret.
    let fits = |algorithm: &JwtAlgorithm| algorithm.is_asymmetric() == jwt.key.is_public();
    let all_fit = jwt.algorithms.iter().all(fits);
    all_fit.then_some(()).ok_or_else(|| "the key's form does not go with each of the algorithms".into())
}
