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
const FRESH: Duration = Duration::from_hours(1);
/// A key that is not known may have been published just now: the provider is asked again, but not each time that a stranger names one.
const FRESH_FOR_STRANGERS: Duration = Duration::from_mins(1);
/// For how long a key is taken at the very most, where its provider does not answer; one that is withdrawn lives so long on.
const AGE_MAX: Duration = Duration::from_hours(24);
/// For how long a URL is left alone at which nothing was found.
const PAUSE: Duration = Duration::from_secs(10);
/// How many documents are kept: a request may name one of several.
const DOCUMENTS_MAX: usize = 16;
/// How many URLs are remembered at which nothing was found.
const MISSES_MAX: usize = 64;
/// How often a source fetches what a request names and nobody has proved yet.
const STRANGE_PER_SECOND: f64 = 0.1;
const STRANGE_AT_ONCE: u32 = 6;
/// How often it fetches anew what has proved a request: strangers must not use this up.
const KNOWN_PER_SECOND: f64 = 0.05;
const KNOWN_AT_ONCE: u32 = 4;

/// The published keys of one scheme.
pub(super) struct Fetched {
    documents: ArcSwap<BTreeMap<String, Arc<Document>>>,
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
    fn document(&self, url: &str, now: Timestamp) -> Option<Arc<Document>> {
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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use bytes::Bytes;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use sha2::{Digest, Sha256};

    use super::super::sender::NOW;
    use super::super::{Catalogue, Options, SetupError};
    use super::*;

    const FAL: &str = "https://rest.alpha.fal.ai/.well-known/jwks.json";

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes")
    }

    fn set(pairs: &[&Ed25519KeyPair]) -> String {
        let key = |pair: &&Ed25519KeyPair| {
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()))
        };
        format!(r#"{{"keys":[{}]}}"#, pairs.iter().map(key).collect::<Vec<_>>().join(","))
    }

    fn verifier(provider: &str, recorded: &[(&str, &str)], parameters: &[(&str, &str)]) -> Result<Verifier, SetupError> {
        let recorded_keys = recorded.iter().map(|(url, document)| ((*url).to_owned(), document.as_bytes().to_vec())).collect();
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = Options { recorded_keys, parameters, ..Options::default() };
        Verifier::new(Catalogue::builtin().provider(provider).expect("a provider"), &[], &options)
    }

    /// A request as fal.ai signs it.
    fn signed(pair: &Ed25519KeyPair, body: &str) -> RawRequest {
        let at = NOW.as_seconds().to_string();
        let message = format!("r\nu\n{at}\n{}", hex::encode(Sha256::digest(body)));
        let mut headers = crate::domain::Headers::default();
        for (name, value) in [("request-id", "r"), ("user-id", "u"), ("timestamp", &at)] {
            headers.push(&format!("x-fal-webhook-{name}"), value);
        }
        headers.push("x-fal-webhook-signature", hex::encode(pair.sign(message.as_bytes())));
        RawRequest { method: "POST".into(), target: "/".into(), headers, body: Bytes::copy_from_slice(body.as_bytes()), received_at: NOW }
    }

    fn verdict(verifier: &Verifier, request: &RawRequest) -> Result<(), &'static str> {
        verifier.verify(request, NOW).map(drop).map_err(|cause| cause.code())
    }

    #[test]
    fn a_published_key_proves_and_another_does_not() {
        let (one, two, stranger) = (pair(1), pair(2), pair(3));
        let fal = verifier("fal", &[(FAL, &set(&[&one, &two]))], &[]).expect("recorded keys");
        let judged = |by: &Ed25519KeyPair| verdict(&fal, &signed(by, "{}"));
        assert_eq!([judged(&one), judged(&two), judged(&stranger)], [Ok(()), Ok(()), Err("wrong_signature")]);
        assert_eq!(fal.wanted_keys(&signed(&stranger, "{}"), NOW + FRESH), Ok(None), "what is recorded is not fetched");
    }

    #[test]
    fn what_is_missing_or_old_is_wanted_and_a_stranger_s_wish_is_not() {
        let (one, two) = (pair(1), pair(2));
        let fal = verifier("fal", &[], &[]).expect("no keys yet");
        let request = signed(&one, "{}");
        let wanted = |now, is_refresh| Ok(Some(WantedKeys { url: FAL.into(), is_refresh })) == fal.wanted_keys(&request, now);
        assert!(wanted(NOW, false));
        assert_eq!(verdict(&fal, &request), Err("keys_unavailable"), "no key, no proof");
        assert!(fal.learn(FAL, set(&[&one]).as_bytes(), NOW));
        assert_eq!((verdict(&fal, &request), fal.wanted_keys(&signed(&two, "{}"), NOW)), (Ok(()), Ok(None)));
        assert!(!wanted(NOW + FRESH - Duration::from_secs(1), true) && wanted(NOW + FRESH, true));
        let unsigned = RawRequest { headers: crate::domain::Headers::default(), ..request };
        assert_eq!(fal.wanted_keys(&unsigned, NOW + FRESH), Ok(None), "without a proof nothing is fetched");
    }

    #[test]
    fn a_key_id_that_is_not_known_is_looked_for_once_a_minute() {
        let parameters = [("audience", "me"), ("email", "robot@example.com")];
        let pubsub = verifier("google-pubsub", &[], &parameters).expect("no keys yet");
        let url = "https://www.googleapis.com/oauth2/v3/certs";
        let rsa = format!(r#"{{"keys":[{{"kty":"RSA","kid":"known","n":"{}","e":"AQAB"}}]}}"#, URL_SAFE_NO_PAD.encode([0xc5; 256]));
        assert!(pubsub.learn(url, rsa.as_bytes(), NOW));
        let request = |kid: &str| {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#));
            let headers = [("authorization", Bytes::from(format!("Bearer {header}.e30.AA")))].into_iter().collect();
            RawRequest { headers, ..signed(&pair(1), "{}") }
        };
        let is_wanted = |kid, after| pubsub.wanted_keys(&request(kid), NOW + Duration::from_secs(after)) != Ok(None);
        assert_eq!([is_wanted("known", 3599), is_wanted("new", 59), is_wanted("new", 60)], [false, false, true]);
    }

    #[test]
    fn strangers_do_not_use_up_what_the_provider_s_own_keys_are_fetched_with() {
        let one = pair(1);
        let fal = verifier("fal", &[], &[]).expect("no keys yet");
        assert_eq!((0..10).filter(|_| fal.may_fetch("https://a.example/", NOW).is_ok()).count(), STRANGE_AT_ONCE as usize);
        assert!(fal.learn(FAL, set(&[&one]).as_bytes(), NOW));
        assert!(fal.may_fetch(FAL, NOW).is_err(), "nobody has proved anything by it");
        assert_eq!(verdict(&fal, &signed(&one, "{}")), Ok(()));
        assert!(fal.may_fetch(FAL, NOW).is_ok());
    }

    #[test]
    fn what_has_proved_a_request_is_not_pushed_out_by_what_strangers_name() {
        let one = pair(1);
        let fal = verifier("fal", &[], &[]).expect("no keys yet");
        assert!(fal.learn(FAL, set(&[&one]).as_bytes(), NOW));
        assert_eq!(verdict(&fal, &signed(&one, "{}")), Ok(()));
        for number in 0..2 * DOCUMENTS_MAX {
            let later = NOW + Duration::from_millis(number as u64 + 1);
            assert!(fal.learn(&format!("https://a.example/{number}"), set(&[&pair(9)]).as_bytes(), later));
        }
        assert_eq!(verdict(&fal, &signed(&one, "{}")), Ok(()));
        assert_eq!(fal.armed[0].fetched.as_ref().expect("published keys").documents.load().len(), DOCUMENTS_MAX);
    }

    #[test]
    fn a_page_without_keys_leaves_what_is_known_and_a_withdrawn_one_does_not() {
        let one = pair(1);
        let fal = verifier("fal", &[], &[]).expect("no keys yet");
        let request = signed(&one, "{}");
        assert!(!fal.learn(FAL, b"<html>", NOW));
        assert_eq!(fal.wanted_keys(&request, NOW).map_err(|cause| cause.code()), Err("keys_unavailable"), "for a moment");
        assert!(matches!(fal.wanted_keys(&request, NOW + PAUSE), Ok(Some(WantedKeys { is_refresh: false, .. }))));
        assert!(fal.learn(FAL, set(&[&one]).as_bytes(), NOW));
        assert!(!fal.learn(FAL, b"{\"keys\":[]}", NOW));
        assert_eq!(verdict(&fal, &request), Ok(()));
        fal.forget(FAL, NOW);
        assert_eq!(verdict(&fal, &request), Err("keys_unavailable"));
    }

    #[test]
    fn a_key_is_not_taken_for_longer_than_a_day_and_goes_over_to_the_next_configuration() {
        let one = pair(1);
        let fal = verifier("fal", &[], &[]).expect("no keys yet");
        assert!(fal.learn(FAL, set(&[&one]).as_bytes(), NOW));
        let next = verifier("fal", &[], &[]).expect("no keys yet");
        next.inherit(&fal);
        let request = signed(&one, "{}");
        assert_eq!(verdict(&next, &request), Ok(()));
        let document = |after| next.armed[0].fetched.as_ref().expect("published keys").document(FAL, NOW + after).is_some();
        assert!(document(AGE_MAX - Duration::from_secs(1)) && !document(AGE_MAX));
    }

    #[test]
    fn nothing_is_fetched_from_where_a_stranger_points() {
        let sns = verifier("aws-sns", &[], &[("topic_arn", "arn")]).expect("no keys yet");
        let wanted = |url: &str| {
            let body = format!(r#"{{"Signature":"AA==","SignatureVersion":"2","SigningCertURL":"{url}"}}"#);
            sns.wanted_keys(&RawRequest { body: body.into(), ..signed(&pair(1), "{}") }, NOW)
        };
        assert!(matches!(wanted("https://sns.eu-west-1.amazonaws.com/a.pem"), Ok(Some(_))));
        for url in ["https://evil.example/a.pem", "https://169.254.169.254/latest", "http://sns.eu-west-1.amazonaws.com/a.pem"] {
            assert_eq!(wanted(url).map_err(|cause| cause.code()), Err("malformed_field"), "{url}");
        }
    }

    #[test]
    fn a_key_is_found_in_the_answer_of_a_key_api_and_asked_for_with_the_source_s_token() {
        let circle = |options: &Options| Verifier::new(Catalogue::builtin().provider("circle").expect("a provider"), &[], options);
        assert!(matches!(circle(&Options::default()), Err(SetupError::Settings(text)) if text.contains("keys_token")));
        let circle = circle(&Options { keys_token: Some(Secret::new(&b"t"[..])), ..Options::default() }).expect("a token");
        let request = |id: &str| {
            let headers =
                [("x-circle-signature", "AA=="), ("x-circle-key-id", id)].map(|(name, value)| (name, Bytes::from(value.to_owned())));
            RawRequest { headers: headers.into_iter().collect(), ..signed(&pair(1), "{}") }
        };
        let url = "https://api.circle.com/v2/notifications/publicKey/7c0e-1";
        assert_eq!(circle.wanted_keys(&request("7c0e-1"), NOW), Ok(Some(WantedKeys { url: url.into(), is_refresh: false })));
        assert!(circle.wanted_keys(&request("../../x"), NOW).is_err());
        let answer = r#"{"data":{"publicKey":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="}}"#;
        assert!(circle.learn(url, answer.as_bytes(), NOW) && !circle.learn(url, b"{\"data\":{}}", NOW));
    }

    #[test]
    fn what_is_recorded_must_hold_a_key() {
        let fault = verifier("fal", &[(FAL, "{}")], &[]).map(drop);
        assert_eq!(fault, Err(SetupError::Settings(format!("there is no key of the provider's kind in what is recorded of {FAL}"))));
    }
}
