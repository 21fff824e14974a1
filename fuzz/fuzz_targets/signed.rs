//! What is signed stays valid, whatever the body; one other byte and it is not.

#![no_main]

use arbitrary::Arbitrary;
use hookfast::domain::{Headers, RawRequest};
use hookfast::verify::Sample;
use hookfast_fuzz::{NOW, verifiers};
use libfuzzer_sys::fuzz_target;

/// Providers whose proof stands in headers and covers any bytes.
const PROVIDERS: [&str; 12] =
    ["github", "hmac", "shopify", "slack", "standard-webhooks", "stripe", "svix", "recurly", "klaviyo", "cloudinary", "netlify", "paddle"];

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    provider: u8,
    at: u16,
    with: u8,
    body: &'a [u8],
}

fuzz_target!(|case: Case<'_>| {
    let verifier = &verifiers()[PROVIDERS[usize::from(case.provider) % PROVIDERS.len()]];
    let mut sample = Sample::of(case.body.to_vec());
    verifier.sign(&mut sample, NOW, "msg_sample").expect("any body can be signed");
    let Sample { headers, body, .. } = sample;
    let signed = RawRequest { method: "POST".into(), target: "/in/sample?a=1".into(), headers, body, received_at: NOW };
    let verified = verifier.verify(&signed, NOW).expect("what is signed is valid");
    verifier.identify(&signed, &verified);
    verifier.redact(&mut signed.clone(), &verified);
    if let Some(other) = altered(&signed, usize::from(case.at), case.with) {
        assert!(verifier.verify(&other, NOW).is_err(), "{} accepts {other:?}", verifier.provider().name);
    }
});

/// The request with one byte of the signature's header or of the body set to another; `None` where it says the same as before.
fn altered(signed: &RawRequest, at: usize, with: u8) -> Option<RawRequest> {
    let mut other = signed.clone();
    if at % 2 == 0 {
        let mut body = signed.body.to_vec();
        let at = at / 2 % body.len().max(1);
        *body.get_mut(at)? = with;
        other.body = body.into();
    } else {
        let (name, value) = signed.headers.iter().last()?;
        let mut value = value.to_vec();
        let at = at / 2 % value.len();
        value[at] = with;
        let kept = signed.headers.iter().filter(|(own, _)| *own != name);
        other.headers = Headers::default();
        kept.for_each(|(own, value)| other.headers.push(own, value));
        other.headers.push(name, value);
    }
    (!is_the_same(signed, &other)).then_some(other)
}

/// Hexadecimal digits are read in either case.
fn is_the_same(one: &RawRequest, other: &RawRequest) -> bool {
    let last = |request: &RawRequest| request.headers.iter().last().map(|(_, value)| value.to_ascii_lowercase());
    one.body == other.body && last(one) == last(other)
}
