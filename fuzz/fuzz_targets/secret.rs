//! Any bytes as a secret, a public key or a certificate: an error or a verifier, never a panic, nor a request that passes unsigned.

#![no_main]

use hookfast::domain::{Headers, RawRequest};
use hookfast_fuzz::{NOW, arm, provider};
use libfuzzer_sys::fuzz_target;

/// One provider of each form of key: its header, and a proof of the right shape.
const PROVIDERS: [(&str, &str); 10] = [
    ("github", "x-hub-signature-256"),
    ("easypost", "x-hmac-signature"),
    ("airtable", "x-airtable-content-mac"),
    ("close", "close-sig-hash"),
    ("standard-webhooks", "webhook-signature"),
    ("discord", "x-signature-ed25519"),
    ("telnyx", "telnyx-signature-ed25519"),
    ("wise", "x-signature-sha256"),
    ("circle", "x-circle-signature"),
    ("plaid", "plaid-verification"),
];

fuzz_target!(|secret: &[u8]| {
    for (name, header) in PROVIDERS {
        let Ok(verifier) = arm(provider(name), secret) else { continue };
        let mut headers = Headers::default();
        headers.push(header, "c2FtcGxl.c2FtcGxl.c2FtcGxl");
        let request = RawRequest { method: "POST".into(), target: "/".into(), headers, body: "{}".into(), received_at: NOW };
        assert!(verifier.verify(&request, NOW).is_err(), "{name}");
    }
});
