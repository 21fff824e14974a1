//! How much an upstream is asked of, and when it is left alone: the operator's policies. Data only; the gate keeps them.

use std::time::Duration;

use crate::domain::Rate;

/// The policies of one upstream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policies {
    /// Calls under way at once; `None` as many as the worker makes.
    pub concurrency: Option<u32>,
    /// Calls in time; `None` as often as the worker makes them.
    pub rate: Option<Rate>,
    /// How long a call waits for its turn under these two, within its total timeout.
    pub wait: Duration,
    /// Whether it does nothing twice for one `Idempotency-Key`: then a call that has one may be repeated, whatever its method.
    pub idempotent: bool,
    /// How often a call is repeated at once, within its total timeout, where that is safe; at most 5.
    pub retries: u32,
    /// When it is left alone; `None` never.
    pub breaker: Option<BreakerPolicy>,
}

impl Default for Policies {
    /// No limits, 1 s of waiting, not idempotent, one repetition, the default breaker.
    fn default() -> Self {
        Self {
            concurrency: None,
            rate: None,
            wait: Duration::from_secs(1),
            idempotent: false,
            retries: 1,
            breaker: Some(BreakerPolicy::default()),
        }
    }
}

/// When a breaker opens, for how long, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// The share of calls that fail at which it opens, above 0 to 1.
    pub failure_rate: f64,
    /// The share of slow calls at which it opens, above 0 to 1.
    pub slow_rate: f64,
    /// What a slow call takes at least; `None` half of the upstream's total timeout.
    pub slow_after: Option<Duration>,
    /// The time over which the shares are taken.
    pub window: Duration,
    /// Fewer calls than these in the window say nothing.
    pub minimum_calls: u32,
    /// How long it stays open the first time.
    pub open: Duration,
    /// By how much longer it stays open each time that it opens again before it was closed for good, at least 1.
    pub growth: f64,
    /// The longest it stays open.
    pub open_max: Duration,
    /// How many calls are let through at once to probe an upstream, and how many of them have to succeed.
    pub probes: u32,
}

impl Default for BreakerPolicy {
    /// Half of at least 20 calls in 30 s failed, or 9 of 10 were slow; open for 5 s, twice as long each time up to 5 min; 3 probes.
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            slow_rate: 0.9,
            slow_after: None,
            window: Duration::from_secs(30),
            minimum_calls: 20,
            open: Duration::from_secs(5),
            growth: 2.0,
            open_max: Duration::from_mins(5),
            probes: 3,
        }
    }
}
