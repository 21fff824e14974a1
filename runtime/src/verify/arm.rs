//! From a source's secrets to keys for its provider's schemes, once, at load.

use crate::domain::Secret;

use super::algorithm::{Algorithm, KeyForm};
use super::fetched::Fetched;
use super::jwt::JwtKey;
use super::key::{self, KeyFault, SetupError};
use super::mac::Key;
use super::options::Options;
use super::provider::Provider;
use super::public_key::{Kind, PublicKey};
use super::scheme::{Parse, Proof, Scheme};
use super::verifier::{Armed, ArmedKey, SecretSpec};

/// The schemes that there are secrets for, and those whose keys the provider publishes. A secret serves every scheme that takes secrets of its
/// form.
pub(super) fn armed(provider: &Provider, secrets: &[SecretSpec], is_recorded: bool) -> Result<Vec<Armed>, SetupError> {
    let forms: Vec<KeyForm> = secrets
        .iter()
        .enumerate()
        .map(|(position, spec)| form(provider, &spec.secret).map_err(|fault| SetupError::Secret { position, fault }))
        .collect::<Result<_, _>>()?;
    let mut armed = Vec::new();
    for (index, scheme) in provider.schemes.iter().enumerate() {
        let own = secrets.iter().zip(&forms).enumerate().filter(|(_, (_, form))| **form == scheme.key_form());
        let keys: Vec<ArmedKey> = own.map(|(position, (spec, _))| arm(scheme, position, spec)).collect::<Result<_, _>>()?;
        let fetched = (secrets.is_empty() && scheme.keys.is_some()).then(|| Fetched::new(is_recorded));
        if !keys.is_empty() || fetched.is_some() {
            armed.push(Armed { scheme: index, keys, fetched });
        }
    }
    Ok(armed)
}

/// Whether the source says what its provider's schemes cannot do without.
pub(super) fn check_needs(provider: &Provider, armed: &[Armed], options: &Options) -> Result<(), SetupError> {
    for armed in armed {
        let scheme = &provider.schemes[armed.scheme];
        if scheme.needs_url() && options.public_url.is_none() {
            return Err(SetupError::NoPublicUrl { provider: provider.name.clone() });
        }
        let wants_token = armed.fetched.is_some() && scheme.keys.as_ref().is_some_and(|keys| keys.has_token);
        if wants_token && options.keys_token.is_none() && options.recorded_keys.is_empty() {
            let text = format!(
                "provider `{}` gives its keys to those with a token: set `keys_token`, or paste the key into `secrets`",
                provider.name
            );
            return Err(SetupError::Settings(text));
        }
        let fixed = scheme.keys.as_ref().filter(|_| armed.fetched.is_some()).and_then(|keys| keys.fixed_url(&options.parameters));
        if let Some(url) = fixed.filter(|url| !url.starts_with("https://")) {
            return Err(SetupError::Settings(format!("keys are fetched from an https URL, which `{url}` is not; look at `parameters`")));
        }
        let published = scheme.keys.as_ref().filter(|_| armed.fetched.is_some());
        let of_url = published.into_iter().flat_map(|keys| keys.url.parameters());
        let unset = scheme.parameters().chain(of_url).find(|name| !options.parameters.contains_key(*name));
        if let Some(parameter) = unset.filter(|_| !options.is_offline) {
            return Err(SetupError::NoParameter { provider: provider.name.clone(), parameter: parameter.into() });
        }
    }
    Ok(())
}

fn form(provider: &Provider, secret: &Secret) -> Result<KeyForm, KeyFault> {
    KeyForm::of(key::trimmed(secret), provider.schemes.iter().map(Scheme::key_form))
}

fn arm(scheme: &Scheme, position: usize, spec: &SecretSpec) -> Result<ArmedKey, SetupError> {
    let wrong = |fault| SetupError::Secret { position, fault };
    let bytes = scheme.key_form().decode(key::trimmed(&spec.secret)).map_err(wrong)?;
    let key = match &scheme.proof {
        // RFC 9421 §3.3.4 writes the two numbers of a signature one behind the other.
        Proof::Signature(signature) if scheme.parse == Parse::Dictionary && signature.algorithm == Algorithm::EcdsaSha256 => {
            Key::Public(PublicKey::read(Kind::EcdsaSha256Fixed, signature.key, bytes).map_err(wrong)?)
        }
        Proof::Signature(signature) => Key::new(signature.algorithm, signature.key, bytes).map_err(wrong)?,
        Proof::Jwt(jwt) => Key::Jwt(JwtKey::new(jwt, &bytes).map_err(wrong)?),
        Proof::Token | Proof::Basic => Key::Token(bytes),
    };
    Ok(ArmedKey { secret: position, key, not_before: spec.not_before, not_after: spec.not_after })
}
