//! The circuit breaker of an upstream, as a state machine: it is told the time and what became of calls, and says whether another may
//! be made. Asks no clock, draws no randomness, waits for nothing, knows nothing of HTTP.

use std::time::{Duration, Instant};

use super::window::{Counts, Window};
use crate::upstream::BreakerPolicy;

/// After it has closed, twice as many calls are let through at once in each such time, and then as many as want to.
const RAMP_STEP: Duration = Duration::from_secs(1);
const RAMP_STEPS: u32 = 8;

/// An open time is shortened by up to this share, so that several nodes do not probe in step.
const JITTER: f64 = 0.2;

/// When whoever was refused for want of a probe asks again.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens when too many calls fail or are slow; then lets a few through to see, and closes again step by step.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: BreakerPolicy,
    slow_after: Duration,
    phase: Phase,
    /// Counts the phases: what a call of an earlier one came to says nothing of this one.
    phases: u64,
    /// How often it has opened since it was closed for good.
    openings: u32,
    /// Why it is in this phase.
    why: String,
}

#[derive(Debug)]
enum Phase {
    Closed { window: Window, ramp_since: Option<Instant> },
    Open { until: Instant },
    HalfOpen { probing: u32, succeeded: u32 },
}

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    Closed,
    Open,
    HalfOpen,
}

/// Leave to make one call; what became of it has to be recorded, once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    phase: u64,
}

/// What a call says of its upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    /// It was not served.
    pub(super) failed: bool,
    /// From the request to the end of the answer, or to the fault.
    pub(super) took: Duration,
}

impl Breaker {
    /// Closed. `slow_after` stands in where the policy does not say what is slow.
    pub(super) fn new(policy: BreakerPolicy, slow_after: Duration, now: Instant) -> Self {
        let slow_after = policy.slow_after.unwrap_or(slow_after);
        let phase = Phase::Closed { window: Window::new(policy.window, now), ramp_since: None };
        Self { policy, slow_after, phase, phases: 0, openings: 0, why: String::new() }
    }

    /// Lets a call through where so many are under way, or says when it makes sense to ask again. The first one after the open time
    /// makes it half-open.
    pub(super) fn admit(&mut self, now: Instant, in_flight: u32) -> Result<Pass, Duration> {
        self.look(now, in_flight)?;
        match &mut self.phase {
            Phase::Closed { .. } => {}
            Phase::Open { .. } => self.enter(Phase::HalfOpen { probing: 1, succeeded: 0 }, "its open time is over".into()),
            Phase::HalfOpen { probing, .. } => *probing += 1,
        }
        Ok(Pass { phase: self.phases })
    }

    /// Whether [`Self::admit`] would let a call through.
    pub(super) fn look(&mut self, now: Instant, in_flight: u32) -> Result<(), Duration> {
        self.end_ramp(now);
        match &self.phase {
            Phase::Closed { ramp_since: Some(since), .. } if in_flight >= self.ramped(now - *since) => Err(AGAIN),
            Phase::Open { until } if now < *until => Err(*until - now),
            Phase::HalfOpen { probing, .. } if *probing >= self.policy.probes => Err(AGAIN),
            _ => Ok(()),
        }
    }

    /// Takes in what became of a call; nothing where it says nothing of the upstream. `draw` is uniform in 0..1.
    pub(super) fn record(&mut self, pass: Pass, finding: Option<Finding>, now: Instant, draw: f64) {
        if pass.phase != self.phases {
            return;
        }
        self.end_ramp(now);
        let slow_after = self.slow_after;
        let is_slow = |finding: Finding| finding.took >= slow_after;
        match (&mut self.phase, finding) {
            (Phase::Closed { window, .. }, Some(finding)) => {
                window.count(finding.failed, is_slow(finding), now);
                let counts = window.counts(now);
                if let Some(why) = self.judge(counts) {
                    self.open(now, draw, why);
                }
            }
            (Phase::HalfOpen { probing, succeeded }, finding) => {
                *probing -= 1;
                let Some(finding) = finding else { return };
                if finding.failed || is_slow(finding) {
                    let why = if finding.failed { "a probe failed" } else { "a probe was slow" };
                    return self.open(now, draw, why.into());
                }
                *succeeded += 1;
                if *succeeded >= self.policy.probes {
                    let why = if *succeeded == 1 { "a probe succeeded".into() } else { format!("{succeeded} probes succeeded") };
                    self.enter(Phase::Closed { window: Window::new(self.policy.window, now), ramp_since: Some(now) }, why);
                }
            }
            (Phase::Closed { .. }, None) | (Phase::Open { .. }, _) => {}
        }
    }

    /// Closes at once and forgets everything.
    pub(super) fn reset(&mut self, now: Instant) {
        self.openings = 0;
        self.enter(Phase::Closed { window: Window::new(self.policy.window, now), ramp_since: None }, String::new());
    }

    /// Whether calls pass.
    pub(super) fn position(&self) -> Position {
        match self.phase {
            Phase::Closed { .. } => Position::Closed,
            Phase::Open { .. } => Position::Open,
            Phase::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// Why it is so.
    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// How many calls more it would let through now, where so many are under way.
    pub(super) fn room(&mut self, now: Instant, in_flight: u32) -> u32 {
        self.end_ramp(now);
        match &self.phase {
            Phase::Closed { ramp_since: Some(since), .. } => self.ramped(now - *since).saturating_sub(in_flight),
            Phase::Closed { ramp_since: None, .. } => u32::MAX,
            Phase::Open { until } if now < *until => 0,
            Phase::Open { .. } => self.policy.probes,
            Phase::HalfOpen { probing, .. } => self.policy.probes.saturating_sub(*probing),
        }
    }

    /// How long it is still open.
    pub(super) fn next_probe(&self, now: Instant) -> Option<Duration> {
        if let Phase::Open { until } = self.phase { Some(until.saturating_duration_since(now)) } else { None }
    }

    /// What it counts while it is closed.
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        if let Phase::Closed { window, .. } = &mut self.phase { window.counts(now) } else { Counts::default() }
    }

    /// What a slow call takes at least.
    pub(super) fn slow_after(&self) -> Duration {
        self.slow_after
    }

    /// Why these counts are too bad, if they are.
    fn judge(&self, counts: Counts) -> Option<String> {
        let Counts { calls, failed, slow } = counts;
        let BreakerPolicy { failure_rate, slow_rate, window, minimum_calls, .. } = self.policy;
        let reaches = |part: u32, rate: f64| f64::from(part) >= rate * f64::from(calls);
        if calls < minimum_calls {
            None
        } else if reaches(failed, failure_rate) {
            Some(format!("{failed} of {calls} calls in {window:?} failed"))
        } else if reaches(slow, slow_rate) {
            Some(format!("{slow} of {calls} calls in {window:?} took {:?} or longer", self.slow_after))
        } else {
            None
        }
    }

    fn open(&mut self, now: Instant, draw: f64, why: String) {
        self.openings = self.openings.saturating_add(1);
        let BreakerPolicy { open, growth, open_max, .. } = self.policy;
        let exponent = i32::try_from(self.openings - 1).unwrap_or(i32::MAX);
        let grown = (open.as_secs_f64() * growth.powi(exponent)).min(open_max.as_secs_f64());
        let time = Duration::from_secs_f64(grown * (1.0 - JITTER * draw.clamp(0.0, 1.0)));
        self.enter(Phase::Open { until: now + time }, why);
    }

    fn enter(&mut self, phase: Phase, why: String) {
        self.phases += 1;
        (self.phase, self.why) = (phase, why);
    }

    /// How many calls may be under way so long after it has closed.
    fn ramped(&self, since: Duration) -> u32 {
        let steps = u32::try_from(since.as_millis() / RAMP_STEP.as_millis()).unwrap_or(RAMP_STEPS).min(RAMP_STEPS);
        self.policy.probes.saturating_mul(1 << steps)
    }

    /// Once the ramp is over without another opening it is closed for good.
    fn end_ramp(&mut self, now: Instant) {
        if let Phase::Closed { ramp_since, .. } = &mut self.phase
            && ramp_since.is_some_and(|since| now.saturating_duration_since(since) >= RAMP_STEP * RAMP_STEPS)
        {
            *ramp_since = None;
            self.openings = 0;
        }
    }
}

#[cfg(test)]
mod tests;
