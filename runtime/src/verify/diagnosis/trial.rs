//! One request under other assumptions: the ordinary verification, run again with a verifier or a body that differs in one point.

use bytes::Bytes;

use crate::domain::{Diagnosis, RawRequest, RefusalCause};
use crate::verify::options::Options;
use crate::verify::provider::Provider;
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::verifier::{SecretSpec, Verifier};

/// What a verification costs besides its bytes, in bytes hashed.
const OVERHEAD: usize = 1 << 10;
/// What one with a public key costs, in bytes hashed.
const PUBLIC_KEY: usize = 128 << 10;
/// What one of a batch costs, whose items are proved one by one.
const BATCH: usize = 256 << 10;

/// The work that may still be spent on diagnoses, in bytes hashed.
#[derive(Debug)]
pub struct Effort {
    left: usize,
    is_spent: bool,
}

impl Effort {
    /// So many bytes.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { left: bytes, is_spent: false }
    }

    /// Whether something was not tried any more.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.is_spent |= left.is_none();
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

/// A refused request, and the verifier that refused it.
pub(super) struct Trial<'t> {
    pub(super) verifier: &'t Verifier,
    pub(super) request: &'t RawRequest,
    pub(super) effort: &'t mut Effort,
}

impl Trial<'_> {
    /// Whether this verifier finds the request's proof to be right, leaving aside when it was made.
    pub(super) fn holds_by(&mut self, verifier: &Verifier) -> bool {
        self.effort.spend(cost(verifier, self.request)) && holds(verifier, self.request)
    }

    /// Whether the proof is right for this body.
    pub(super) fn holds_over(&mut self, body: Vec<u8>) -> bool {
        let request = RawRequest { body: Bytes::from(body), ..self.request.clone() };
        self.effort.spend(cost(self.verifier, &request)) && holds(self.verifier, &request)
    }

    /// Whether the proof is right for a verifier that differs from the source's in these; no if there can be none.
    pub(super) fn holds_with(&mut self, schemes: Vec<Scheme>, secrets: &[SecretSpec], public_url: Option<String>) -> bool {
        let provider = Provider { schemes, ..self.verifier.provider.as_ref().clone() };
        let verifier = self.variant(&provider, secrets, public_url);
        verifier.is_some_and(|verifier| self.holds_by(&verifier))
    }

    /// A verifier of the source's parameters.
    pub(super) fn variant(&self, provider: &Provider, secrets: &[SecretSpec], public_url: Option<String>) -> Option<Verifier> {
        let options = Options { public_url, parameters: self.verifier.parameters.clone(), ..Options::default() };
        Verifier::new(provider, secrets, &options).ok()
    }

    /// The schemes that the source has secrets for.
    pub(super) fn armed(&self) -> impl Iterator<Item = &Scheme> {
        self.verifier.armed.iter().map(|armed| self.verifier.scheme(armed))
    }

    /// A diagnosis that counts only where everything else was tried.
    pub(super) fn unless_spent(&self, diagnosis: Diagnosis) -> Option<Diagnosis> {
        (!self.effort.is_spent).then_some(diagnosis)
    }
}

fn holds(verifier: &Verifier, request: &RawRequest) -> bool {
    match verifier.verify(request, request.received_at) {
        Ok(_) => true,
        Err(cause) => matches!(cause, RefusalCause::TimestampTooOld { .. } | RefusalCause::TimestampTooNew { .. }),
    }
}

fn cost(verifier: &Verifier, request: &RawRequest) -> usize {
    let of = |scheme: &Scheme| {
        let key = match &scheme.proof {
            Proof::Token | Proof::Basic => return OVERHEAD,
            _ if scheme.key_form().is_public() => PUBLIC_KEY,
            _ => OVERHEAD,
        };
        request.body.len() + key + scheme.each.as_ref().map_or(0, |_| BATCH)
    };
    verifier.armed.iter().map(|armed| (armed.keys.len() + verifier.published_keys(armed)) * of(verifier.scheme(armed))).sum()
}
