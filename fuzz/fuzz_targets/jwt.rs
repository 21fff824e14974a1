//! Tokens that are signed with the right key and say anything: nothing panics, and no other algorithm is believed.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use hookfast::domain::{Headers, RawRequest};
use hookfast_fuzz::{NOW, SECRETS, verifiers};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

/// Providers that share a secret and send a JWT: their name, its header, what stands before it.
const PROVIDERS: [(&str, &str, &str); 7] = [
    ("netlify", "x-webhook-signature", ""),
    ("messagebird", "messagebird-signature-jwt", ""),
    ("qstash", "upstash-signature", ""),
    ("livekit", "authorization", ""),
    ("monday", "authorization", ""),
    ("vonage", "authorization", "Bearer "),
    ("atlassian-connect", "authorization", "JWT "),
];

// A byte for the provider, then a line each for the token's header and claims, then the body.
fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = input.split_first() else { return };
    let mut lines = rest.splitn(3, |byte| *byte == b'\n');
    let (Some(head), Some(claims)) = (lines.next(), lines.next()) else { return };
    let (name, header, before) = PROVIDERS[usize::from(*which) % PROVIDERS.len()];
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRETS[0].as_bytes()).expect("any length will do");
    mac.update(signed.as_bytes());
    let token = format!("{before}{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let mut headers = Headers::default();
    headers.push(header, token);
    let body = lines.next().unwrap_or_default().to_vec().into();
    let request = RawRequest { method: "POST".into(), target: "/in/sample?a=1".into(), headers, body, received_at: NOW };
    if verifiers()[name].verify(&request, NOW).is_ok() {
        let head: serde_json::Value = serde_json::from_slice(head).expect("what is accepted is JSON");
        assert_eq!(head["alg"], "HS256", "{head}");
    }
});
