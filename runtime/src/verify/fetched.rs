//! Keys that a provider publishes, as far as they were fetched. Fetches nothing: says what is wanted, and takes what was found.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::{Rate, RateLimiter, RawRequest, RefusalCause, Secret, Timestamp};

use super::json;
use super::jwks;
use super::jwt::{self, JwtKey};
use super::key_source::KeyDocument;
use super::mac::Key;
use super::message::Context;
use super::public_key::{Kind, PublicKey};
use super::scheme::{Proof, Scheme};
use super::verifier::{Armed, ArmedKey, Verifier};
use super::view::View;

/// For how long a key is taken without another look.
pub(super) const FRESH: Duration = Duration::from_hours(1);
/// A key that is not known may have been published just now: the provider is asked again, but not each time that a stranger names one.
const FRESH_FOR_STRANGERS: Duration = Duration::from_mins(1);
/// For how long a key is taken at the very most, where its provider does not answer; one that is withdrawn lives so long on.
pub(super) const AGE_MAX: Duration = Duration::from_hours(24);
/// For how long a URL is left alone at which nothing was found.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// How many documents are kept: a request may name one of several.
pub(super) const DOCUMENTS_MAX: usize = 16;
/// How many URLs are remembered at which nothing was found.
const MISSES_MAX: usize = 64;
/// How often a source fetches what a request names and nobody has proved yet.
const STRANGE_PER_SECOND: f64 = 0.1;
pub(super) const STRANGE_AT_ONCE: u32 = 6;
/// How often it fetches anew what has proved a request: strangers must not use this up.
const KNOWN_PER_SECOND: f64 = 0.05;
const KNOWN_AT_ONCE: u32 = 4;

/// The published keys of one scheme.
pub(super) struct Fetched {
    pub(super) documents: ArcSwap<BTreeMap<String, Arc<Document>>>,
    misses: Mutex<BTreeMap<String, Timestamp>>,
    strange: RateLimiter,
    known: RateLimiter,
    /// The operator gave the documents: none is fetched.
    is_recorded: bool,
}

/// What was found at a URL; has at least one key.
pub(super) struct Document {
    keys: Vec<(Option<String>, ArmedKey)>,
    at: Timestamp,
    /// Whether a key of it has proved a request.
    has_proved: AtomicBool,
}

/// A document that a verifier lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedKeys {
    /// An `https` URL, within what the provider's file allows.
    pub url: String,
    /// Whether the request can do without: an older document has its key.
    pub is_refresh: bool,
}

impl Fetched {
    pub(super) fn new(is_recorded: bool) -> Self {
        Self {
            documents: ArcSwap::default(),
            misses: Mutex::default(),
            strange: RateLimiter::new(Rate::new(STRANGE_PER_SECOND, STRANGE_AT_ONCE)),
            known: RateLimiter::new(Rate::new(KNOWN_PER_SECOND, KNOWN_AT_ONCE)),
            is_recorded,
        }
    }

    /// The document that was found at a URL, unless that is too long ago.
    pub(super) fn document(&self, url: &str, now: Timestamp) -> Option<Arc<Document>> {
        let known = self.documents.load().get(url).cloned();
        known.filter(|document| self.is_recorded || now.since(document.at) < AGE_MAX)
    }

    fn keep(&self, url: &str, document: Document) {
        let document = Arc::new(document);
        self.documents.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            if let Some(before) = known.insert(url.to_owned(), Arc::clone(&document)) {
                document.has_proved.fetch_or(before.has_proved.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            // What a stranger named goes before what the provider uses.
            while known.len() > DOCUMENTS_MAX && !self.is_recorded {
                let others = known.iter().filter(|(own, _)| *own != url);
                let least = others.min_by_key(|(_, document)| (document.has_proved.load(Ordering::Relaxed), document.at));
                least.map(|(url, _)| url.clone()).map(|url| known.remove(&url));
            }
            known
        });
    }

    fn missed(&self, url: &str, now: Timestamp) {
        let mut misses = self.lock();
        misses.retain(|_, at| now.since(*at) < PAUSE);
        if misses.len() < MISSES_MAX {
            misses.insert(url.to_owned(), now);
        }
    }

    fn was_missed(&self, url: &str, now: Timestamp) -> bool {
        self.lock().get(url).is_some_and(|at| now.since(*at) < PAUSE)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Document {
    /// The keys that may have made the proof: those of its key id, where it names one.
    pub(super) fn keys<'d>(&'d self, id: Option<&'d str>) -> impl Iterator<Item = &'d ArmedKey> + Clone {
        let is_it = move |own: &Option<String>| own.is_none() || id.is_none() || own.as_deref() == id;
        self.keys.iter().filter(move |(own, _)| is_it(own)).map(|(_, key)| key)
    }

    /// A key of it has proved a request.
    pub(super) fn prove(&self) {
        self.has_proved.store(true, Ordering::Relaxed);
    }

    /// How many keys it has.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }
}

/// The id of the key that a proof names.
pub(super) fn key_id(scheme: &Scheme, value: &[u8]) -> Option<String> {
    let Proof::Jwt(_) = scheme.proof else { return None };
    scheme.proofs(value).ok()?.first().and_then(|token| jwt::key_id(token))
}

/// The refusal where nothing is there to judge a proof by. The provider may have published it since: its sender should come back.
pub(super) fn unavailable(url: String, reason: &str) -> RefusalCause {
    RefusalCause::KeysUnavailable { url, reason: reason.into() }
}

impl Verifier {
    /// Whether its keys are published, and not the source's own.
    pub fn fetches(&self) -> bool {
        self.armed.iter().any(|armed| armed.fetched.is_some())
    }

    /// What must be fetched before this request can be judged; the error is that it names a key that is not the provider's, or that there was
    /// none a moment ago.
    pub fn wanted_keys(&self, request: &RawRequest, now: Timestamp) -> Result<Option<WantedKeys>, RefusalCause> {
        let view = View::new(request, self.public_url.as_deref());
        let present = self.armed.iter().filter(|armed| self.scheme(armed).is_present(&view));
        for armed in present {
            let (Some(fetched), scheme) = (armed.fetched.as_ref().filter(|fetched| !fetched.is_recorded), self.scheme(armed)) else {
                continue;
            };
            let Some(value) = scheme.values(&view, None)?.first().copied() else { continue };
            let url = self.key_url(scheme, &view, value)?;
            let (known, id) = (fetched.document(&url, now), key_id(scheme, value));
            let has_key = known.as_ref().is_some_and(|document| document.keys(id.as_deref()).next().is_some());
            let age = known.map(|document| now.since(document.at));
            let is_fresh = age.is_some_and(|age| age < FRESH && (has_key || age < FRESH_FOR_STRANGERS));
            match (is_fresh, fetched.was_missed(&url, now)) {
                (true, _) => {}
                (false, true) if has_key => {}
                (false, true) => return Err(unavailable(url, "nothing was there a moment ago")),
                (false, false) => return Ok(Some(WantedKeys { url, is_refresh: has_key })),
            }
        }
        Ok(None)
    }

    /// What they are asked for with, where the provider wants a token.
    pub fn keys_token(&self) -> Option<&Secret> {
        self.keys_token.as_ref()
    }

    /// Whether the source may fetch this once more now; else how long it should wait.
    pub fn may_fetch(&self, url: &str, now: Timestamp) -> Result<(), Duration> {
        self.armed.iter().filter_map(|armed| armed.fetched.as_ref()).try_for_each(|fetched| {
            let is_known = fetched.documents.load().get(url).is_some_and(|document| document.has_proved.load(Ordering::Relaxed));
            if is_known { fetched.known.take(now) } else { fetched.strange.take(now) }
        })
    }

    /// Takes what was found at a URL; `false` where there is no key in it that the provider's schemes could use. Then what was known stays: a
    /// provider's page of maintenance must not make its events wrong.
    pub fn learn(&self, url: &str, found: &[u8], now: Timestamp) -> bool {
        let mut is_of_use = false;
        for armed in &self.armed {
            let Some(fetched) = &armed.fetched else { continue };
            let keys = keys(self.scheme(armed), found);
            if !keys.is_empty() {
                is_of_use = true;
                fetched.keep(url, Document { keys, at: now, has_proved: AtomicBool::new(false) });
            }
        }
        if !is_of_use {
            self.miss(url, now);
        }
        is_of_use
    }

    /// Nothing was found at a URL.
    pub fn miss(&self, url: &str, now: Timestamp) {
        self.armed.iter().filter_map(|armed| armed.fetched.as_ref()).for_each(|fetched| fetched.missed(url, now));
    }

    /// The provider says that there is nothing at a URL any more.
    pub fn forget(&self, url: &str, now: Timestamp) {
        for fetched in self.armed.iter().filter_map(|armed| armed.fetched.as_ref()) {
            fetched.documents.rcu(|known| {
                let mut known = BTreeMap::clone(known);
                known.remove(url);
                known
            });
        }
        self.miss(url, now);
    }

    /// Takes over what the source's verifier before this one has fetched, if it has the same provider.
    pub fn inherit(&self, before: &Self) {
        if self.provider != before.provider {
            return;
        }
        for own in &self.armed {
            let other = before.armed.iter().find(|armed| armed.scheme == own.scheme).and_then(|armed| armed.fetched.as_ref());
            if let (Some(own), Some(other)) =
                (own.fetched.as_ref().filter(|own| !own.is_recorded), other.filter(|other| !other.is_recorded))
            {
                own.documents.store(other.documents.load_full());
            }
        }
    }

    pub(super) fn key_url(&self, scheme: &Scheme, view: &View<'_>, value: &[u8]) -> Result<String, RefusalCause> {
        let context = Context { view, scheme, value, timestamp: b"", item: None, url: None, parameters: &self.parameters };
        scheme.keys.as_ref().ok_or_else(|| scheme.missing())?.url(&context)
    }

    /// The document that has the keys for a proof; `None` where the source has keys of its own.
    pub(super) fn document_for(&self, armed: &Armed, context: &Context<'_>, now: Timestamp) -> Result<Option<Arc<Document>>, RefusalCause> {
        let Some(fetched) = &armed.fetched else { return Ok(None) };
        let url = self.key_url(context.scheme, context.view, context.value)?;
        let document = fetched.document(&url, now).ok_or_else(|| unavailable(url.clone(), "it has not been read yet"))?;
        if document.keys(key_id(context.scheme, context.value).as_deref()).next().is_none() {
            return Err(unavailable(url, "no key of the id that the token names is published there"));
        }
        Ok(Some(document))
    }

    /// The most keys of a document that a proof may have to be tried with.
    pub(super) fn published_keys(&self, armed: &Armed) -> usize {
        let documents = armed.fetched.as_ref().map(|fetched| fetched.documents.load_full()).unwrap_or_default();
        documents.values().map(|document| document.count()).max().unwrap_or(0)
    }
}

/// The keys of a document that go with the scheme.
fn keys(scheme: &Scheme, found: &[u8]) -> Vec<(Option<String>, ArmedKey)> {
    let armed = |id: Option<String>, key: Key| (id, ArmedKey::published(key));
    match scheme.keys.as_ref().map(|keys| &keys.document) {
        Some(KeyDocument::Jwks) => {
            let set = jwks::read(found).unwrap_or_default();
            let key = |own: jwks::WebKey| {
                let key = match &scheme.proof {
                    Proof::Signature(signature) => Key::Public(own.public_key(Kind::of(signature.algorithm)?)?),
                    Proof::Jwt(jwt) => Key::Jwt(JwtKey::published(jwt, |kind| own.public_key(kind))?),
                    Proof::Token | Proof::Basic => return None,
                };
                Some(armed(own.id, key))
            };
            set.into_iter().filter_map(key).collect()
        }
        Some(document) => {
            let text = match document {
                KeyDocument::Json(pointer) => {
                    json::unambiguous(found).and_then(|root| Some(pointer.find(&root)?.as_str()?.as_bytes().to_vec()))
                }
                KeyDocument::Jwks | KeyDocument::Pem => Some(found.to_vec()),
            };
            let read = |kind| PublicKey::read(kind, scheme.key_form(), text.clone()?).ok();
            let key = match &scheme.proof {
                Proof::Signature(signature) => Kind::of(signature.algorithm).and_then(read).map(Key::Public),
                Proof::Jwt(jwt) => JwtKey::published(jwt, read).map(Key::Jwt),
                Proof::Token | Proof::Basic => None,
            };
            key.map(|key| armed(None, key)).into_iter().collect()
        }
        None => Vec::new(),
    }
}
