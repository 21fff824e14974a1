//! Keys that providers publish: what is wanted, what is taken, what strangers cannot do to it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::{Digest, Sha256};

use super::fetched::{AGE_MAX, DOCUMENTS_MAX, FRESH, PAUSE, STRANGE_AT_ONCE};
use super::sender::NOW;
use super::{Catalogue, Options, SetupError, Verifier, WantedKeys};
use crate::domain::{Headers, RawRequest, Secret};

const FAL: &str = "https://rest.alpha.fal.ai/.well-known/jwks.json";

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes")
}

fn set(pairs: &[&Ed25519KeyPair]) -> String {
    let key =
        |pair: &&Ed25519KeyPair| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()));
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
    let mut headers = Headers::default();
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
    let unsigned = RawRequest { headers: Headers::default(), ..request };
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
        let headers = [("x-circle-signature", "AA=="), ("x-circle-key-id", id)].map(|(name, value)| (name, Bytes::from(value.to_owned())));
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
