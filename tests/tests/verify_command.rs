//! `hookfast verify FILE` and `hookfast providers`, as a person at a terminal has them.

use std::fs;
use std::process::{Command, Output};

use hookfast_tests::build::binary;
use hookfast_tests::directory::Directory;
use serde_json::{Value, json};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(binary()).args(arguments).output().expect("it runs");
    (status.code(), String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"))
}

fn judged(file: &Value) -> (Option<i32>, Value) {
    let directory = Directory::new();
    directory.write("requests.json", file.to_string());
    let (code, stdout, stderr) = run(&["verify", directory.path().join("requests.json").to_str().expect("text"), "--json"]);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}")))
}

#[test]
fn every_vector_is_judged_as_its_source_says_in_the_order_of_the_file() {
    ["vectors.json", "oracles/vectors.json"].into_iter().for_each(check);
}

fn check(file: &str) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_slice(&fs::read(&path).expect(&path)).expect("JSON");
    let (code, stdout, stderr) = run(&["verify", &path, "--json"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let verdicts: Value = serde_json::from_str(&stdout).expect("JSON");
    let (vectors, verdicts) = (vectors.as_array().expect("a list"), verdicts.as_array().expect("a list"));
    assert_eq!(vectors.len(), verdicts.len());
    for (vector, verdict) in vectors.iter().zip(verdicts) {
        assert_eq!(vector["provider"], verdict["provider"]);
        assert_eq!(vector["expect"] == "valid", verdict["verdict"] == "verified", "{vector} {verdict}");
        assert_eq!(verdict["cause"].is_null(), vector["expect"] == "valid");
    }
}

#[test]
fn a_verdict_says_what_was_found_and_an_unexpected_one_is_told() {
    let token = json!({ "provider": "telegram", "secret": "s", "headers": { "X-Telegram-Bot-Api-Secret-Token": "s" }, "body": "{}" });
    assert_eq!(judged(&token), (Some(0), json!([{ "provider": "telegram", "verdict": "authenticated", "cause": null }])));
    let unknown = json!([{ "provider": "nobody", "secret": "s", "headers": {}, "body": "", "expect": "invalid" }]);
    assert_eq!(judged(&unknown), (Some(0), json!([{ "provider": "nobody", "verdict": "invalid", "cause": "unknown_provider" }])));
    let wrong = json!({ "provider": "github", "secret": "s", "headers": { "X-Hub-Signature-256": format!("sha256={}", "0".repeat(64)) }, "body": "{}", "expect": "valid" });
    assert_eq!(judged(&wrong), (Some(1), json!([{ "provider": "github", "verdict": "invalid", "cause": "wrong_signature" }])));
}

#[test]
fn what_is_no_file_of_requests_is_told_with_its_place() {
    let (code, _, stderr) = run(&["verify", "/nowhere.json"]);
    assert_eq!(code, Some(6), "{stderr}");
    let directory = Directory::new();
    let path = directory.path().join("bad.json");
    for (text, expected) in
        [("{", "is no JSON"), (r#"[{"provider":"x","secret":"s"},{"secret":"s"}]"#, "request 2: missing field `provider`")]
    {
        directory.write("bad.json", text);
        let (code, _, stderr) = run(&["verify", path.to_str().expect("text")]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn the_catalogue_can_be_read() {
    let (code, stdout, _) = run(&["providers", "list", "--json"]);
    let providers: Value = serde_json::from_str(&stdout).expect("JSON");
    let of = |slug: &str| providers.as_array().expect("a list").iter().find(|provider| provider["slug"] == slug).cloned().expect(slug);
    assert_eq!((code, of("stripe")["class"].clone(), of("stripe")["confidence"].clone()), (Some(0), "verified".into(), "A".into()));
    assert_eq!((of("telegram")["class"].clone(), of("dockerhub")["class"].clone()), ("authenticated".into(), "unverified".into()));
    assert_eq!((of("slack")["handshake"].clone(), of("github")["handshake"].clone()), (true.into(), false.into()));
    assert_eq!(of("slack")["schemes"][0]["message"], "v0:{timestamp}:{body}");
    let (code, _, stderr) = run(&["providers", "show", "strpe"]);
    assert_eq!(code, Some(6));
    assert!(stderr.contains("did you mean `stripe`?"), "{stderr}");
    let (code, stdout, _) = run(&["providers", "show", "mailgun"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("not signed"), "{stdout}");
}

const ACME: &str = r#"
name = "acme"
title = "Acme"
documentation = "https://acme.example/webhooks"

[[schemes]]
carrier = "header:x-acme-token"
algorithm = "token"
"#;

#[test]
fn own_providers_beside_the_configuration_are_known_without_a_server() {
    let directory = Directory::new();
    let write = |name: &str, text: &str| directory.write(name, text);
    let path = |name: &str| directory.path().join(name).display().to_string();
    write("catalogue.d/acme.toml", ACME);
    // What else stands there is no matter of the catalogue, and neither is whether its secrets can be read.
    write("hookfast.toml", "[sources.shop]\nprovider = \"acme\"\nsecrets = [\"env:NOT_SET_ANYWHERE\"]\n");
    write("request.json", &json!({ "provider": "acme", "secret": "s", "headers": { "X-Acme-Token": "s" } }).to_string());
    let (config, request) = (path("hookfast.toml"), path("request.json"));

    let (code, stdout, stderr) = run(&["verify", &request, "--config", &config]);
    assert!(code == Some(0) && stdout.contains("authenticated"), "{stdout}{stderr}");
    assert!(run(&["verify", &request]).1.contains("unknown_provider"), "without it only those compiled in");
    assert!(run(&["providers", "show", "acme", "--config", &config]).1.contains("header:x-acme-token"));
    assert!(run(&["providers", "list", "--config", &config]).1.contains("Acme"));
    let here = Command::new(binary()).args(["providers", "show", "acme"]).current_dir(directory.path()).output().expect("it runs");
    assert!(here.status.success(), "the configuration of the folder is found");

    let (code, _, stderr) = run(&["providers", "list", "--config", &path("elsewhere.toml")]);
    assert!(code == Some(78) && stderr.contains("there is no configuration"), "{stderr}");
    write("catalogue.d/acme.toml", &ACME.replace("= \"token\"", "= \"tokem\""));
    let (code, _, stderr) = run(&["verify", &request, "--config", &config]);
    assert!(code == Some(78) && stderr.contains("acme.toml:8"), "{stderr}");
}
