//! What the operator allows a plugin. Nothing is allowed by default but to compute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{SourceName, UpstreamName};

/// One plugin's `[grants.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Upstreams it may call.
    pub upstreams: BTreeSet<UpstreamName>,
    /// Sources and topics it may emit events to.
    pub emits: BTreeSet<SourceName>,
    /// The state it may keep.
    pub state: Option<StateGrant>,
    /// Values it may read; not secrets.
    pub config: BTreeMap<String, String>,
    /// Its bounds.
    pub limits: Limits,
    /// How many events an instance handles before it is thrown away, 1 to 1,000,000. With 1, the default, no event meets what
    /// another has left in memory.
    pub events_per_instance: u32,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            upstreams: BTreeSet::new(),
            emits: BTreeSet::new(),
            state: None,
            config: BTreeMap::new(),
            limits: Limits::default(),
            events_per_instance: 1,
        }
    }
}

/// What state a plugin may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateGrant {
    /// So many bytes its keys and values may have together, of each source where those are apart.
    pub quota_bytes: u64,
    /// Whether each source has a state of its own.
    pub is_per_source: bool,
}

/// The bounds of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// CPU time in the guest; 10 ms to 60 s, counted in ticks of 10 ms.
    pub cpu: Duration,
    /// Wall-clock time in all; 10 ms to 15 min.
    pub wall: Duration,
    /// Linear memory in bytes; 1 MiB to 128 MiB.
    pub memory_bytes: usize,
    /// Log bytes kept of one attempt.
    pub log_bytes: usize,
    /// Outbound calls of one attempt.
    pub calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(1), wall: Duration::from_secs(30), memory_bytes: 64 << 20, log_bytes: 16 << 10, calls: 64 }
    }
}
