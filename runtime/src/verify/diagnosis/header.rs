//! What the headers of a request tell of its sender and its way, where the proof that is looked for is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::trial::Trial;
use crate::domain::{Diagnosis, Headers};
use crate::verify::catalogue::Catalogue;
use crate::verify::location::Place;
use crate::verify::provider::Provider;
use crate::verify::scheme::{Carrier, Scheme};
use crate::verify::view::View;

/// A header that more providers share says nothing of who sent it.
const SHARING_MAX: usize = 4;
/// So many other providers are tried with the source's secrets.
const TRIED_MAX: usize = 8;
/// Headers that proxies add.
const OF_PROXIES: [&str; 7] = ["via", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "cf-ray", "x-amzn-trace-id"];

/// The providers compiled in, by the headers that carry their proofs. Those who share a header stand in the order of their names.
static BY_HEADER: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    let catalogue = Catalogue::builtin();
    let mut index: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for provider in catalogue.names().filter_map(|name| catalogue.provider(name)) {
        for header in provider.schemes.iter().flat_map(|scheme| names(&scheme.carrier)) {
            let providers = index.entry(header).or_default();
            if providers.last() != Some(&provider.name) {
                providers.push(provider.name.clone());
            }
        }
    }
    index
});

/// The headers in which some provider compiled in sends a secret along.
static TOKENS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let catalogue = Catalogue::builtin();
    let providers = catalogue.names().filter_map(|name| catalogue.provider(name));
    let tokens = providers.flat_map(|provider| provider.schemes.iter().filter(|scheme| scheme.is_bearer()));
    tokens.flat_map(|scheme| names(&scheme.carrier)).collect()
});

/// Whether some provider sends a secret along in this header.
pub(super) fn may_be_token(header: &str) -> bool {
    TOKENS.contains(header)
}

/// What carries another of the provider's proofs is there.
pub(super) fn other_version(trial: &Trial<'_>) -> Option<Diagnosis> {
    let verifier = trial.verifier;
    let view = View::new(trial.request, verifier.public_url.as_deref());
    let is_armed = |scheme: &Scheme| trial.armed().any(|armed| armed.carrier == scheme.carrier);
    // A body is always there.
    let mut others = verifier.provider.schemes.iter().filter(|scheme| !is_armed(scheme) && scheme.carrier != Carrier::Body);
    let found = others.find(|scheme| scheme.is_present(&view))?;
    Some(Diagnosis::OtherVersion { carrier: found.carrier.to_string() })
}

/// A header is there that carries the proof of other providers; or one of them shares the source's own, and its proof is right.
pub(super) fn other_provider(trial: &mut Trial<'_>) -> Option<Diagnosis> {
    let catalogue = Catalogue::builtin();
    let own = trial.verifier.provider.name.clone();
    let mut unproved = None;
    for (header, names) in trial.request.headers.iter().filter_map(|(name, _)| BY_HEADER.get(name).map(|names| (name, names))) {
        let others = names.iter().filter(|name| **name != own).filter_map(|name| catalogue.provider(name));
        let others = likely(&trial.request.headers, others.map(AsRef::as_ref).collect());
        let told = |providers: Vec<&Provider>, holds| {
            let providers = providers.into_iter().map(|provider| provider.name.clone()).collect();
            Diagnosis::OtherProvider { header: header.into(), providers, holds }
        };
        let holding: Vec<&Provider> = others.iter().copied().take(TRIED_MAX).filter(|provider| holds_for(trial, provider)).collect();
        if !holding.is_empty() {
            return Some(told(holding, true));
        }
        if unproved.is_none() && (1..=SHARING_MAX).contains(&others.len()) && !names.contains(&own) {
            unproved = Some(told(others, false));
        }
    }
    unproved
}

/// Those whose other headers are there, too; all where none has any.
fn likely<'p>(headers: &Headers, providers: Vec<&'p Provider>) -> Vec<&'p Provider> {
    let has_signs = |provider: &&&Provider| signs(provider).any(|name| headers.all(name).next().is_some());
    let likely: Vec<&Provider> = providers.iter().filter(has_signs).copied().collect();
    if likely.is_empty() { providers } else { likely }
}

fn holds_for(trial: &mut Trial<'_>, provider: &Provider) -> bool {
    let (secrets, url) = (trial.verifier.secrets.clone(), trial.verifier.public_url.clone());
    trial.variant(provider, &secrets, url).is_some_and(|verifier| trial.holds_by(&verifier))
}

/// The provider's own header of type or id is there, and nothing that would prove it.
pub(super) fn not_signed(trial: &Trial<'_>) -> Option<Diagnosis> {
    let provider = &trial.verifier.provider;
    let sign = signs(provider).find(|name| trial.request.headers.all(name).next().is_some())?;
    Some(Diagnosis::NotSigned { sign: sign.into() })
}

fn signs(provider: &Provider) -> impl Iterator<Item = &str> {
    let places = [&provider.event_type, &provider.event_id, &provider.attempt].into_iter().flatten().flat_map(|at| at.places());
    places.filter_map(|place| if let Place::Header(name) = place { Some(name.as_str()) } else { None })
}

/// A proxy was on the way, which may have removed the header.
pub(super) fn removed(trial: &Trial<'_>) -> Option<Diagnosis> {
    let missing = trial.armed().flat_map(|scheme| names(&scheme.carrier)).next()?;
    let sign = proxy(&trial.request.headers)?;
    Some(Diagnosis::HeaderRemoved { missing, sign: sign.into() })
}

fn proxy(headers: &Headers) -> Option<&'static str> {
    OF_PROXIES.into_iter().find(|name| headers.all(name).next().is_some())
}

fn names(carrier: &Carrier) -> Vec<String> {
    match carrier {
        Carrier::Headers(names) => names.clone(),
        Carrier::Numbered { prefix, .. } => vec![format!("{prefix}1")],
        _ => Vec::new(),
    }
}
