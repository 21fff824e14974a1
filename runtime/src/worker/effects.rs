//! From what a handler wants to what the store commits with its outcome: emitted events get the routes of where they go, with a dedupe
//! key that a repeated run makes again.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::config::{Live, Target};
use crate::domain::{
    Answer, DedupeKey, Effects, Emission, Event, Job, NewEvent, Parent, StateChanges, StateGrant, StateScope, Timestamp, Wishes,
};

/// What a handler asks for and cannot have.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfulfillable {
    #[error("it emits to `{0}`, which is neither a source nor a topic any more; its operator adds [topics.{0}]")]
    UnknownTarget(String),
}

/// The effects of a run that is done.
pub(super) fn effects(
    wishes: Wishes,
    job: &Job,
    of: &Event,
    scope: &StateScope,
    grant: Option<StateGrant>,
    live: &Live,
    now: Timestamp,
) -> Result<Effects, Unfulfillable> {
    let Wishes { state, emissions, deliveries } = wishes;
    let state = grant.filter(|_| !state.is_empty()).map(|grant| StateChanges {
        scope: scope.clone(),
        changes: state,
        quota_bytes: grant.quota_bytes,
    });
    let depth = of.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
    let emitted = |emission: Emission| {
        let target = live.target(&emission.target).ok_or_else(|| Unfulfillable::UnknownTarget(emission.target.to_string()))?;
        Ok(event(emission, &target, Parent { lineage: job.lineage.clone(), depth }, now))
    };
    Ok(Effects { state, events: emissions.into_iter().map(emitted).collect::<Result<_, _>>()?, deliveries })
}

fn event(emission: Emission, target: &Target<'_>, parent: Parent, now: Timestamp) -> NewEvent {
    let Emission { id, target: name, event_type, headers, body, dedupe_key, delay } = emission;
    // One that its handler gave no key is the same event whenever the run is repeated: its id says so.
    let text = dedupe_key.unwrap_or_else(|| id.to_string());
    let key =
        DedupeKey { hash: hash(name.as_str(), &text), body_hash: xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes(), window: target.window };
    let routes = target.routes.iter().filter(|route| route.takes(event_type.as_deref())).cloned().collect();
    let ordering = target.ordering(&headers, &body);
    let event = Event { id, source: name, event_type, dedupe_key: Some(text), received_at: now, headers, body, parent: Some(parent) };
    NewEvent { event: Arc::new(event), key: Some(key), ordering, answer: Answer::default(), routes, delay: delay.min(DELAY_MAX) }
}

const DELAY_MAX: Duration = Duration::from_hours(365 * 24);

/// Apart from the keys of requests, so that no sender can take an emitted event's place.
fn hash(target: &str, key: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in ["emitted", target, key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    *hash.finalize().first_chunk().expect("a SHA-256 has 32 bytes")
}
