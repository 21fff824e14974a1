//! Templates and locations as an operator writes them: read or refused, and what a template signs, it verifies.

#![no_main]

use hookfast::domain::RawRequest;
use hookfast::verify::{Location, Options, Sample, Template};
use hookfast_fuzz::{NOW, SECRETS, arm_with, provider};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = text.parse::<Location>();
    let Ok(message) = text.parse::<Template>() else { return };
    assert_eq!(message.to_string(), text);
    let options = Options { message: Some(message), ..Options::default() };
    let Ok(verifier) = arm_with(provider("hmac"), SECRETS[0].as_bytes(), options) else { return };
    let mut sample = Sample::of(r#"{"id":"evt_1","data":{"total":49.9}}"#);
    if verifier.sign(&mut sample, NOW, "msg_sample").is_err() {
        return;
    }
    let Sample { headers, body, query } = sample;
    let target = if query.is_empty() { "/".into() } else { format!("/?{query}") };
    let request = RawRequest { method: "POST".into(), target, headers, body, received_at: NOW };
    let verdict = verifier.verify(&request, NOW);
    assert!(verdict.is_ok(), "{verdict:?} for {request:?}");
});
