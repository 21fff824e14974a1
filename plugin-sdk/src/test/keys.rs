//! The source's secrets as the test host has them: HMACs and tokens, which is what a test can sign for.

use super::fault;
use super::world::World;
use crate::bindings::hookfast::plugin::types::Fault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};

type Answer<T> = Result<T, Fault>;

impl World {
    pub(super) fn verify(&self, secret: &str, form: &str, algorithm: &str, message: &[u8], signature: &[u8]) -> Answer<bool> {
        let texts = self.texts(secret)?;
        let signatures = texts.iter().map(|text| sign(&key(text, form)?, algorithm, message)).collect::<Answer<Vec<_>>>()?;
        Ok(signatures.iter().any(|own| own == signature))
    }

    pub(super) fn sign(&self, secret: &str, form: &str, algorithm: &str, message: &[u8]) -> Answer<Vec<u8>> {
        sign(&key(self.texts(secret)?[0], form)?, algorithm, message)
    }

    pub(super) fn is(&self, secret: &str, text: &[u8]) -> Answer<bool> {
        Ok(self.texts(secret)?.iter().any(|own| own.as_bytes() == text))
    }

    fn texts(&self, name: &str) -> Answer<Vec<&str>> {
        let texts: Vec<&str> = self.secrets.iter().filter(|(own, _)| own == name).map(|(_, text)| text.as_str()).collect();
        if texts.is_empty() { Err(fault("unknown_secret", format!("the source has no secret `{name}`"))) } else { Ok(texts) }
    }
}

fn key(text: &str, form: &str) -> Answer<Vec<u8>> {
    let unfit = |_| fault("unfit_secret", format!("the secret is not of the form `{form}`"));
    match form {
        "utf8" => Ok(text.as_bytes().to_vec()),
        "base64" => STANDARD.decode(text).map_err(|_| unfit(())),
        "whsec" => STANDARD.decode(text.strip_prefix("whsec_").unwrap_or_default()).map_err(|_| unfit(())),
        "hex" => hex::decode(text).map_err(|_| unfit(())),
        _ => Err(fault("unknown_form", format!("the test host has no form `{form}`: test it against a server"))),
    }
}

fn sign(key: &[u8], algorithm: &str, message: &[u8]) -> Answer<Vec<u8>> {
    match algorithm {
        "hmac-sha1" => Ok(mac::<Hmac<sha1::Sha1>>(key, message)),
        "hmac-sha256" => Ok(mac::<Hmac<sha2::Sha256>>(key, message)),
        "hmac-sha384" => Ok(mac::<Hmac<sha2::Sha384>>(key, message)),
        "hmac-sha512" => Ok(mac::<Hmac<sha2::Sha512>>(key, message)),
        _ => Err(fault("unknown_algorithm", format!("the test host has no `{algorithm}`: test it against a server"))),
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
