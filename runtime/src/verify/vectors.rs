//! The published test vectors in `tests/vectors.json`, and those that the providers' own SDKs made (`tests/oracles`), each through the
//! whole verifier.

use bytes::Bytes;
use serde_json::Value;

use crate::domain::{Headers, RawRequest, Secret, Timestamp};

use super::{Catalogue, Options, SecretSpec, Verifier};

fn text<'v>(vector: &'v Value, key: &str) -> &'v str {
    vector[key].as_str().unwrap_or_else(|| panic!("`{key}` is text in {vector}"))
}

fn target(url: &str) -> &str {
    url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/")
}

fn request(vector: &Value) -> RawRequest {
    let headers = vector["headers"].as_object().expect("headers");
    let header = |(name, value): (&String, &Value)| (name.to_ascii_lowercase(), Bytes::from(value.as_str().expect("text").to_owned()));
    let headers: Vec<(String, Bytes)> = headers.iter().map(header).collect();
    RawRequest {
        method: text(vector, "method").into(),
        target: target(text(vector, "url")).into(),
        headers: headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Headers>(),
        body: Bytes::from(text(vector, "body").to_owned()),
        received_at: Timestamp::from_millis(0),
    }
}

fn verifier(catalogue: &Catalogue, vector: &Value) -> Verifier {
    let secret = Secret::new(text(vector, "secret").as_bytes());
    let secrets = [SecretSpec { secret, not_before: None, not_after: None }];
    let provider = catalogue.provider(text(vector, "provider")).unwrap_or_else(|| panic!("no provider for {vector}"));
    let parameter = |(name, value): (&String, &Value)| (name.clone(), value.as_str().expect("text").to_owned());
    let parameters = vector["config"].as_object().into_iter().flatten().map(parameter).collect();
    let public_url = text(vector, "url").split('?').next().map(Into::into);
    let options = Options { public_url, parameters, is_offline: true, ..Options::default() };
    Verifier::new(provider, &secrets, &options).expect("a secret")
}

fn check(file: &str, count: usize) {
    let path = format!("{}/../tests/{file}", env!("CARGO_MANIFEST_DIR"));
    let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).expect(&path)).expect("JSON");
    let catalogue = Catalogue::builtin();
    let mut wrong = Vec::new();
    for vector in &vectors {
        let now = Timestamp::from_millis(vector["now_unix"].as_i64().unwrap_or(0) * 1000);
        let verdict = verifier(&catalogue, vector).verify(&request(vector), now);
        if verdict.is_ok() != (text(vector, "expect") == "valid") {
            wrong.push(format!("{verdict:?} for {vector}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(vectors.len() >= count, "vectors were lost");
}

#[test]
fn every_vector_has_the_verdict_that_its_source_gives_it() {
    check("vectors.json", 84);
}

#[test]
fn the_providers_own_sdks_judge_as_we_do() {
    check("oracles/vectors.json", 300);
}
