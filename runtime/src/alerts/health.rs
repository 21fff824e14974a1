//! What upstreams are like, as far as the rules care.

use std::time::Duration;

use crate::config::InForce;
use crate::domain::{Timestamp, UpstreamName};
use crate::upstream::{UpstreamState, UpstreamView};

/// So long after its breaker has opened an upstream that nobody calls is no matter any more.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

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
        let is_abandoned = is_abandoned(view.state, view.next_probe_ms, now.since(view.since));
        let state = if is_abandoned { UpstreamState::Closed } else { view.state };
        UpstreamHealth { name: view.name, state: state.code(), why: view.why, since: view.since }
    };
    in_force.upstreams.views(now).into_iter().map(health).collect()
}

/// An open breaker moves with the next call only. Where that would have been let through for long, nobody wants anything of the upstream.
fn is_abandoned(state: UpstreamState, next_probe_ms: Option<u64>, age: Duration) -> bool {
    state == UpstreamState::Open && next_probe_ms.is_none_or(|left| left == 0) && age >= ABANDONED_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_breaker_that_nobody_calls_is_no_alert_after_an_hour() {
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        assert!(is_abandoned(UpstreamState::Open, Some(0), hour));
        for (state, next_probe_ms, age) in
            [(UpstreamState::Open, Some(0), minute), (UpstreamState::Open, Some(1), hour), (UpstreamState::AuthFailed, Some(0), hour)]
        {
            assert!(!is_abandoned(state, next_probe_ms, age), "{state:?} {next_probe_ms:?} {age:?}");
        }
    }
}
