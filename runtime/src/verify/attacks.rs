//! Attacks that the newer kinds of proofs invite, each turned away with its cause.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::domain::{Headers, RawRequest, RefusalCause};

use super::sender::{NOW, Sender, secret};
use super::*;

const URL: &str = "https://hooks.example.com/in/test";
/// A public key of RSA; nobody has its other half.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAhkhbZ2U1xgYYhWvGKBCBemPowfijP0IflSkmr2x1XZCa0WRohsiMZ9dy8/9IVqbrWZBKUguRA7DHq65MXSrs7/JTMV3v5Db/b2Stpq+zv2zjZ7YDuY3WgF+m158OacVgeWbVfN7u5vTU3/7HUbcZGU60MdQZCAl0OISpW5v97/6YffH0AVNKy1qKUp4+jTLtYCi47J/9O6WUJwishYoKQP9p5nwiTIj89JOg5vQrfTzj3d8+DLnddvEaZe5rpfMg0kUicDHOxwfrY6yj+BpZ9mRMmJHz2EZw4GU4elUMrr+qM+Syxw4K5iIJj8hk320E79CgWY+edladi7nebpwpyQIDAQAB\n-----END PUBLIC KEY-----\n";

fn verifier(provider: &str, text: &str, parameters: &[(&str, &str)]) -> Result<Verifier, SetupError> {
    let catalogue = Catalogue::builtin();
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = Options { public_url: Some(URL.into()), parameters, ..Options::default() };
    Verifier::new(catalogue.provider(provider).expect("a provider"), &[secret(text)], &options)
}

fn request(target: &str, headers: &[(&str, &str)], body: &str) -> RawRequest {
    let mut list = Headers::default();
    headers.iter().for_each(|(name, value)| list.push(name, *value));
    RawRequest {
        method: "POST".into(),
        target: target.into(),
        headers: list,
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: NOW,
    }
}

fn token(header: &str, claims: &str, key: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn netlify(token: &str, body: &str) -> Result<(), &'static str> {
    let verifier = verifier("netlify", "shared", &[]).expect("a secret");
    let request = request("/in/test", &[("x-webhook-signature", token)], body);
    verifier.verify(&request, NOW).map(drop).map_err(|cause| cause.code())
}

#[test]
fn a_token_proves_the_body_it_names_and_nothing_else() {
    const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    let bound = |body: &str| format!(r#"{{"iss":"netlify","sha256":"{}"}}"#, hex::encode(Sha256::digest(body)));
    let right = token(HS256, &bound("{}"), b"shared");
    assert_eq!(netlify(&right, "{}"), Ok(()));
    assert_eq!(netlify(&right, "{ }"), Err("wrong_claim"));
    assert_eq!(netlify(&token(HS256, &bound("{}"), b"other"), "{}"), Err("wrong_signature"));
    assert_eq!(netlify(&token(HS256, &bound("{}").replace("netlify", "other"), b"shared"), "{}"), Err("wrong_claim"));
    assert_eq!(netlify(&token(HS256, r#"{"iss":"netlify"}"#, b"shared"), "{}"), Err("wrong_claim"), "bound to no body");
}

#[test]
fn a_token_does_not_choose_how_it_is_checked() {
    let claims = format!(r#"{{"iss":"netlify","sha256":"{}"}}"#, hex::encode(Sha256::digest("{}")));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"HS256","crit":["x"]}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        "{}",
    ] {
        assert_eq!(netlify(&token(header, &claims, b"shared"), "{}"), Err("malformed_header"), "{header}");
    }
    let right = token(r#"{"alg":"HS256"}"#, &claims, b"shared");
    let (signed, _) = right.rsplit_once('.').expect("a signature");
    for text in [format!("{signed}."), signed.to_owned(), format!("{right}.x"), format!("{right}="), String::from("a.b.c")] {
        assert!(netlify(&text, "{}").is_err(), "{text}");
    }
}

#[test]
fn a_token_that_is_over_or_has_not_begun_is_refused() {
    let claims = |extra: &str| format!(r#"{{"iss":"netlify","sha256":"{}",{extra}}}"#, hex::encode(Sha256::digest("{}")));
    let judged = |extra: &str| netlify(&token(r#"{"alg":"HS256"}"#, &claims(extra), b"shared"), "{}");
    let now = NOW.as_seconds();
    assert_eq!(judged(&format!(r#""exp":{}"#, now - 59)), Ok(()));
    assert_eq!(judged(&format!(r#""exp":{}"#, now - 60)), Err("timestamp_too_old"));
    assert_eq!(judged(&format!(r#""nbf":{}"#, now + 60)), Ok(()));
    assert_eq!(judged(&format!(r#""nbf":{}"#, now + 61)), Err("timestamp_too_new"));
    assert_eq!(judged(r#""exp":"never""#), Err("wrong_claim"));
}

#[test]
fn a_public_key_is_no_shared_secret() {
    // Whoever knows it could sign with it, if a token were checked by whatever algorithm it names.
    assert!(matches!(verifier("netlify", PEM, &[]), Err(SetupError::Secret { fault: KeyFault::IsPublicKey, .. })));
    assert!(matches!(verifier("stripe", PEM, &[]), Err(SetupError::Secret { fault: KeyFault::IsPublicKey, .. })));
    let pubsub = [("audience", "me"), ("email", "robot@example.com")];
    let verifier = verifier("google-pubsub", PEM, &pubsub).expect("a public key");
    let claims = r#"{"iss":"accounts.google.com","aud":"me","email":"robot@example.com","email_verified":true}"#;
    let forged = format!("Bearer {}", token(r#"{"alg":"HS256"}"#, claims, PEM.as_bytes()));
    let cause = verifier.verify(&request("/in/test", &[("authorization", &forged)], "{}"), NOW).expect_err("a refusal");
    assert_eq!(cause.code(), "malformed_header");
}

#[test]
fn a_provider_that_proves_nothing_cannot_be_taken_for_one_that_does() {
    assert!(matches!(verifier("dockerhub", "s", &[]), Err(SetupError::NothingToCheck { .. })));
    assert_eq!(Catalogue::builtin().provider("dockerhub").expect("a provider").class(), Class::Unverified);
}

#[test]
fn what_is_no_public_key_is_refused_at_load() {
    for text in [
        "not a key",
        "MIIB",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
    ] {
        assert!(matches!(verifier("aws-sns", text, &[("topic_arn", "arn")]), Err(SetupError::Secret { .. })), "{text}");
    }
    // Of another kind than the scheme's.
    assert!(matches!(verifier("ebay", PEM, &[]), Err(SetupError::Secret { fault: KeyFault::NotPublicKey(_), .. })));
}

#[test]
fn the_signed_url_is_the_source_s_own_and_no_header_changes_it() {
    let (square, body) = (Sender::of("square", ""), r#"{"event_id":"1"}"#);
    let signed = square.with(body, &[]);
    assert!(square.verifier.verify(&signed, NOW).is_ok());
    let mut forwarded = signed;
    for (name, value) in [("host", "evil.example"), ("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "http")] {
        forwarded.headers.push(name, value);
    }
    assert!(square.verifier.verify(&forwarded, NOW).is_ok());
    forwarded.target = "/in/test?added=1".into();
    assert_eq!(square.verifier.verify(&forwarded, NOW), Err(RefusalCause::WrongSignature));
    let unsaid = Verifier::new(Catalogue::builtin().provider("square").expect("a provider"), &[secret("s")], &Options::default());
    assert_eq!(unsaid.map(drop), Err(SetupError::NoPublicUrl { provider: "square".into() }));
}

#[test]
fn every_item_of_a_batch_must_hold() {
    let (graph, other) = (Sender::of("microsoft-graph", ""), "another");
    let state = "a secret ";
    let judged = |body: String| graph.verifier.verify(&request("/in/test", &[], &body), NOW).map(drop).map_err(|cause| cause.code());
    let item = |state: &str| format!(r#"{{"clientState":"{state}"}}"#);
    assert_eq!(judged(format!(r#"{{"value":[{},{}]}}"#, item(state), item(state))), Ok(()));
    assert_eq!(judged(format!(r#"{{"value":[{},{}]}}"#, item(state), item(other))), Err("wrong_token"));
    assert_eq!(judged(format!(r#"{{"value":[{},{{}}]}}"#, item(state))), Err("missing_field"));
    assert_eq!(judged(r#"{"value":[]}"#.into()), Err("missing_field"));
    assert_eq!(judged(format!(r#"{{"value":[{}],"value":[{}]}}"#, item(state), item(state))), Err("missing_field"), "a key twice");
}

#[test]
fn a_form_that_is_none_is_not_taken_for_an_empty_one() {
    let twilio = Sender::of("twilio", "");
    // Signed over the URL alone, as an empty form would be; the body is whatever the sender likes.
    let mut signed = twilio.with("", &[]);
    signed.headers = signed
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-type")
        .map(|(name, value)| (name, Bytes::copy_from_slice(value)))
        .collect();
    signed.headers.push("content-type", "application/json");
    signed.body = Bytes::from_static(b"{}");
    assert_eq!(twilio.verifier.verify(&signed, NOW).map_err(|cause| cause.code()).map(drop), Err("missing_field"));
}

#[test]
fn a_part_that_may_be_left_out_is_not_left_out_by_being_there_twice() {
    let mercado = Sender::of("mercadopago", "");
    let mut signed = mercado.with("{}", &[("x-request-id", "r")]);
    assert!(mercado.verifier.verify(&signed, NOW).is_ok());
    let query = signed.target.split_once('?').expect("an id in the query").1.to_owned();
    signed.target = "/in/test".into();
    assert!(mercado.verifier.verify(&signed, NOW).is_err(), "it was signed with its id");
    signed.target = format!("/in/test?{query}&{query}");
    assert_eq!(mercado.verifier.verify(&signed, NOW).map(drop).map_err(|cause| cause.code()), Err("malformed_field"));
}

#[test]
fn amazon_signs_for_every_topic_and_a_source_says_which_is_its_own() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(file).expect(file)).expect("JSON");
    let vectors = vectors.as_array().expect("a list").iter();
    let vector = vectors.filter(|vector| vector["provider"] == "aws-sns").find(|vector| vector["expect"] == "valid").expect("a vector");
    let text = |key: &str| vector[key].as_str().expect("text");
    let now = crate::domain::Timestamp::from_millis(vector["now_unix"].as_i64().expect("a time") * 1000);
    let judged = |parameters: &[(&str, &str)]| {
        let verifier = verifier("aws-sns", text("secret"), parameters).expect("a key");
        verifier.verify(&request("/in/test", &[], text("body")), now).map(drop).map_err(|cause| cause.code())
    };
    let unsaid = verifier("aws-sns", text("secret"), &[]).map(drop);
    assert_eq!(unsaid, Err(SetupError::NoParameter { provider: "aws-sns".into(), parameter: "topic_arn".into() }));
    assert_eq!(judged(&[("topic_arn", "arn:aws:sns:us-east-1:1:t")]), Ok(()));
    assert_eq!(judged(&[("topic_arn", "arn:aws:sns:us-east-1:2:t")]), Err("condition_failed"));
}

#[test]
fn the_query_is_the_request_s_and_never_the_configured_url_s() {
    let mailchimp = verifier("mailchimp", "shared", &[]).expect("a secret");
    let judged = |target: &str| mailchimp.verify(&request(target, &[], "{}"), NOW).map(drop).map_err(|cause| cause.code());
    assert_eq!(judged("/in/test?secret=shared"), Ok(()));
    assert_eq!(judged("/in/test?secret=other"), Err("wrong_token"));
    assert_eq!(judged("/in/test"), Err("missing_field"));
}

#[test]
fn what_a_request_names_as_signed_it_names_once_and_not_without_end() {
    assert_eq!(carrier::names(b"A,b", b','), Some(vec!["a".into(), "b".into()]));
    for list in ["a,A", "a,,b", "", &["x"; 33].join(","), &(0..33).map(|n| n.to_string()).collect::<Vec<_>>().join(",")] {
        assert_eq!(carrier::names(list.as_bytes(), b','), None, "{list}");
    }
    assert!(carrier::names((0..32).map(|n| n.to_string()).collect::<Vec<_>>().join(",").as_bytes(), b',').is_some());
}

#[test]
fn a_public_key_s_work_is_done_for_few_signatures() {
    let graph = verifier("standard-webhooks", "whpk_lZKk7McroID7euRH4UTFXpz6+e6XjhRYnLgrDkAn+SA=", &[]).expect("a public key");
    let judged = |count: usize| {
        let signatures = vec![format!("v1a,{}", base64::engine::general_purpose::STANDARD.encode([7; 64])); count].join(" ");
        let now = NOW.as_seconds().to_string();
        let headers = [("webhook-id", "m"), ("webhook-timestamp", now.as_str()), ("webhook-signature", &signatures)];
        graph.verify(&request("/in/test", &headers, "{}"), NOW).map(drop).map_err(|cause| cause.code())
    };
    assert_eq!((judged(4), judged(5)), (Err("wrong_signature"), Err("malformed_header")));
}

#[test]
fn a_token_for_any_body_is_no_more_than_a_password() {
    let parameters = [("audience", "me"), ("email", "robot@example.com")];
    let pubsub = verifier("google-pubsub", PEM, &parameters).expect("a public key");
    let mut pushed = request("/in/test", &[("authorization", "Bearer a.b.c")], "{}");
    let verified = crate::domain::Verified {
        held: Some(crate::domain::Held { scheme: 0, secret: 0 }),
        signed_headers: Vec::new(),
        vouches_for_body: true,
        is_token: false,
        secret_header: None,
    };
    pubsub.redact(&mut pushed, &verified);
    assert_eq!(pushed.headers.text("authorization"), Some("[verified]"));
    // A checksum is no hash: PayPal's signature goes with every body of the same one.
    let paypal = Catalogue::builtin();
    assert!(!paypal.provider("paypal").expect("a provider").schemes[0].vouches_for_body());
}

#[test]
fn a_basic_proof_is_the_decoded_pair() {
    let verifier = verifier("chargebee", "user:pass", &[]).expect("a secret");
    let judged = |value: &str| {
        verifier
            .verify(&request("/in/test", &[("authorization", value)], "{}"), NOW)
            .map(|verified| verified.is_token)
            .map_err(|cause| cause.code())
    };
    assert_eq!(judged("Basic dXNlcjpwYXNz"), Ok(true));
    assert_eq!(judged("Basic dXNlcjpwYXNx"), Err("wrong_token"));
    assert_eq!(judged("Bearer dXNlcjpwYXNz"), Err("malformed_header"));
}
