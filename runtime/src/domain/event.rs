//! An accepted webhook: immutable from here on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{EventId, Headers, Lineage, OrderingKey, Route, SourceName, Timestamp};

/// How many events a request may hold. They are stored in one transaction, and others wait for it.
pub const EVENTS_PER_REQUEST_MAX: usize = 5000;
/// How many bytes the events of a request may have together, with the headers that each of them has.
pub const EVENT_BYTES_PER_REQUEST_MAX: usize = 48 << 20;

/// An event as it is stored and handed to plugins.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id, `evt_…`.
    pub id: EventId,
    /// The source that received it.
    pub source: SourceName,
    /// The provider's name for what happened.
    pub event_type: Option<String>,
    /// The text of the key it is stored once under; `None` where the source does not dedupe.
    pub dedupe_key: Option<String>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// All headers in order; a proof that is itself a secret reads `[verified]`.
    pub headers: Headers,
    /// The body's exact bytes, or those of this event's item where a request was a batch; a secret in it reads `[verified]`.
    pub body: Bytes,
    /// Who emitted it, where it did not come from outside.
    pub parent: Option<Parent>,
}

/// The job for which a handler emitted an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// That job's lineage.
    pub lineage: Lineage,
    /// How many emitted events the chain has up to this one, from 1.
    pub depth: u32,
}

/// An event on its way into the store, with the key that decides whether it is new.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What will be stored.
    pub event: Arc<Event>,
    /// The key it is deduped by; `None` where the source does not dedupe.
    pub key: Option<DedupeKey>,
    /// What it is ordered by; `None` where the source does not order, or this event has no such key.
    pub ordering: Option<OrderingKey>,
    /// What its sender is told, now and whenever it sends the same again.
    pub answer: Answer,
    /// Where it goes.
    pub routes: Vec<Route>,
    /// How long after the commit its jobs become due: at once, but for an emitted event.
    pub delay: Duration,
}

impl NewEvent {
    /// About how many bytes it takes in memory and in a transaction.
    pub fn bytes(&self) -> usize {
        /// Ids, keys and what the tables add.
        const REST: usize = 512;
        let answer = self.answer.body.as_ref().map_or(0, Bytes::len);
        self.event.body.len() + self.event.headers.as_bytes().len() + answer + REST
    }
}

/// The answer to an accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 299.
    pub status: u16,
    /// `None` for `{"id":"evt_…"}`.
    pub body: Option<Bytes>,
}

impl Default for Answer {
    /// 202 with the event's id.
    fn default() -> Self {
        Self { status: 202, body: None }
    }
}

/// What makes two requests of one source the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeKey {
    /// The first 128 bits of a SHA-256 over source and key: exact for all purposes, 16 bytes in memory.
    pub hash: [u8; 16],
    /// The body's XXH3-64: tells a resend from another body under the same key (`key_reused`). Made to be fast, since it proves nothing:
    /// whoever can send two bodies of one hash has the secret.
    pub body_hash: [u8; 8],
    /// How long the key is remembered.
    pub window: Duration,
}

/// How a source recognises a resend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupePolicy {
    /// By the provider's event id, else `Idempotency-Key`, `webhook-id`, the body's hash; remembered this long
    /// (1 min to 30 d; for the body-hash fallback at most 10 min).
    Window(Duration),
    /// Never: equal requests are different events (heartbeats).
    None,
}
