//! The import `crypto`: a plugin that proves a request uses the source's secrets by name. What is done with them is done outside.

use super::bindings::imports::crypto;
use super::bindings::imports::types::Fault;
use super::guest::{Guest, Work};
use crate::domain::{KeyAnswer, KeyDeed, KeyUse, KeyUseFault};

impl Guest {
    fn key_use(&mut self, bytes: usize, secret: String, deed: KeyDeed) -> wasmtime::Result<Result<KeyAnswer, Fault>> {
        let powers = self.powers(bytes)?;
        let answer = match &powers.work {
            Work::Admit(keyring) => keyring(KeyUse { secret, deed }),
            Work::Handle(_) => Err(KeyUseFault { code: "not_granted", message: "secrets are used in `ingress` only".into() }),
        };
        Ok(answer.map_err(|fault| Fault { code: fault.code.into(), message: fault.message, attributes: Vec::new() }))
    }
}

impl crypto::Host for Guest {
    fn verify(
        &mut self,
        secret: String,
        form: String,
        algorithm: String,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, Fault>> {
        let bytes = message.len() + signature.len();
        Ok(self
            .key_use(bytes, secret, KeyDeed::Verify { form, algorithm, message, signature })?
            .map(|answer| answer == KeyAnswer::Holds(true)))
    }

    fn sign(&mut self, secret: String, form: String, algorithm: String, message: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Fault>> {
        let signed = self.key_use(message.len(), secret, KeyDeed::Sign { form, algorithm, message })?;
        Ok(signed.map(|answer| if let KeyAnswer::Signature(bytes) = answer { bytes } else { Vec::new() }))
    }

    fn is(&mut self, secret: String, text: Vec<u8>) -> wasmtime::Result<Result<bool, Fault>> {
        Ok(self.key_use(text.len(), secret, KeyDeed::Is { text })?.map(|answer| answer == KeyAnswer::Holds(true)))
    }
}
