//! What makes a request a resend of another. A value that the proof covers counts by itself; one from an unsigned header
//! only together with the body, since anyone on the way could put a known id on another body and have it taken for a resend.

use std::time::Duration;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{DedupeKey, DedupePolicy, Headers, Line, OrderingKey, RawRequest, SourceName};

use super::identify::{Identity, Name};
use super::split::Part;
use super::verifier::Verifier;

/// How long a body's hash stands for an event at most: equal bodies days apart are two events.
const BODY_WINDOW_MAX: Duration = Duration::from_mins(10);

impl Verifier {
    /// The key's text for people, and the key; `None` where the source does not dedupe. What a header says is said of the whole request: a
    /// part of one that has no id of its own has its number in the key.
    pub fn dedupe_key(
        &self,
        source: &SourceName,
        request: &RawRequest,
        identity: &Identity,
        policy: DedupePolicy,
        part: Option<Part>,
    ) -> Option<(String, DedupeKey)> {
        let DedupePolicy::Window(window) = policy else { return None };
        let body_hash = xxh3_64(&request.body).to_le_bytes();
        let part = part.filter(|_| !identity.key.as_ref().is_some_and(|name| name.is_own));
        let body = || part.map_or_else(|| Sha256::digest(&request.body).into(), |part| part.request);
        let (number, suffix) = part.map_or_else(Default::default, |part| (part.number.to_string(), format!("#{}", part.number + 1)));
        let hash = |parts: &[&[u8]]| {
            if part.is_none() { framed_hash(source, parts) } else { framed_hash(source, &[parts, &[number.as_bytes()]].concat()) }
        };
        Some(match &identity.key {
            Some(Name { label, value, signed, .. }) => {
                let text = format!("{label}:{value}{suffix}");
                let hash = match signed {
                    true => hash(&[label.as_bytes(), value.as_bytes()]),
                    false => hash(&[label.as_bytes(), value.as_bytes(), &body()]),
                };
                (text, DedupeKey { hash, body_hash, window })
            }
            None => {
                let body: [u8; 32] = body();
                let text = format!("body:sha256:{}{suffix}", hex::encode(body));
                (text, DedupeKey { hash: hash(&[b"body", &body]), body_hash, window: window.min(BODY_WINDOW_MAX) })
            }
        })
    }
}

impl Verifier {
    /// What a source orders this request by; `None` where it has no value at the configured place.
    pub fn ordering_key(&self, source: &SourceName, identity: &Identity, skip_after: Option<u32>) -> Option<OrderingKey> {
        let Name { label, value, .. } = identity.ordering.as_ref()?;
        let hash = framed_hash(source, &[b"ordering", label.as_bytes(), value.as_bytes()]);
        Some(OrderingKey { text: format!("{label}:{value}"), line: Line { hash, skip_after } })
    }
}

impl Verifier {
    /// The same for an event that did not come as a request.
    pub fn ordering_of(&self, source: &SourceName, headers: &Headers, body: &[u8], skip_after: Option<u32>) -> Option<OrderingKey> {
        self.ordering_key(source, &self.identify_emitted(headers, body), skip_after)
    }
}

/// The first 128 bits of a SHA-256 over the source and the parts, each behind its length, so that no two lists of parts
/// are the same bytes.
fn framed_hash(source: &SourceName, parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [source.as_str().as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    *hash.finalize().first_chunk().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::super::sender::{NOW, Sender, WHSEC};
    use super::super::{Options, Verifier};
    use super::*;
    use crate::domain::RawRequest;

    const HOUR: Duration = Duration::from_hours(1);

    fn key(verifier: &Verifier, request: &RawRequest) -> (String, DedupeKey) {
        let verified = verifier.verify(request, NOW).expect("a proof");
        let identity = verifier.identify(request, &verified);
        let source = "shop".parse().expect("a name");
        assert_eq!(verifier.dedupe_key(&source, request, &identity, DedupePolicy::None, None), None);
        verifier.dedupe_key(&source, request, &identity, DedupePolicy::Window(HOUR), None).expect("a key")
    }

    fn keys(sender: &Sender, bodies: [&str; 2], headers: &[(&str, &str)]) -> [(String, DedupeKey); 2] {
        bodies.map(|body| key(&sender.verifier, &sender.with(body, headers)))
    }

    #[test]
    fn a_signed_id_counts_alone() {
        let bodies = [r#"{"id":"evt_1","n":1}"#, r#"{"id":"evt_1","n":2}"#];
        let [(text, one), (_, other)] = keys(&Sender::new("stripe", "s"), bodies, &[]);
        assert_eq!((text.as_str(), one.window), ("id:evt_1", HOUR));
        assert_eq!(one.hash, other.hash);
        assert_ne!(one.body_hash, other.body_hash, "another body under the same id can be told");
        let [(text, one), (_, other)] = keys(&Sender::new("standard-webhooks", WHSEC), ["a", "b"], &[("webhook-id", "msg_1")]);
        assert_eq!(text, "header:webhook-id:msg_1");
        assert_eq!(one.hash, other.hash);
    }

    #[test]
    fn an_unsigned_id_counts_only_together_with_the_body() {
        let sender = Sender::new("github", "s");
        let delivery = [("x-github-delivery", "d1")];
        let [(text, one), (_, other)] = keys(&sender, ["a", "b"], &delivery);
        assert_eq!((text.as_str(), one.window), ("header:x-github-delivery:d1", HOUR));
        assert_ne!(one.hash, other.hash);
        let [(_, one), (_, other)] = keys(&sender, ["a", "a"], &delivery);
        assert_eq!(one, other);
        let options = Options { dedupe: Some("header:x-id".parse().expect("a location")), ..Options::default() };
        let sender = Sender::with_options("standard-webhooks", &[WHSEC], &options);
        let [(text, one), (_, other)] = keys(&sender, ["a", "b"], &[("x-id", "1")]);
        assert_eq!(text, "header:x-id:1");
        assert_ne!(one.hash, other.hash, "this provider signs other headers, not this one");
    }

    #[test]
    fn without_an_id_the_well_known_headers_count_and_then_the_body_for_ten_minutes() {
        let sender = Sender::new("hmac", "s");
        let text = |headers: &[(&str, &str)]| key(&sender.verifier, &sender.with("a", headers)).0;
        assert_eq!(text(&[("webhook-id", "w"), ("idempotency-key", "i")]), "header:idempotency-key:i");
        assert_eq!(text(&[("webhook-id", "w")]), "header:webhook-id:w");
        assert_eq!(text(&[("webhook-id", "w"), ("webhook-id", "x")])[..12], *"body:sha256:");
        let (text, body) = key(&sender.verifier, &sender.with("a", &[]));
        assert_eq!(text, "body:sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
        assert_eq!(body.window, Duration::from_mins(10));
    }

    #[test]
    fn the_configured_location_comes_first_and_falls_back() {
        let options = Options { dedupe: Some("/order".parse().expect("a location")), ..Options::default() };
        let sender = Sender::with_options("stripe", &["s"], &options);
        let text = |body| key(&sender.verifier, &sender.with(body, &[])).0;
        assert_eq!(text(r#"{"id":"evt_1","order":7}"#), "/order:7");
        assert_eq!(text(r#"{"id":"evt_1"}"#), "id:evt_1");
    }

    #[test]
    fn a_part_of_a_batch_counts_by_its_own_id_and_else_by_its_place() {
        let sender = Sender::of("gocardless", "");
        let keys = |body: &str, headers: &[(&str, &str)]| -> Vec<(String, DedupeKey)> {
            let mut request = sender.with(body, headers);
            let verified = sender.verifier.verify(&request, NOW).expect("a proof");
            let source = "shop".parse().expect("a name");
            let parts = sender.verifier.split(&request.body).expect("items").into_iter();
            parts
                .map(|(body, part)| {
                    request.body = body;
                    let identity = sender.verifier.identify(&request, &verified);
                    sender.verifier.dedupe_key(&source, &request, &identity, DedupePolicy::Window(HOUR), part).expect("a key")
                })
                .collect()
        };
        let texts = |keys: &[(String, DedupeKey)]| keys.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
        let both = keys(r#"{"events":[{"id":"EV1"},{"id":"EV2"}]}"#, &[("webhook-id", "w")]);
        assert_eq!(texts(&both), ["id:EV1", "id:EV2"]);
        // The same event in another batch, or alone.
        assert_eq!(keys(r#"{"events":[{"id":"EV2"}]}"#, &[])[0], both[1]);
        // Equal items without an id are two events; the whole sent again is none.
        let alike = keys(r#"{"events":[{"n":1},{"n":1}]}"#, &[("webhook-id", "w")]);
        assert_eq!(texts(&alike), ["header:webhook-id:w#1", "header:webhook-id:w#2"]);
        assert_ne!(alike[0].1.hash, alike[1].1.hash);
        assert_eq!(keys(r#"{"events":[{"n":1},{"n":1}]}"#, &[("webhook-id", "w")]), alike);
        // Another batch that begins alike is another.
        let other = keys(r#"{"events":[{"n":1},{"n":2}]}"#, &[("webhook-id", "w")]);
        assert_ne!(other[0].1.hash, alike[0].1.hash);
        let bare = keys(r#"{"events":[{"n":1},{"n":1}]}"#, &[]);
        assert!(bare[0].0.starts_with("body:sha256:") && bare[1].0.ends_with("#2") && bare[0].1.hash != bare[1].1.hash);
    }

    fn hash(source: &str, parts: &[&[u8]]) -> [u8; 16] {
        framed_hash(&source.parse().expect("a name"), parts)
    }

    #[test]
    fn no_two_lists_of_parts_share_a_hash() {
        let all = [
            hash("s", &[b"id", b"ab"]),
            hash("s", &[b"ida", b"b"]),
            hash("s", &[b"id", b"a", b"b"]),
            hash("si", &[b"d", b"ab"]),
            hash("s", &[b"id", b"ab", b""]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }
}
