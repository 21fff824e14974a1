//! Why a proof did not hold, found out afterwards by trying: the same request with its secret, body, URL or settings read otherwise.
//! What is found is for the operator alone; a sender never hears of it, nor waits for it, and strangers can make only so much of it
//! happen ([`Effort`]).

mod trial;
mod secret;
mod body;
mod json_text;
mod settings;
mod header;

use std::time::Duration;

use crate::domain::{Diagnosis, Headers, RawRequest, RefusalCause};

use super::scheme::Scheme;
use super::verifier::Verifier;
use trial::Trial;

pub use trial::Effort;

/// Larger bodies are not diagnosed, in bytes.
pub const DIAGNOSED_BYTES_MAX: usize = 256 << 10;
/// A clock that is off by more than this is read in another unit.
const YEARS: Duration = Duration::from_hours(20 * 365 * 24);
/// Headers that may hold somebody's credentials, whatever the provider takes for a proof.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

impl Verifier {
    /// What was wrong with a request that was refused for this cause; `None` where it says all there is to say, or nothing was found
    /// before `effort` was spent.
    pub fn diagnose(&self, request: &RawRequest, cause: &RefusalCause, effort: &mut Effort) -> Option<Diagnosis> {
        if request.body.len() > DIAGNOSED_BYTES_MAX {
            return None;
        }
        let mut trial = Trial { verifier: self, request, effort };
        match cause {
            RefusalCause::TimestampTooOld { skew, .. } | RefusalCause::TimestampTooNew { skew, .. } if *skew > YEARS => {
                Some(Diagnosis::TimestampUnit)
            }
            RefusalCause::TimestampTooOld { skew, .. } => Some(Diagnosis::SentLate { skew: *skew }),
            RefusalCause::TimestampTooNew { skew, .. } => Some(Diagnosis::ClockBehind { skew: *skew }),
            RefusalCause::WrongSignature => wrong_signature(&mut trial),
            RefusalCause::WrongToken => secret::diagnose(&mut trial).or_else(|| trial.unless_spent(Diagnosis::OtherSecret)),
            RefusalCause::NoLiveSecret => secret::not_valid_now(&mut trial),
            RefusalCause::MissingHeader { .. } | RefusalCause::MissingField { .. } => no_proof(&mut trial),
            RefusalCause::MalformedHeader { .. } | RefusalCause::MalformedField { .. } => {
                settings::diagnose(&mut trial).or_else(|| header::other_version(&trial)).or_else(|| header::other_provider(&mut trial))
            }
            _ => None,
        }
    }

    /// Takes out of a refused request's headers what may be a secret: it was not found to be the right one, and may still be somebody's.
    pub fn redact_refused(&self, headers: &mut Headers) {
        let names: Vec<String> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        let sends_secret_in =
            |name: &str| self.provider.schemes.iter().filter(|scheme| scheme.carrier.is_header(name)).map(Scheme::is_bearer).max();
        // Another provider's token may have been sent here by mistake.
        let is_token = |name: &str| sends_secret_in(name).unwrap_or_else(|| header::may_be_token(name));
        for name in names.iter().filter(|name| CREDENTIALS.contains(&name.as_str()) || is_token(name)) {
            headers.replace(name, "[redacted]");
        }
    }
}

fn wrong_signature(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    secret::diagnose(trial)
        .or_else(|| body::diagnose(trial))
        .or_else(|| settings::wrong_url(trial))
        .or_else(|| settings::diagnose(trial))
        .or_else(|| header::other_version(trial))
        .or_else(|| header::other_provider(trial))
        .or_else(|| if trial.verifier.fetches() { None } else { trial.unless_spent(Diagnosis::OtherSecret) })
}

fn no_proof(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    header::other_version(trial)
        .or_else(|| header::other_provider(trial))
        .or_else(|| settings::other_header(trial))
        .or_else(|| header::not_signed(trial))
        .or_else(|| header::removed(trial))
}

#[cfg(test)]
mod tests;
