//! The questions of providers, and what a stranger makes of them.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::handshake::TEXT;
use super::sender::{NOW, Sender};
use super::{HandshakeAnswer, Options, Verifier};
use crate::domain::{Headers, RawRequest, RefusalCause, Secret, Verified};

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> RawRequest {
    let mut list = Headers::default();
    headers.iter().for_each(|(name, value)| list.push(name, *value));
    RawRequest {
        method: method.into(),
        target: target.into(),
        headers: list,
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: NOW,
    }
}

fn asked(sender: &Sender, request: &RawRequest) -> Option<Result<String, &'static str>> {
    let answer = sender.verifier.handshake(request, None, NOW)?;
    Some(answer.map(|answer| String::from_utf8(answer.body.to_vec()).expect("text")).map_err(|cause| cause.code()))
}

fn with(provider: &str, secret: &str, parameters: &[(&str, &str)]) -> Sender {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = Options { public_url: Some("https://hooks.example.com/in/x".into()), parameters, ..Options::default() };
    Sender::with_options(provider, &[secret], &options)
}

fn signed(provider: &str, body: &str, headers: &[(&str, &str)]) -> Option<Result<HandshakeAnswer, RefusalCause>> {
    let sender = Sender::of(provider, "");
    let request = sender.with(body, headers);
    let verified = sender.verifier.verify(&request, NOW).expect("a proof");
    assert_eq!(sender.verifier.handshake(&request, None, NOW), None, "not before the proof is checked");
    sender.verifier.handshake(&request, Some(&verified), NOW)
}

#[test]
fn an_unsigned_ping_is_answered_and_an_offered_secret_kept_for_the_operator() {
    let shop = with("woocommerce", "s", &[]);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(asked(&shop, &request("POST", "/in/x", &form, "webhook_id=7")), Some(Ok(String::new())));
    assert_eq!(asked(&shop, &request("POST", "/in/x", &[], r#"{"webhook_id":7}"#)), None, "an event");

    let options = Options { public_url: Some("https://hooks.example.com/in/x".into()), ..Options::default() };
    let offered = |text: &str, secrets: &[&str]| {
        let sent = request("POST", "/in/x", &[], &format!(r#"{{"eventType":"installed","sharedSecret":"{text}"}}"#));
        let sender = Sender::with_options("atlassian-connect", secrets, &options);
        sender.verifier.handshake(&sent, None, NOW).expect("a handshake").expect("an answer").offered
    };
    assert_eq!(offered("ATCO-1234", &[]), Some(Secret::new(&b"ATCO-1234"[..])));
    assert_eq!(offered("has blanks in it", &[]), None);
    assert_eq!(offered("known-already", &["known-already"]), None);
}

#[test]
fn a_subscription_is_confirmed_on_the_provider_s_hosts_only() {
    let sender = |within: &str| {
        let url = format!(r#"{{"Type":"SubscriptionConfirmation","SubscribeURL":"{within}"}}"#);
        let held = Some(crate::domain::Held { scheme: 0, secret: 0 });
        let verified = Verified { held, signed_headers: Vec::new(), vouches_for_body: true, is_token: false, secret_header: None };
        let options = Options { parameters: [("topic_arn".to_owned(), "arn".to_owned())].into(), ..Options::default() };
        let catalogue = super::Catalogue::builtin();
        let sns = Verifier::new(catalogue.provider("aws-sns").expect("a provider"), &[], &options).expect("published keys");
        sns.handshake(&request("POST", "/in/x", &[], &url), Some(&verified), NOW).expect("a handshake").map(|answer| answer.visit)
    };
    let url = "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-west-2:1:t&Token=2336";
    assert_eq!(sender(url), Ok(Some(url.into())));
    for url in ["https://evil.example/?Action=ConfirmSubscription&x", "https://sns.us-west-2.amazonaws.com/?Action=DeleteTopic&x", ""] {
        assert!(matches!(sender(url), Err(RefusalCause::HandshakeFailed { .. })), "{url}");
    }
}

#[test]
fn a_signed_challenge_is_answered_as_plain_text() {
    let answer = signed("slack", r#"{"token":"t","challenge":"3eZbrw1aB","type":"url_verification"}"#, &[])
        .expect("a handshake")
        .expect("an answer");
    assert_eq!((answer.status, answer.content_type, &answer.body[..]), (200, TEXT, &b"3eZbrw1aB"[..]));
    let kind = [("twitch-eventsub-message-type", "webhook_callback_verification"), ("twitch-eventsub-message-id", "e76c6bd4")];
    let answer = signed("twitch", r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo"}"#, &kind).expect("a handshake").expect("an answer");
    assert_eq!(&answer.body[..], b"pogchamp-kappa-360noscope-vohiyo");
}

#[test]
fn an_event_is_no_handshake() {
    assert_eq!(signed("slack", r#"{"challenge":"x","type":"event_callback"}"#, &[]), None);
    assert_eq!(signed("slack", "type=url_verification&challenge=x", &[]), None);
    assert_eq!(signed("stripe", r#"{"challenge":"x","type":"url_verification"}"#, &[]), None);
}

#[test]
fn a_challenge_that_is_missing_long_or_not_plain_is_refused() {
    let long = "a".repeat(513);
    for challenge in ["", "a<b", "é", "a\\u0000", &long] {
        let body = format!(r#"{{"type":"url_verification","challenge":"{challenge}"}}"#);
        assert!(matches!(signed("slack", &body, &[]), Some(Err(RefusalCause::HandshakeFailed { .. }))), "{challenge}");
    }
    assert!(matches!(signed("slack", r#"{"type":"url_verification"}"#, &[]), Some(Err(RefusalCause::HandshakeFailed { .. }))));
}

#[test]
fn an_unsigned_question_is_answered_only_as_its_provider_asks() {
    let meta = with("meta", "s", &[("verify_token", "meatyhamhock")]);
    let question =
        |token: &str| request("GET", &format!("/in/x?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"), &[], "");
    assert_eq!(asked(&meta, &question("meatyhamhock")), Some(Ok("1158201444".into())));
    assert_eq!(asked(&meta, &question("other")), Some(Err("handshake_failed")));
    assert_eq!(asked(&meta, &request("GET", "/in/x?hub.challenge=1", &[], "")), None);
    assert_eq!(asked(&meta, &request("POST", "/in/x?hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock", &[], "")), None);
    assert_eq!(asked(&with("dropbox", "s", &[]), &request("GET", "/in/x?challenge=abc", &[], "")), Some(Ok("abc".into())));
    let graph = with("microsoft-graph", "s", &[]);
    assert_eq!(
        asked(&graph, &request("POST", "/in/x?validationToken=Validation%3A+Testing", &[], "")),
        Some(Ok("Validation: Testing".into()))
    );
    assert_eq!(asked(&graph, &request("POST", "/in/x?validationToken=%3Cscript%3E", &[], "")), Some(Err("handshake_failed")));
}

#[test]
fn ebay_is_given_the_hash_of_its_documentation() {
    // https://developer.ebay.com/marketplace-account-deletion: SHA-256 of challenge code, verification token and endpoint.
    let ebay = sender_of_ebay();
    let question = request("GET", "/in/x?challenge_code=a8628072", &[], "");
    let expected = hex::encode(Sha256::digest("a8628072tokenhttps://hooks.example.com/in/x"));
    assert_eq!(asked(&ebay, &question), Some(Ok(format!(r#"{{"challengeResponse":"{expected}"}}"#))));
}

fn sender_of_ebay() -> Sender {
    let key =
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZhhxXKtR+TOvtDbgTPCkSof02qgBB7IsYOyf76ilExJ/upAa/vKIKheOoCyOpcLmi4t0b4uepb7LLjmMr90FUg==";
    with("ebay", key, &[("verification_token", "token")])
}

/// The oracle: whoever may ask for a signature over anything asks for one over an event.
#[test]
fn a_signature_that_was_asked_for_is_no_proof_of_an_event() {
    let x = with("x", "s", &[]);
    let forged_body = "forged_event";
    let answer = asked(&x, &request("GET", &format!("/in/x?crc_token={forged_body}"), &[], "")).expect("a handshake").expect("an answer");
    let signature = answer.split_once(':').map(|(_, rest)| rest.trim_matches(['"', '}'])).expect("a signature");
    let forged = request("POST", "/in/x", &[("x-twitter-webhooks-signature", signature)], forged_body);
    assert_eq!(x.verifier.verify(&forged, NOW).map(drop), Err(RefusalCause::LooksLikeChallenge));
    // And nothing that could be an event is signed.
    for body in ["%7B%7D", "a.b", "a%3Ab", &"a".repeat(129)] {
        assert_eq!(asked(&x, &request("GET", &format!("/in/x?crc_token={body}"), &[], "")), Some(Err("handshake_failed")), "{body}");
    }
}

#[test]
fn zoom_and_braintree_are_no_oracles_either() {
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let answer = signed("zoom", body, &[]).expect("a handshake").expect("an answer");
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    assert!(text.starts_with(r#"{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":""#), "{text}");
    // Events are signed behind `v0:`, which no challenge holds.
    let forged = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1700000000:{}"}}"#;
    assert!(matches!(signed("zoom", forged, &[]), Some(Err(RefusalCause::HandshakeFailed { .. }))));

    let braintree = with("braintree", "private", &[("public_key", "public")]);
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let answer =
        asked(&braintree, &request("GET", &format!("/in/x?bt_challenge={challenge}"), &[], "")).expect("a handshake").expect("an answer");
    let (key, signature) = answer.split_once('|').expect("key and signature");
    assert_eq!(key, "public");
    let form = format!("bt_signature=public%7C{signature}&bt_payload={challenge}");
    let forged = request("POST", "/in/x", &[("content-type", "application/x-www-form-urlencoded")], &form);
    assert_eq!(braintree.verifier.verify(&forged, NOW).map(drop), Err(RefusalCause::LooksLikeChallenge));
}

#[test]
fn an_answer_can_be_a_header_or_a_status() {
    let trello = with("trello", "s", &[]);
    let answer = trello.verifier.handshake(&request("HEAD", "/in/x", &[], ""), None, NOW).expect("a handshake").expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let grid = with("azure-event-grid", "s", &[]);
    let asked = request("OPTIONS", "/in/x", &[("webhook-request-origin", "eventemitter.example.com")], "");
    let answer = grid.verifier.handshake(&asked, None, NOW).expect("a handshake").expect("an answer");
    assert!(answer.headers.contains(&("webhook-allowed-origin".into(), "eventemitter.example.com".into())), "{answer:?}");
}
