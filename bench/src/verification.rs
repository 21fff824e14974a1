//! What it costs to prove who sent a webhook, by algorithm: the whole check of one request, and what is read from its body after it.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookfast::domain::{RawRequest, Secret, Timestamp};
use hookfast::verify::{Catalogue, Options, Sample, SecretSpec, Verifier};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use crate::bench::Bench;
use crate::cores::{Core, pinned};
use crate::ingest::BODY_BYTES;
use crate::load::Body;
use crate::report::{Row, Section};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Each of another kind: the provider, what it stands for, and a secret of its form.
const SHARED: [(&str, &str, &str); 7] = [
    ("stripe", "HMAC-SHA256, timestamp and body", "a secret"),
    ("github", "HMAC-SHA256, body", "a secret"),
    ("intercom", "HMAC-SHA1, body", "a secret"),
    ("pandadoc", "HMAC-SHA256, in the query", "a secret"),
    ("recharge", "SHA-256 of secret and body", "a secret"),
    ("netlify", "JSON Web Token, HS256, and SHA-256 of the body", "a secret"),
    ("token", "token, nothing signed", "a secret"),
];

pub(crate) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.remark("In the benchmark's own process, on core 0. Bodies of 2327 bytes.");
    let (rounds, calls) = (bench.scale.rounds, bench.scale.calls);
    let rows = pinned(Core::Server, "verification", move || Ok(rows(rounds, calls)))?;
    rows.into_iter().for_each(|row| section.push(row));
    Ok(())
}

fn rows(rounds: usize, calls: u32) -> Vec<Row> {
    let body = Body::of(BODY_BYTES).with("evt_bench");
    let cases: Vec<(String, Verifier, RawRequest)> = SHARED
        .iter()
        .map(|(provider, what, secret)| {
            let verifier = verifier(provider, secret);
            let mut sample = Sample::of(body.clone());
            verifier.sign(&mut sample, NOW, "evt_bench").expect("a secret to sign with");
            (format!("{what} ({provider})"), verifier, request(sample))
        })
        .chain([ed25519(&body), ecdsa(&body)])
        .collect();
    let mut rows: Vec<_> = cases.iter().map(|(what, ..)| Row::of(what.as_str())).collect();
    for _ in 0..rounds {
        for ((_, verifier, request), row) in cases.iter().zip(&mut rows) {
            row.figure("µs verified", micros(calls, || verifier.verify(request, NOW).map(drop).expect("a proof")));
            let verified = verifier.verify(request, NOW).expect("a proof");
            row.figure("µs identified", micros(calls, || drop(verifier.identify(request, &verified))));
        }
    }
    rows
}

fn micros(calls: u32, call: impl Fn()) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        call();
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn verifier(provider: &str, secret: &str) -> Verifier {
    let catalogue = Catalogue::builtin();
    let provider = catalogue.provider(provider).expect("a provider of the catalogue");
    let secret = SecretSpec { secret: Secret::new(secret.as_bytes()), not_before: None, not_after: None };
    Verifier::new(provider, &[secret], &Options::default()).expect("a secret that fits")
}

fn request(sample: Sample) -> RawRequest {
    let Sample { headers, body, query } = sample;
    let target = if query.is_empty() { "/in/bench".to_owned() } else { format!("/in/bench?{query}") };
    RawRequest { method: "POST".into(), target, headers, body, received_at: NOW }
}

fn ed25519(body: &[u8]) -> (String, Verifier, RawRequest) {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let timestamp = NOW.as_seconds().to_string();
    let signature = key.sign(&[timestamp.as_bytes(), body].concat());
    let mut sample = Sample::of(body.to_vec());
    sample.headers.push("x-signature-timestamp", timestamp);
    sample.headers.push("x-signature-ed25519", hex::encode(signature));
    let verifier = verifier("discord", &hex::encode(key.public_key()));
    ("Ed25519 (discord)".into(), verifier, request(sample))
}

fn ecdsa(body: &[u8]) -> (String, Verifier, RawRequest) {
    /// What stands before a point of P-256 in a SubjectPublicKeyInfo (RFC 5480).
    const BEFORE_POINT: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
        0x07, 0x03, 0x42, 0x00,
    ];
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).expect("a key");
    let timestamp = NOW.as_seconds().to_string();
    let signature = key.sign(&random, &[timestamp.as_bytes(), body].concat()).expect("a signature");
    let mut sample = Sample::of(body.to_vec());
    sample.headers.push("x-twilio-email-event-webhook-timestamp", timestamp);
    sample.headers.push("x-twilio-email-event-webhook-signature", STANDARD.encode(signature));
    let verifier = verifier("sendgrid", &STANDARD.encode([&BEFORE_POINT[..], key.public_key().as_ref()].concat()));
    ("ECDSA on P-256 (sendgrid)".into(), verifier, request(sample))
}
