//! Any request to any provider: nothing panics, and nothing is accepted, as nobody knows the secrets.

#![no_main]

use hookfast_fuzz::{NOW, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Some((verifier, request)) = request(text) else { return };
    let verdict = verifier.verify(&request, NOW);
    assert!(verdict.is_err(), "{} let in what nobody signed: {request:?}", verifier.provider().name);
    let _ = verifier.handshake(&request, None, NOW);
});
