//! Requests to try a source with: the bodies in `runtime/samples`, with a fresh id and time. Sample data only; the
//! signature is made by [`super::Verifier::sign`].

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::domain::{Headers, Timestamp};

use super::location::{Location, Place, Pointer};
use super::provider::Provider;
use super::sign::CannotSign;

/// A request to send; not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its headers but for the proof.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
    /// What follows the `?` of its URL; may be empty.
    pub query: String,
}

impl Sample {
    /// With this body and nothing else.
    pub fn of(body: impl Into<Bytes>) -> Self {
        Self { headers: Headers::default(), body: body.into(), query: String::new() }
    }

    /// Adds a parameter to the query, if it is not there.
    pub(super) fn add_query(&mut self, name: &str, value: &str) {
        let query = std::mem::take(&mut self.query);
        self.query = with_field(query, name, value);
    }

    /// Adds a field to the body's form, if it is not there; a body that is none becomes one.
    pub(super) fn add_field(&mut self, name: &str, value: &str) {
        const FORM: &str = "application/x-www-form-urlencoded";
        let form =
            if self.headers.text("content-type") == Some(FORM) { String::from_utf8_lossy(&self.body).into_owned() } else { String::new() };
        let kept: Headers = self
            .headers
            .iter()
            .filter(|(own, _)| *own != "content-type")
            .map(|(own, value)| (own, Bytes::copy_from_slice(value)))
            .collect();
        self.headers = kept;
        self.headers.push("content-type", FORM);
        self.body = with_field(form, name, value).into();
    }

    /// Writes a value into the JSON body.
    pub(super) fn put_json(&mut self, pointer: &Pointer, value: &str) -> Result<(), CannotSign> {
        let mut body: Value = serde_json::from_slice(&self.body).map_err(|_| CannotSign::Body("JSON"))?;
        put_at(&mut body, pointer.keys(), value.into());
        self.body = body.to_string().into();
        Ok(())
    }
}

fn with_field(fields: String, name: &str, value: &str) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let name = escaped(name);
    if fields.split('&').any(|field| field.split('=').next() == Some(&name)) {
        return fields;
    }
    let separator = if fields.is_empty() { "" } else { "&" };
    format!("{fields}{separator}{name}={}", escaped(value))
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
    Sample { headers, body: body.into(), query: String::new() }
}

fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn generic(provider: &Provider, event_type: &str, id: &str, now: Timestamp) -> String {
    let items = provider.items.as_ref().or_else(|| provider.schemes.iter().find_map(|scheme| scheme.each.as_ref()));
    let mut event = json!({ "created": now.as_seconds(), "data": {} });
    put(&mut event, provider.event_id.as_ref(), id);
    put(&mut event, provider.event_type.as_ref(), event_type);
    let Some(items) = items else { return event.to_string() };
    let (mut element, mut body) = (Value::Null, Value::Null);
    put_at(&mut element, items.item.keys(), event);
    put_at(&mut body, items.array.keys(), json!([element]));
    body.to_string()
}

/// Writes a value at the location's first place, where that is in the body.
fn put(body: &mut Value, location: Option<&Location>, value: &str) {
    if let Some(Place::Json(pointer)) = location.and_then(|location| location.places().first()) {
        put_at(body, pointer.keys(), value.into());
    }
}

pub(super) fn put_at(node: &mut Value, keys: &[String], value: Value) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    if key == "0" && !node.is_object() || node.is_array() {
        if !node.is_array() {
            *node = json!([null]);
        }
        let element = key.parse::<usize>().ok().and_then(|at| node.get_mut(at));
        return element.into_iter().for_each(|element| put_at(element, rest, value.clone()));
    }
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
    use super::super::sender::{NOW, Sender, sharing};
    use super::*;
    use crate::domain::RawRequest;

    fn signed(sender: &Sender, event_type: &str) -> RawRequest {
        let provider = sender.verifier.provider();
        let mut sample = sample(provider, event_type, "evt_1", NOW);
        assert!(serde_json::from_slice::<Value>(&sample.body).is_ok(), "{} {event_type}", provider.name);
        sender.verifier.sign(&mut sample, NOW, "evt_1").unwrap_or_else(|error| panic!("{}: {error}", provider.name));
        let Sample { headers, body, query } = sample;
        RawRequest {
            method: "POST".into(),
            target: if query.is_empty() { "/in/test".into() } else { format!("/in/test?{query}") },
            headers,
            body,
            received_at: NOW,
        }
    }

    #[test]
    fn every_sample_is_a_request_of_its_type() {
        for Entry { provider, event_type, .. } in ENTRIES {
            let sender = Sender::of(provider, "");
            let request = signed(&sender, event_type);
            let verified = sender.verifier.verify(&request, NOW).expect("a proof");
            let identity = sender.verifier.identify(&request, &verified);
            assert_eq!(identity.event_type.as_deref(), Some(*event_type), "{provider}");
            let id = identity.event_id.map(|id| id.text);
            assert_eq!(id.as_deref(), sender.verifier.provider().event_id.as_ref().map(|_| "evt_1"), "{provider} {event_type}");
        }
    }

    #[test]
    fn what_is_signed_for_a_provider_is_accepted_and_by_no_other_secret() {
        let mut count = 0;
        for provider in sharing() {
            let (sender, stranger) = (Sender::of(provider, ""), Sender::of(provider, "2"));
            let request = signed(&sender, "something.else");
            let verdict = sender.verifier.verify(&request, NOW);
            assert!(verdict.is_ok(), "{provider}: {verdict:?} {request:?}");
            let verdict = stranger.verifier.verify(&request, NOW);
            assert!(verdict.is_err(), "{provider}: {verdict:?}");
            count += 1;
        }
        assert!(count >= 230, "{count} providers share a secret");
    }

    /// The request with a byte changed, for each byte of what its proof covers: the proof itself, the headers, all of the body.
    fn changed(sender: &Sender, request: &RawRequest) -> Vec<RawRequest> {
        let held = sender.verifier.verify(request, NOW).expect("a proof").held.expect("a scheme");
        let scheme = &sender.verifier.provider().schemes[held.scheme];
        let mut changed = Vec::new();
        for (name, value) in request.headers.iter() {
            if !scheme.carrier.is_header(name) && !scheme.signed_headers().any(|own| own == name) {
                continue;
            }
            for at in 0..value.len() {
                let mut other = request.clone();
                let mut value = value.to_vec();
                value[at] ^= 1;
                let kept = request.headers.iter().filter(|(own, _)| *own != name);
                other.headers = kept.map(|(name, value)| (name, Bytes::copy_from_slice(value))).chain([(name, value.into())]).collect();
                changed.push(other);
            }
        }
        if scheme.covers_body() {
            for at in 0..request.body.len() {
                let mut body = request.body.to_vec();
                body[at] ^= 1;
                changed.push(RawRequest { body: body.into(), ..request.clone() });
            }
        }
        changed
    }

    #[test]
    fn a_changed_byte_of_what_is_proved_is_refused_for_every_provider() {
        let mut count = 0;
        for provider in sharing() {
            let sender = Sender::of(provider, "");
            for other in changed(&sender, &signed(&sender, "something.else")) {
                assert!(sender.verifier.verify(&other, NOW).is_err(), "{provider}: {other:?}");
                count += 1;
            }
        }
        assert!(count > 20_000, "{count} changes");
    }

    #[test]
    fn an_id_cannot_break_out_of_the_body() {
        let catalogue = Catalogue::builtin();
        let stripe = catalogue.provider("stripe").expect("a provider");
        let body = sample(stripe, "invoice.paid", "a\"b", NOW).body;
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON")["id"], "a\"b");
    }
}
