//! What a handler asks for and the store commits together with the outcome: state writes, emitted events, deliveries. All of it or none.

use std::time::Duration;

use bytes::Bytes;

use super::{Digest, EventId, Headers, Lineage, NewEvent, PluginName, SourceName, UpstreamName};

/// So many events and deliveries one attempt may ask for.
pub const EFFECTS_MAX: usize = 100;
/// So many bytes they may have together, and as many the writes of state.
pub const EFFECT_BYTES_MAX: usize = 4 << 20;
/// So many keys of its state one attempt may touch.
pub const STATE_KEYS_MAX: usize = 1000;
/// The longest key of state, bytes.
pub const STATE_KEY_BYTES_MAX: usize = 512;
/// The largest value of state, bytes.
pub const STATE_VALUE_BYTES_MAX: usize = 256 << 10;
/// A chain of events, each emitted for the one before, ends after so many.
pub const DEPTH_MAX: u32 = 16;

/// What commits together with an outcome.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Writes of state.
    pub state: Option<StateChanges>,
    /// Events to store, with the jobs of their routes. One whose dedupe key is known is left out.
    pub events: Vec<NewEvent>,
    /// Outbound requests, each a job of its own.
    pub deliveries: Vec<Delivery>,
}

impl Effects {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.state.is_none() && self.events.is_empty() && self.deliveries.is_empty()
    }

    /// About how many bytes they add to a transaction.
    pub fn bytes(&self) -> usize {
        let state = self.state.iter().flat_map(|state| &state.changes).map(StateChange::bytes).sum::<usize>();
        state + self.events.iter().map(NewEvent::bytes).sum::<usize>() + self.deliveries.iter().map(Delivery::bytes).sum::<usize>()
    }
}

/// What one run of a handler wants, before the worker makes [`Effects`] of it.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// What it wants of its state, sorted by key.
    pub state: Vec<StateChange>,
    /// The events it emits, in order.
    pub emissions: Vec<Emission>,
    /// The requests it hands over, in order.
    pub deliveries: Vec<Delivery>,
}

/// An event that a handler emits.
#[derive(Debug, Clone)]
pub struct Emission {
    /// Derived from the lineage and the position.
    pub id: EventId,
    /// The source or topic.
    pub target: SourceName,
    /// Its type.
    pub event_type: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
    /// What it is stored once under, where the handler says so.
    pub dedupe_key: Option<String>,
    /// How long after the commit its jobs become due.
    pub delay: Duration,
}

/// Whose state it is: a plugin's, or by its grant a plugin's for one source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateScope {
    /// The plugin.
    pub plugin: PluginName,
    /// The source, where each has a state of its own.
    pub source: Option<SourceName>,
}

/// What a run wants of its state.
#[derive(Debug, Clone)]
pub struct StateChanges {
    /// Whose it is.
    pub scope: StateScope,
    /// At most one a key, sorted by key.
    pub changes: Vec<StateChange>,
    /// So many bytes the scope's keys and values may have together once this is committed.
    pub quota_bytes: u64,
}

/// What a run wants of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The key.
    pub key: String,
    /// The version it must have at the commit, where it must have one; the inner `None`: it must not be there.
    pub expect: Option<Option<u64>>,
    /// What is written; `None` where only the version counts.
    pub write: Option<StateWrite>,
}

impl StateChange {
    fn bytes(&self) -> usize {
        let value = if let Some(StateWrite::Set { value, .. }) = &self.write { value.len() } else { 0 };
        self.key.len() + value + 64
    }
}

/// A write of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateWrite {
    /// This value, for so long.
    Set { value: Bytes, ttl: Option<Duration> },
    /// Nothing.
    Delete,
    /// The number that is there by then, plus this; its time to live stays.
    Add {
        /// What is added.
        by: i64,
        /// Whether the run has found a number there: then there must be one by the commit. A new one would have no time to live.
        to_present: bool,
    },
}

/// What is kept under a key of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateItem {
    /// The bytes.
    pub value: Bytes,
    /// Another one with every write; never 0, and never twice the same for a key.
    pub version: u64,
}

/// An outbound request that is delivered by itself: the work of a job whose lineage this is.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Of the job that delivers it; its idempotency key.
    pub lineage: Lineage,
    /// The code that asked for it.
    pub digest: Digest,
    /// The upstream's name.
    pub upstream: UpstreamName,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// Headers of the plugin's own.
    pub headers: Headers,
    /// The body's bytes.
    pub body: Bytes,
    /// How long after the commit it becomes due.
    pub delay: Duration,
    /// How often its job was replayed after the upstream had refused it: another idempotency key each time.
    pub replays: u32,
}

impl Delivery {
    fn bytes(&self) -> usize {
        self.body.len() + self.headers.as_bytes().len() + self.path.len() + 512
    }
}
