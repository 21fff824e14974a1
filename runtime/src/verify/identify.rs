//! What a verified request is: the provider's id and type of it, and which value will stand for it when it is deduped.
//! Looks only; whether a value counts by itself depends on whether the proof covers it.

use crate::domain::{Arrival, Headers, RawRequest, Verified};

use super::json::{self, Wanted};
use super::location::{Location, Place};
use super::options::Options;
use super::provider::Provider;
use super::verifier::Verifier;

/// A request's names, as far as it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id of the event.
    pub event_id: Option<ProviderEventId>,
    /// The provider's name for what happened.
    pub event_type: Option<String>,
    /// The number of the provider's own attempt, as it writes it.
    pub attempt: Option<String>,
    /// The value that it is deduped by; the body's hash where there is none.
    pub(super) key: Option<Name>,
    /// The value that it is ordered by.
    pub(super) ordering: Option<Name>,
}

/// An event's id as the provider gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEventId {
    /// The id.
    pub text: String,
    /// Whether the proof covers it; an unsigned one is whatever the last sender made of it.
    pub signed: bool,
}

/// A value with the place it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// What the value is shown as: `id`, `header:NAME`, `/pointer`.
    pub(super) label: String,
    pub(super) value: String,
    pub(super) signed: bool,
    /// Whether it stands in the event's own body.
    pub(super) is_own: bool,
}

/// A source's locations, made ready to be looked up in one pass over the body.
pub(super) struct Lookup {
    wanted: Wanted,
    configured: Vec<Look>,
    ordering: Vec<Look>,
    event_id: Vec<Look>,
    event_type: Vec<Look>,
    attempt: Vec<Look>,
}

/// One place to look, with what a value found there is shown as.
enum Look {
    Header(String),
    Body { slot: usize, label: String },
}

impl Lookup {
    pub(super) fn new(provider: &Provider, options: &Options) -> Self {
        let mut wanted = Wanted::default();
        let mut looks = |location: Option<&Location>, label: Option<&str>| -> Vec<Look> {
            let places = location.map_or(&[][..], Location::places).iter();
            let look = |place: &Place| match place {
                Place::Header(name) => Look::Header(name.clone()),
                Place::Json(pointer) => {
                    Look::Body { slot: wanted.add(pointer), label: label.map_or_else(|| place.to_string(), Into::into) }
                }
            };
            places.map(look).collect()
        };
        let configured = looks(options.dedupe.as_ref(), None);
        let ordering = looks(options.ordering.as_ref(), None);
        let event_id = looks(provider.event_id.as_ref(), Some("id"));
        let event_type = looks(provider.event_type.as_ref(), None);
        let attempt = looks(provider.attempt.as_ref(), None);
        Self { wanted, configured, ordering, event_id, event_type, attempt }
    }
}

impl Identity {
    /// What a plugin that proved the request says of one of its events; it vouches for it.
    pub fn of_arrival(arrival: &Arrival) -> Self {
        let name = |value: &Option<String>| {
            let value = value.clone()?;
            Some(Name { label: "key".into(), value, signed: true, is_own: true })
        };
        Self {
            event_id: None,
            event_type: arrival.event_type.clone(),
            attempt: None,
            key: name(&arrival.dedupe_key),
            ordering: name(&arrival.ordering_key),
        }
    }
}

impl Verifier {
    /// The names of an event that a plugin emitted.
    pub(super) fn identify_emitted(&self, headers: &Headers, body: &[u8]) -> Identity {
        let verified = Verified::default();
        let scene = Scene { headers, verified: &verified, found: self.lookup.wanted.find(body) };
        Identity { event_id: None, event_type: None, attempt: None, key: None, ordering: scene.first(&self.lookup.ordering) }
    }

    /// The names of a verified request.
    pub fn identify(&self, request: &RawRequest, verified: &Verified) -> Identity {
        let scene = Scene { headers: &request.headers, verified, found: self.lookup.wanted.find(&request.body) };
        let event_id = scene.first(&self.lookup.event_id);
        let key = scene.first(&self.lookup.configured).or_else(|| event_id.clone());
        Identity {
            event_id: event_id.map(|name| ProviderEventId { text: name.value, signed: name.signed }),
            event_type: scene.first(&self.lookup.event_type).map(|name| name.value),
            attempt: scene.first(&self.lookup.attempt).map(|name| name.value),
            key: key.or_else(|| scene.header("idempotency-key")).or_else(|| scene.header("webhook-id")),
            ordering: scene.first(&self.lookup.ordering),
        }
    }
}

/// One request under inspection.
struct Scene<'r> {
    headers: &'r Headers,
    verified: &'r Verified,
    found: Vec<Option<String>>,
}

impl Scene<'_> {
    fn first(&self, looks: &[Look]) -> Option<Name> {
        looks.iter().find_map(|look| match look {
            Look::Header(name) => self.header(name),
            Look::Body { slot, label } => {
                let value = self.found[*slot].clone()?;
                Some(Name { label: label.clone(), value, signed: self.verified.vouches_for_body, is_own: true })
            }
        })
    }

    fn header(&self, name: &str) -> Option<Name> {
        let value = self.headers.text(name).and_then(json::plain)?;
        let signed = self.verified.signed_headers.iter().any(|own| own == name);
        Some(Name { label: format!("header:{name}"), value, signed, is_own: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sender::{NOW, Sender, WHSEC};
    use super::*;

    fn identity(sender: &Sender, body: &str, headers: &[(&str, &str)]) -> Identity {
        let request = sender.with(body, headers);
        let verified = sender.verifier.verify(&request, NOW).expect("a proof");
        sender.verifier.identify(&request, &verified)
    }

    fn id(text: &str, signed: bool) -> Option<ProviderEventId> {
        Some(ProviderEventId { text: text.into(), signed })
    }

    #[test]
    fn an_id_in_the_body_or_in_a_signed_header_is_signed() {
        let stripe = identity(&Sender::new("stripe", "s"), r#"{"id":"evt_1","type":"invoice.paid"}"#, &[]);
        assert_eq!((stripe.event_id, stripe.event_type.as_deref()), (id("evt_1", true), Some("invoice.paid")));
        let standard = identity(&Sender::new("standard-webhooks", WHSEC), "{}", &[("webhook-id", "msg_1")]);
        assert_eq!((standard.event_id, standard.event_type), (id("msg_1", true), None));
    }

    #[test]
    fn an_id_in_another_header_is_not() {
        let headers = [("x-github-delivery", "d1"), ("x-github-event", "push")];
        let github = identity(&Sender::new("github", "s"), r#"{"id":"evt_1"}"#, &headers);
        assert_eq!((github.event_id, github.event_type.as_deref()), (id("d1", false), Some("push")));
        let token = identity(&Sender::new("gitlab", "plain"), "{}", &[("webhook-id", "msg_1")]);
        assert_eq!(token.event_id, id("msg_1", false), "a token signs nothing");
    }

    #[test]
    fn alternatives_are_tried_in_order() {
        let slack = Sender::new("slack", "s");
        let body = r#"{"type":"event_callback","event":{"type":"message"},"event_id":"Ev1"}"#;
        let event = identity(&slack, body, &[("x-slack-retry-num", "2")]);
        assert_eq!((event.event_type.as_deref(), event.attempt.as_deref()), (Some("message"), Some("2")));
        assert_eq!(identity(&slack, r#"{"type":"app_rate_limited"}"#, &[]).event_type.as_deref(), Some("app_rate_limited"));
    }

    #[test]
    fn a_header_that_came_twice_or_is_not_plain_text_names_nothing() {
        let github = Sender::new("github", "s");
        assert_eq!(identity(&github, "{}", &[("x-github-delivery", "a"), ("x-github-delivery", "b")]).event_id, None);
        assert_eq!(identity(&github, "{}", &[("x-github-delivery", "a\tb")]).event_id, None);
    }
}
