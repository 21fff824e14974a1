//! The right secret, read wrongly: not valid now, decoded in another way, or with something around it.

use super::trial::Trial;
use crate::domain::{Diagnosis, Secret, SecretSpelling, Timestamp};
use crate::verify::algorithm::KeyForm;
use crate::verify::key;
use crate::verify::provider::Setting;
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::verifier::SecretSpec;

/// So many secrets of a source are tried.
const SECRETS_MAX: usize = 4;
/// The ways in which providers read a shared secret, commonest first.
const FORMS: [KeyForm; 4] = [KeyForm::Utf8, KeyForm::Base64, KeyForm::Hex, KeyForm::Whsec];

pub(super) fn diagnose(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    not_valid_now(trial).or_else(|| read_otherwise(trial))
}

/// A secret that the source has and that is not to be used now.
pub(super) fn not_valid_now(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    let (schemes, url) = (trial.verifier.provider.schemes.clone(), trial.verifier.public_url.clone());
    let secrets = trial.verifier.secrets.iter().enumerate().take(SECRETS_MAX);
    let mut resting = secrets.filter(|(_, spec)| !is_live(spec, trial.request.received_at));
    let found = resting.find(|(_, spec)| trial.holds_with(schemes.clone(), &[always(spec.secret.expose())], url.clone()));
    found.map(|(secret, _)| Diagnosis::SecretNotValidNow { secret })
}

fn read_otherwise(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    let schemes: Vec<Scheme> = trial.armed().filter(|scheme| !scheme.key_form().is_public()).cloned().collect();
    let secrets = trial.verifier.secrets.iter().enumerate().take(SECRETS_MAX);
    let mut pairs = secrets.flat_map(|(position, spec)| schemes.iter().map(move |scheme| (position, spec, scheme)));
    pairs.find_map(|(position, spec, scheme)| of_scheme(trial, position, key::trimmed(&spec.secret), scheme))
}

fn of_scheme(trial: &mut Trial<'_>, secret: usize, text: &[u8], scheme: &Scheme) -> Option<Diagnosis> {
    let (own, url) = (scheme.key_form(), trial.verifier.public_url.clone());
    let mut tried: Vec<Vec<u8>> = own.decode(text).into_iter().collect();
    let mut holds = |text: &[u8], form: KeyForm| {
        let Some(key) = form.decode(text).ok().filter(|key| !tried.contains(key)) else { return false };
        tried.push(key);
        read_as(scheme, form).is_some_and(|scheme| trial.holds_with(vec![scheme], &[always(text)], url.clone()))
    };
    if let Some(form) = FORMS.into_iter().find(|form| holds(text, *form)) {
        let key = KeyForm::WORDS.iter().find(|(_, own)| *own == form).map_or("", |(word, _)| word);
        let is_settable = trial.verifier.provider.settings.contains(&Setting::Key);
        return Some(Diagnosis::SecretEncoding { secret, key, is_settable });
    }
    let (spelling, _) = spellings(text).into_iter().find(|(_, text)| holds(text, own))?;
    Some(Diagnosis::SecretSpelling { secret, spelling })
}

/// The scheme with its secret read in another way; `None` where there is but one way.
fn read_as(scheme: &Scheme, form: KeyForm) -> Option<Scheme> {
    let mut other = scheme.clone();
    match &mut other.proof {
        Proof::Signature(signature) => signature.key = form,
        Proof::Jwt(jwt) => jwt.key = form,
        Proof::Token | Proof::Basic => return (form == scheme.key_form()).then_some(other),
    }
    Some(other)
}

fn spellings(text: &[u8]) -> Vec<(SecretSpelling, Vec<u8>)> {
    let quoted = |quote: &[u8]| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let spellings = [
        (SecretSpelling::Trimmed, Some(text.trim_ascii().to_vec())),
        // One newline at the end is never taken for a part of a secret, and two for one.
        (SecretSpelling::WithNewline, Some([text, b"\n\n"].concat())),
        (SecretSpelling::Unquoted, quoted(b"\"").or(quoted(b"'")).map(Into::into)),
        (SecretSpelling::WithoutPrefix, text.strip_prefix(b"whsec_").map(Into::into)),
    ];
    spellings.into_iter().filter_map(|(spelling, text)| Some((spelling, text?))).collect()
}

fn always(text: &[u8]) -> SecretSpec {
    SecretSpec { secret: Secret::new(text), not_before: None, not_after: None }
}

fn is_live(spec: &SecretSpec, now: Timestamp) -> bool {
    spec.not_before.is_none_or(|from| from <= now) && spec.not_after.is_none_or(|end| now < end)
}
