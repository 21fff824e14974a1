//! Properties that hold for every provider and every byte: nothing panics, what is signed is accepted, and one flipped bit
//! anywhere in what is signed or in the signature is refused.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::domain::{Headers, RawRequest};

use super::Effort;
use super::sender::{NOW, Sender};

/// Providers whose proof stands in a header and covers any bytes, one of each kind.
const PROVIDERS: [&str; 13] = [
    "github",
    "gitlab",
    "hmac",
    "shopify",
    "slack",
    "standard-webhooks",
    "stripe",
    "svix",
    "token",
    "recurly",
    "klaviyo",
    "cloudinary",
    "netlify",
];

/// All headers that any provider compiled in reads.
const HEADERS: [&str; 12] = [
    "stripe-signature",
    "x-hub-signature-256",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-signature",
    "x-gitlab-token",
    "x-slack-signature",
    "x-slack-request-timestamp",
    "x-shopify-hmac-sha256",
    "x-signature",
    "authorization",
];

/// Values that get past the first checks, and any bytes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let near = "(t=|v1=|v1,|v0=|sha256=|Bearer |1700000000|[0-9a-f]{64}|[A-Za-z0-9+/]{43}=|[ ,.=]){0,6}";
    prop_oneof![near.prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..80)]
}

fn request(headers: &[(usize, Vec<u8>)], body: Vec<u8>) -> RawRequest {
    let mut list = Headers::default();
    headers.iter().for_each(|(name, value)| list.push(HEADERS[*name], value.clone()));
    RawRequest { method: "POST".into(), target: "/in/x".into(), headers: list, body: body.into(), received_at: NOW }
}

/// The request with one bit of one header's value flipped.
fn flipped(mut request: RawRequest, name: &str, bit: Index) -> RawRequest {
    let mut headers = Headers::default();
    for (own, value) in request.headers.iter() {
        let mut value = value.to_vec();
        if own == name {
            let bit = bit.index(value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
        }
        headers.push(own, value);
    }
    request.headers = headers;
    request
}

/// Whether the values end in the same hexadecimal digits, of either case: the one other spelling that counts.
fn is_same_in_other_case(one: &[u8], other: &[u8]) -> bool {
    let before = |value: &[u8]| value.iter().rposition(|byte| !byte.is_ascii_hexdigit()).map_or(0, |last| last + 1);
    let (at, others) = (before(one), before(other));
    one.len() - at >= 40 && at == others && one[..at] == other[..at] && one.eq_ignore_ascii_case(other)
}

proptest! {
    #[test]
    fn no_request_makes_a_verifier_panic_or_accept(
        headers in proptest::collection::vec((0..HEADERS.len(), value()), 0..8),
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let request = request(&headers, body);
        for provider in PROVIDERS {
            let verifier = Sender::of(provider, "unguessable, and long at that: 9f1c").verifier;
            let Err(cause) = verifier.verify(&request, NOW) else { return Err(TestCaseError::fail(provider)) };
            verifier.diagnose(&request, &cause, &mut Effort::of_bytes(64 << 10));
        }
    }

    #[test]
    fn what_is_signed_is_accepted_and_any_other_body_is_not(body in proptest::collection::vec(any::<u8>(), 1..200), bit: Index) {
        for provider in PROVIDERS {
            let sender = Sender::of(provider, "unguessable, and long at that: 9f1c");
            let mut request = sender.at(NOW, &body, &[]);
            let verified = sender.verifier.verify(&request, NOW);
            prop_assert!(verified.is_ok(), "{provider}: {verified:?}");
            sender.verifier.identify(&request, &verified.expect("checked above"));
            let bit = bit.index(body.len() * 8);
            let mut other = body.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            request.body = Bytes::from(other);
            prop_assert_eq!(sender.verifier.verify(&request, NOW).is_ok(), provider == "token", "{}", provider);
        }
    }

    #[test]
    fn one_flipped_bit_in_a_header_that_counts_is_refused(body in proptest::collection::vec(any::<u8>(), 0..64), bit: Index) {
        for provider in PROVIDERS {
            let sender = Sender::of(provider, "unguessable, and long at that: 9f1c");
            let request = sender.at(NOW, &body, &[]);
            for (name, value) in request.headers.iter() {
                let other = flipped(request.clone(), name, bit);
                let changed = other.headers.only(name).unwrap_or_default();
                if !is_same_in_other_case(changed, value) {
                    prop_assert!(sender.verifier.verify(&other, NOW).is_err(), "{provider} {name} {:?}", String::from_utf8_lossy(changed));
                }
            }
        }
    }
}
