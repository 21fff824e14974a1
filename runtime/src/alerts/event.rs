//! From a notice to the event that tells it: to the receivers by the host's own route, and to whichever plugins the operator has
//! subscribed to the topic.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::message::Message;
use crate::config::{ALERTS, AlertSettings, Live, alerts_topic};
use crate::domain::{Answer, DedupeKey, Event, EventId, Headers, NewEvent, Route, Timestamp};

/// Nodes that tell the same do it within a few looks.
const WINDOW: Duration = Duration::from_hours(2);

/// The event of a message. `after` is the newest that was told before: of several nodes that have the same to say after the same,
/// one is stored.
pub(super) fn event(
    id: EventId,
    message: &Message,
    after: Option<EventId>,
    live: &Live,
    settings: &AlertSettings,
    now: Timestamp,
) -> NewEvent {
    let (topic, event_type, body) = (alerts_topic(), message.kind.as_str(), message.webhook());
    let mut headers = Headers::default();
    headers.push("content-type", "application/json");
    let target = live.target(&topic);
    let subscribed = target.iter().flat_map(|target| target.routes).filter(|route| route.takes(Some(event_type))).cloned();
    let own = (!settings.to.is_empty()).then(own_route);
    let dedupe_key = dedupe_key(message, after);
    let key = DedupeKey {
        hash: *hash(&dedupe_key).first_chunk().expect("a SHA-256 has 32 bytes"),
        body_hash: xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes(),
        window: WINDOW,
    };
    let event = Event {
        id,
        source: topic,
        event_type: Some(event_type.to_owned()),
        dedupe_key: Some(dedupe_key),
        received_at: now,
        body: body.into(),
        parent: None,
        headers,
    };
    let ordering = target.as_ref().and_then(|target| target.ordering(&event.headers, &event.body));
    NewEvent {
        event: Arc::new(event),
        key: Some(key),
        ordering,
        answer: Answer::default(),
        routes: own.into_iter().chain(subscribed).collect(),
        delay: Duration::ZERO,
    }
}

/// The host's own way to the receivers.
fn own_route() -> Route {
    let name = ALERTS.parse().expect("a plain word is a name");
    Route { name, plugin: ALERTS.parse().expect("a plain word is a name"), types: Vec::new() }
}

fn dedupe_key(message: &Message, after: Option<EventId>) -> String {
    let what: Vec<_> = message.alerts.iter().map(|alert| format!("{}/{}", alert.rule.as_str(), alert.subject)).collect();
    let what = hex::encode(&hash(&what.join("\n"))[..8]);
    let after = after.map_or_else(|| "the first".to_owned(), |after| format!("after {after}"));
    format!("{} {what} {after}", message.kind.as_str())
}

/// Apart from the keys of requests and of what plugins emit.
fn hash(text: &str) -> [u8; 32] {
    Sha256::new().chain_update("alert\0").chain_update(text).finalize().into()
}
