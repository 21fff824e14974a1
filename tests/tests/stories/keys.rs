//! Providers that publish their keys: a source that gives none has them fetched, or recorded beside its configuration.

use bytes::Bytes;
use hookfast_tests::build::root;
use hookfast_tests::{Delivery, Source, World};
use http::Method;
use serde_json::Value;

/// A notification that Amazon's own library says is valid, and the key that made it.
fn notification() -> (Bytes, String) {
    let vectors: Vec<Value> =
        serde_json::from_slice(&std::fs::read(root().join("tests/vectors.json")).expect("the vectors")).expect("JSON");
    let is_it = |vector: &&Value| vector["provider"] == "aws-sns" && vector["expect"] == "valid";
    let vector = vectors.iter().find(is_it).expect("a vector");
    let text = |key: &str| vector[key].as_str().expect("text").to_owned();
    (text("body").into(), text("secret"))
}

fn delivery(body: Bytes) -> Delivery {
    Delivery { method: Method::POST, path: "/in/topic".into(), headers: [].into_iter().collect(), body }
}

fn topic(line: &str) -> Source {
    let parameters = r#"parameters = { topic_arn = "arn:aws:sns:us-east-1:1:t" }"#;
    Source::new("topic", "aws-sns").keyless().set(parameters).set(line)
}

#[tokio::test]
async fn a_recorded_key_proves_as_a_fetched_one_would() {
    let (body, key) = notification();
    let url = serde_json::from_slice::<Value>(&body).expect("JSON")["SigningCertURL"].as_str().expect("a URL").to_owned();
    let plan = World::with(topic(&format!("recorded_keys = {{ \"{url}\" = \"sns.pem\" }}\ntimestamp_tolerance = \"24h\"")));
    let world = plan.beside("sns.pem", &key).start().await;
    let answer = world.deliver(&delivery(body.clone())).await;
    // The key holds: what is refused is the moment, years ago.
    assert_eq!((answer.status, world.refusals("topic").await.pop().expect("a refusal").starts_with("401 timestamp_too_old")), (401, true));
    let forged = Bytes::from(String::from_utf8(body.to_vec()).expect("text").replace("\"Message\": \"", "\"Message\": \"x"));
    let forged = if forged == body {
        Bytes::from(String::from_utf8(body.to_vec()).expect("text").replacen("\"Message\":\"", "\"Message\":\"x", 1))
    } else {
        forged
    };
    assert_ne!(forged, body);
    world.deliver(&delivery(forged)).await;
    assert!(world.refusals("topic").await.pop().expect("a refusal").starts_with("401 wrong_signature"));
    world.finish().await;
}

#[tokio::test]
async fn senders_come_back_while_the_keys_cannot_be_fetched() {
    let source = Source::new("login", "kinde").keyless().set(r#"parameters = { issuer = "https://127.0.0.1:1" }"#);
    let world = World::with(source).start().await;
    let body = Bytes::from_static(b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA");
    let answer = world.deliver(&Delivery { path: "/in/login".into(), ..delivery(body) }).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_bytes()), (503, &b"5"[..]));
    let told = world.refusals("login").await.pop().expect("a refusal");
    assert!(
        told.starts_with("503 keys_unavailable: the provider's keys could not be fetched from https://127.0.0.1:1/.well-known/jwks"),
        "{told}"
    );
    world.finish().await;
}
