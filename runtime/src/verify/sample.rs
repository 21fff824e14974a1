//! Requests to try a source with: the bodies in `runtime/samples`, with a fresh id and time. Sample data only; the
//! signature is made by [`super::Verifier::sign`].

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::domain::{Headers, Timestamp};

use super::location::{Location, Place};
use super::provider::Provider;

/// A request to send; not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its headers but for the proof.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

/// A sample body as it lies in the repository.
struct Entry {
    provider: &'static str,
    event_type: &'static str,
    body: &'static str,
    /// Headers that the provider sends beside id and type.
    headers: &'static [(&'static str, &'static str)],
}

macro_rules! entry {
    ($provider:literal, $event_type:literal, $file:literal $(, $header:literal = $value:literal)*) => {
        Entry {
            provider: $provider,
            event_type: $event_type,
            body: include_str!(concat!("../../samples/", $provider, "/", $file, ".json")),
            headers: &[$(($header, $value)),*],
        }
    };
}

const ENTRIES: &[Entry] = &[
    entry!("stripe", "invoice.paid", "invoice.paid"),
    entry!("stripe", "invoice.payment_failed", "invoice.payment_failed"),
    entry!("stripe", "customer.created", "customer.created"),
    entry!("github", "push", "push"),
    entry!("github", "release", "release"),
    entry!("github", "ping", "ping"),
    entry!("gitlab", "push", "push", "x-gitlab-event" = "Push Hook"),
    entry!("slack", "message", "message"),
    entry!("shopify", "orders/create", "orders-create", "x-shopify-shop-domain" = "example.myshopify.com"),
    entry!("standard-webhooks", "example", "example"),
    entry!("svix", "example", "example"),
    entry!("hmac", "example", "example"),
    entry!("token", "example", "example"),
];

/// A request of this type as the provider would send it, under the event id `id`. For a type without a file the body holds id
/// and type where the provider has them, and little else.
pub fn sample(provider: &Provider, event_type: &str, id: &str, now: Timestamp) -> Sample {
    let entry = ENTRIES.iter().find(|entry| entry.provider == provider.name && entry.event_type == event_type);
    let body = match entry {
        Some(entry) => entry.body.replace("{{ID}}", &in_json(id)).replace("{{TS}}", &now.as_seconds().to_string()),
        None => generic(provider, event_type, id, now),
    };
    let mut headers = Headers::default();
    headers.push("content-type", "application/json");
    for (location, value) in [(&provider.event_id, id), (&provider.event_type, event_type)] {
        if let Some(Place::Header(name)) = location.as_ref().and_then(|location| location.places().first()) {
            headers.push(name, value);
        }
    }
    entry.into_iter().flat_map(|entry| entry.headers).for_each(|(name, value)| headers.push(name, *value));
    Sample { headers, body: body.into() }
}

fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn generic(provider: &Provider, event_type: &str, id: &str, now: Timestamp) -> String {
    let mut body = json!({ "created": now.as_seconds(), "data": {} });
    put(&mut body, provider.event_id.as_ref(), id);
    put(&mut body, provider.event_type.as_ref(), event_type);
    body.to_string()
}

/// Writes a value at the location's first place, where that is in the body.
fn put(body: &mut Value, location: Option<&Location>, value: &str) {
    if let Some(Place::Json(pointer)) = location.and_then(|location| location.places().first()) {
        put_at(body, pointer.keys(), value);
    }
}

fn put_at(node: &mut Value, keys: &[String], value: &str) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value.into();
        return;
    };
    if !node.is_object() {
        *node = Value::Object(Map::new());
    }
    if let Value::Object(object) = node {
        put_at(object.entry(key.clone()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;
    use super::super::sender::{NOW, SECRETS, Sender};
    use super::*;
    use crate::domain::RawRequest;

    fn check(provider: &str, event_type: &str) {
        let sender = Sender::new(provider, SECRETS.iter().find(|(name, _)| *name == provider).expect("a secret").1);
        let Sample { mut headers, body } = sample(sender.verifier.provider(), event_type, "evt_1", NOW);
        assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{provider} {event_type}");
        sender.verifier.sign(&mut headers, &body, NOW, "evt_1").expect("a secret to sign with");
        let request = RawRequest { headers, body, ..sender.with("", &[]) };
        let verified = sender.verifier.verify(&request, NOW).expect("a proof");
        let identity = sender.verifier.identify(&request, &verified);
        assert_eq!(identity.event_type.as_deref(), Some(event_type), "{provider}");
        let id = identity.event_id.map(|id| id.text);
        assert_eq!(id.as_deref(), sender.verifier.provider().event_id.as_ref().map(|_| "evt_1"), "{provider} {event_type}");
    }

    #[test]
    fn every_sample_is_a_request_of_its_type() {
        ENTRIES.iter().for_each(|entry| check(entry.provider, entry.event_type));
        assert!(Catalogue::builtin().names().all(|name| ENTRIES.iter().any(|entry| entry.provider == name)));
    }

    #[test]
    fn a_type_without_a_file_still_makes_a_request() {
        Catalogue::builtin().names().for_each(|name| check(name, "something.else"));
    }

    #[test]
    fn an_id_cannot_break_out_of_the_body() {
        let catalogue = Catalogue::builtin();
        let stripe = catalogue.provider("stripe").expect("a provider");
        let body = sample(stripe, "invoice.paid", "a\"b", NOW).body;
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON")["id"], "a\"b");
    }
}
