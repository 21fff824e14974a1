//! An upstream as the API and the metrics show it: how it is, and what its operator has said. No secret, no request, no answer.

use std::time::Duration;

use serde::Serialize;

use super::gate::{Entered, Refused, UpstreamChange, UpstreamState};
use super::{BreakerPolicy, Upstream};
use crate::domain::{Timestamp, UpstreamName};
use crate::metrics::UpstreamFigures;

/// An upstream for people and machines. The numbers are this node's since its start.
#[derive(Debug, Clone, Serialize)]
pub struct UpstreamView {
    /// Its name.
    pub name: UpstreamName,
    /// Where it is: scheme and host. What follows may be a secret, as with Slack's.
    pub url: String,
    /// The kind of its credentials.
    pub auth: &'static str,
    /// Whether it takes calls.
    pub state: UpstreamState,
    /// Since when.
    pub since: Timestamp,
    /// Why, where it was ever otherwise.
    pub why: Option<String>,
    /// When the next call is let through, where none is now, milliseconds.
    pub next_probe_ms: Option<u64>,
    /// Calls that ended lately.
    pub window: WindowView,
    /// Calls under way.
    pub in_flight: u32,
    /// Calls that were refused, by the reason.
    pub refused: Refused,
    /// Calls that were made again within an attempt.
    pub repeated: u64,
    /// What goes wrong on purpose, as the command line takes it; nothing where all is in earnest.
    pub faults: Option<String>,
    /// What its operator has said.
    pub policies: PoliciesView,
    /// The latest changes of its state, newest first.
    pub changes: Vec<UpstreamChange>,
    /// How often each state was entered, in the order of [`UpstreamState::ALL`].
    #[serde(skip)]
    entered: Entered,
}

/// What the breaker has counted.
#[derive(Debug, Clone, Serialize)]
pub struct WindowView {
    calls: u32,
    failed: u32,
    slow: u32,
}

/// The policies in force, times in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct PoliciesView {
    connect_ms: u64,
    read_ms: u64,
    total_ms: u64,
    response_bytes_max: usize,
    allow_private: bool,
    concurrency: Option<u32>,
    rate: Option<RateView>,
    wait_ms: u64,
    idempotent: bool,
    retries: u32,
    breaker: Option<BreakerView>,
}

#[derive(Debug, Clone, Serialize)]
struct RateView {
    per_second: f64,
    burst: u32,
}

#[derive(Debug, Clone, Serialize)]
struct BreakerView {
    failure_rate: f64,
    slow_rate: f64,
    slow_after_ms: u64,
    window_ms: u64,
    minimum_calls: u32,
    open_ms: u64,
    growth: f64,
    open_max_ms: u64,
    probes: u32,
}

impl Upstream {
    pub(super) fn view(&self, now: Timestamp) -> UpstreamView {
        let standing = self.gate.standing(now);
        UpstreamView {
            name: self.settings.name.clone(),
            url: self.settings.base.shown(),
            auth: self.settings.auth.word(),
            state: standing.state,
            since: now - standing.age,
            why: standing.why,
            next_probe_ms: standing.next_probe.map(millis),
            window: WindowView { calls: standing.calls, failed: standing.failed, slow: standing.slow },
            in_flight: standing.in_flight,
            refused: standing.refused,
            repeated: standing.repeated,
            faults: Some(self.settings.faults.to_string()).filter(|faults| !faults.is_empty()),
            policies: self.policies(standing.slow_after),
            changes: standing.changes,
            entered: standing.entered,
        }
    }

    fn policies(&self, slow_after: Option<Duration>) -> PoliciesView {
        let (timeouts, policies) = (&self.settings.timeouts, &self.settings.policies);
        PoliciesView {
            connect_ms: millis(timeouts.connect),
            read_ms: millis(timeouts.read),
            total_ms: millis(timeouts.total),
            response_bytes_max: self.settings.response_bytes_max,
            allow_private: self.settings.allow_private,
            concurrency: policies.concurrency,
            rate: policies.rate.map(|rate| RateView { per_second: rate.per_second(), burst: rate.burst() }),
            wait_ms: millis(policies.wait),
            idempotent: policies.idempotent,
            retries: policies.retries,
            breaker: policies.breaker.map(|policy| BreakerView::new(&policy, slow_after.unwrap_or_default())),
        }
    }
}

impl UpstreamView {
    /// What the metrics show of it.
    pub fn figures(&self) -> UpstreamFigures<'_> {
        let Refused { breaker_open, auth_failed, tls_failed, rate_limited } = self.refused;
        let states = UpstreamState::ALL.into_iter().zip(self.entered);
        let refused =
            [("breaker_open", breaker_open), ("auth_failed", auth_failed), ("tls_failed", tls_failed), ("rate_limited", rate_limited)];
        UpstreamFigures {
            upstream: self.name.as_str(),
            states: states.map(|(state, entered)| (state.code(), state == self.state, entered)).collect(),
            refused: refused.into(),
            in_flight: self.in_flight,
        }
    }
}

impl BreakerView {
    fn new(policy: &BreakerPolicy, slow_after: Duration) -> Self {
        Self {
            failure_rate: policy.failure_rate,
            slow_rate: policy.slow_rate,
            slow_after_ms: millis(slow_after),
            window_ms: millis(policy.window),
            minimum_calls: policy.minimum_calls,
            open_ms: millis(policy.open),
            growth: policy.growth,
            open_max_ms: millis(policy.open_max),
            probes: policy.probes,
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
