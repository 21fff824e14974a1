//! What upstreams are like, as far as the rules care.

use crate::config::InForce;
use crate::domain::{Timestamp, UpstreamName};
use crate::upstream::{UpstreamState, UpstreamView};

/// How an upstream stands on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamHealth {
    /// The upstream.
    pub name: UpstreamName,
    /// `closed`, `half_open`, `open`, `auth_failed`, `tls_failed` or `paused`.
    pub state: &'static str,
    /// One sentence, without what the upstream wrote.
    pub why: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// The upstreams that are in force.
pub(super) fn upstreams(in_force: &InForce, now: Timestamp) -> Vec<UpstreamHealth> {
    let health = |view: UpstreamView| {
        // An open breaker moves with the next call only; where that would be let through, it takes calls, and nobody makes one.
        let is_idle = view.state == UpstreamState::Open && view.next_probe_ms.is_none_or(|left| left == 0);
        let state = if is_idle { UpstreamState::HalfOpen } else { view.state };
        UpstreamHealth { name: view.name, state: state.code(), why: view.why, since: view.since }
    };
    in_force.upstreams.views(now).into_iter().map(health).collect()
}
