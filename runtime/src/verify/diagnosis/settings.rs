//! What the source says of itself and the sender does otherwise: the URL, and the settings of a generic provider.

use super::trial::Trial;
use crate::domain::Diagnosis;
use crate::verify::algorithm::{Algorithm, Encoding};
use crate::verify::options::Options;
use crate::verify::provider::Setting;
use crate::verify::scheme::{Carrier, Parse, Proof, Scheme};

/// What senders write before a signature.
const PREFIXES: [&str; 8] = ["", "sha256=", "sha1=", "sha512=", "hmac-sha256=", "SHA256=", "v1=", "v0="];
/// What signatures are computed by where the sender is free to choose.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::HmacSha256, Algorithm::HmacSha1, Algorithm::HmacSha512, Algorithm::HmacSha384];
/// What a header with a signature is mostly called after.
const SIGNATURE_WORDS: [&str; 5] = ["sign", "hmac", "hash", "digest", "sha"];
/// So many headers are looked at in search of a signature.
const HEADERS_MAX: usize = 4;

/// The signature was made over another URL than the registered one.
pub(super) fn wrong_url(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    let own = trial.verifier.public_url.clone().filter(|_| trial.armed().any(Scheme::needs_url))?;
    let (schemes, secrets) = (trial.verifier.provider.schemes.clone(), trial.verifier.secrets.clone());
    let host = trial.request.headers.text("x-forwarded-host").or(trial.request.headers.text("host")).map(str::to_owned);
    let path = trial.request.target.split('?').next().unwrap_or_default().to_owned();
    let candidates = spellings(&own).into_iter().chain(host.into_iter().flat_map(|host| spellings(&format!("https://{host}{path}"))));
    let found = candidates.filter(|url| *url != own).find(|url| trial.holds_with(schemes.clone(), &secrets, Some(url.clone())));
    found.map(|signed| Diagnosis::WrongUrl { signed })
}

/// The URL under both schemes, with and without a slash at its end, a port, and a query.
fn spellings(url: &str) -> Vec<String> {
    let Some((_, rest)) = url.split_once("://") else { return Vec::new() };
    let rest = rest.split('?').next().unwrap_or(rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(bare, _)| bare);
    let path = path.trim_end_matches('/');
    let mut spellings = Vec::new();
    for (scheme, port) in [("https", "443"), ("http", "80")] {
        for host in [host, bare, &format!("{bare}:{port}")] {
            for end in ["", "/"] {
                spellings.push(format!("{scheme}://{host}{path}{end}"));
            }
        }
    }
    spellings.dedup();
    spellings
}

/// The signature holds under another algorithm, encoding or prefix, where the source may say which.
pub(super) fn diagnose(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    let scheme = settable(trial)?;
    let Carrier::Headers(names) = &scheme.carrier else { return None };
    let value = names.iter().find_map(|name| trial.request.headers.text(name))?.to_owned();
    in_header(trial, &scheme, &value).map(|settings| Diagnosis::WrongSettings { settings })
}

/// The signature is in another header than the source's.
pub(super) fn other_header(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    let scheme = settable(trial)?;
    let request = trial.request;
    let is_likely = |name: &str| SIGNATURE_WORDS.iter().any(|word| name.contains(word));
    let likely = request.headers.iter().map(|(name, _)| name).filter(|name| is_likely(name)).take(HEADERS_MAX);
    let mut likely = likely.filter_map(|name| Some((name, request.headers.text(name)?)));
    likely.find_map(|(name, value)| {
        let scheme = Scheme { carrier: Carrier::Headers(vec![name.into()]), ..scheme.clone() };
        let further = in_header(trial, &scheme, value)?;
        let further = if further.is_empty() { String::new() } else { format!(", {further}") };
        Some(Diagnosis::WrongSettings { settings: format!("`header = \"{name}\"`{further}") })
    })
}

/// The scheme of a provider that lets a source say how it signs.
fn settable(trial: &Trial<'_>) -> Option<Scheme> {
    let is_free = trial.verifier.provider.settings.contains(&Setting::Algorithm);
    trial.armed().next().filter(|_| is_free).cloned()
}

/// The settings under which the value is the signature, as they are written in files; none where they are the scheme's own.
fn in_header(trial: &mut Trial<'_>, scheme: &Scheme, value: &str) -> Option<String> {
    let prefixes = PREFIXES.into_iter().filter(|prefix| value.starts_with(prefix));
    let encodings = Encoding::WORDS.into_iter();
    let ways = prefixes.flat_map(|prefix| encodings.clone().flat_map(move |way| ALGORITHMS.map(|algorithm| (prefix, way, algorithm))));
    let fits = |&(prefix, (_, encoding), algorithm): &(&str, (&str, Encoding), Algorithm)| {
        let bytes = encoding.decode(&value.as_bytes()[prefix.len()..]);
        bytes.is_some_and(|bytes| Some(bytes.len()) == algorithm.signature_bytes())
    };
    let (secrets, url) = (trial.verifier.secrets.clone(), trial.verifier.public_url.clone());
    ways.filter(fits).find_map(|(prefix, (encoding, way), algorithm)| {
        let (other, words) = with(scheme, prefix, (encoding, way), algorithm)?;
        trial.holds_with(vec![other], &secrets, url.clone()).then_some(words)
    })
}

/// The scheme under these settings, and those that differ from its own.
fn with(scheme: &Scheme, prefix: &str, (word, encoding): (&str, Encoding), algorithm: Algorithm) -> Option<(Scheme, String)> {
    let options = Options { prefix: Some(prefix.into()), encoding: Some(encoding), algorithm: Some(algorithm), ..Options::default() };
    let (Parse::List { prefix: own_prefix, .. }, Proof::Signature(own)) = (&scheme.parse, &scheme.proof) else { return None };
    let words = [
        (own_prefix != prefix).then(|| format!("`prefix = \"{prefix}\"`")),
        (own.encoding != encoding).then(|| format!("`encoding = \"{word}\"`")),
        (own.algorithm != algorithm).then(|| format!("`algorithm = \"{}\"`", algorithm.word())),
    ];
    let mut other = scheme.clone();
    options.apply_to(&mut other);
    Some((other, words.into_iter().flatten().collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_spelled_in_all_ways_that_mean_it() {
        let spelled = spellings("https://h.example:8443/in/x/?a=1");
        for url in ["http://h.example/in/x", "https://h.example:8443/in/x", "https://h.example:443/in/x/", "http://h.example:80/in/x"] {
            assert!(spelled.iter().any(|own| own == url), "{url} in {spelled:?}");
        }
        assert_eq!(spellings("nonsense"), Vec::<String>::new());
    }
}
