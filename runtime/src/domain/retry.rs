//! When a failed job runs again, and when it is given up.

use std::time::Duration;

use super::DeadReason;

/// A source's rule for failures that may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// How the delay grows.
    pub strategy: RetryStrategy,
    /// Attempts in all, 1 to 1000; the last failure makes a dead letter.
    pub max_attempts: u32,
    /// The longest a job may be owed; `None` for no bound.
    pub max_age: Option<Duration>,
}

/// How the delay before the next attempt is found.
#[derive(Debug, Clone, PartialEq)]
pub enum RetryStrategy {
    /// A uniform draw from zero to `min(cap, base × factor^(n−1))` after the n-th failure: "full jitter", which spreads a
    /// burst of failures best (AWS Architecture Blog, "Exponential Backoff And Jitter"). Never under 1 % of that bound or 100 ms.
    Exponential { base: Duration, factor: f64, cap: Duration },
    /// These delays exactly, one after each failure.
    Schedule(Vec<Duration>),
}

/// What the policy says after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Run again after this long.
    Again(Duration),
    /// Give up, for this reason.
    GiveUp(DeadReason),
}

/// A plugin or upstream may ask for a delay, within these bounds.
const HINT_MIN: Duration = Duration::from_millis(10);
const HINT_MAX: Duration = Duration::from_hours(24);
const DELAY_MIN: Duration = Duration::from_millis(100);

impl Default for RetryPolicy {
    /// 5 s growing twofold to 1 h, 16 attempts: three to six hours for a broken upstream to recover.
    fn default() -> Self {
        Self {
            strategy: RetryStrategy::Exponential { base: Duration::from_secs(5), factor: 2.0, cap: Duration::from_hours(1) },
            max_attempts: 16,
            max_age: None,
        }
    }
}

impl RetryPolicy {
    /// Decides after the `failures`-th failure (from 1) of a job owed for `age`. `draw` is uniform in 0..1; `hint` is the delay the
    /// plugin or a `Retry-After` asked for, honoured between 10 ms and 24 h.
    pub fn decide(&self, failures: u32, age: Duration, hint: Option<Duration>, draw: f64) -> RetryDecision {
        if failures >= self.max_attempts {
            return RetryDecision::GiveUp(DeadReason::MaxAttempts);
        }
        let delay = match hint {
            Some(hint) => hint.clamp(HINT_MIN, HINT_MAX),
            None => self.delay(failures, draw),
        };
        match self.max_age {
            Some(max_age) if age.saturating_add(delay) > max_age => RetryDecision::GiveUp(DeadReason::MaxAge),
            _ => RetryDecision::Again(delay),
        }
    }

    fn delay(&self, failures: u32, draw: f64) -> Duration {
        match &self.strategy {
            RetryStrategy::Schedule(delays) => {
                let position = (failures as usize - 1).min(delays.len().saturating_sub(1));
                delays.get(position).copied().unwrap_or(DELAY_MIN)
            }
            RetryStrategy::Exponential { base, factor, cap } => {
                let bound = base.as_secs_f64() * factor.powi(i32::try_from(failures - 1).unwrap_or(i32::MAX));
                let bound = bound.min(cap.as_secs_f64());
                Duration::from_secs_f64((bound * draw).max(bound / 100.0)).max(DELAY_MIN.min(*cap))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(delays: &[u64]) -> RetryPolicy {
        let delays = delays.iter().map(|s| Duration::from_secs(*s)).collect::<Vec<_>>();
        RetryPolicy {
            max_attempts: u32::try_from(delays.len()).expect("few") + 1,
            strategy: RetryStrategy::Schedule(delays),
            max_age: None,
        }
    }

    #[test]
    fn a_schedule_is_followed_to_its_end() {
        let policy = seconds(&[10, 30, 120]);
        let decisions: Vec<_> = (1..=4).map(|failures| policy.decide(failures, Duration::ZERO, None, 0.5)).collect();
        let again = |s| RetryDecision::Again(Duration::from_secs(s));
        assert_eq!(decisions, [again(10), again(30), again(120), RetryDecision::GiveUp(DeadReason::MaxAttempts)]);
    }

    #[test]
    fn exponential_delays_stay_under_their_bound_for_any_draw() {
        let policy = RetryPolicy::default();
        for failures in 1..16 {
            let bound = Duration::from_secs(5 * (1 << (failures - 1))).min(Duration::from_hours(1));
            for draw in [0.0, 0.25, 0.999_999] {
                let RetryDecision::Again(delay) = policy.decide(failures, Duration::ZERO, None, draw) else { panic!("gave up") };
                assert!(delay <= bound && delay >= bound / 101, "{failures} {draw} {delay:?}");
            }
        }
    }

    #[test]
    fn a_hint_is_honoured_within_bounds_and_never_past_the_last_attempt() {
        let policy = seconds(&[10, 10]);
        let hinted = |hint| policy.decide(1, Duration::ZERO, Some(hint), 0.0);
        assert_eq!(hinted(Duration::from_secs(7)), RetryDecision::Again(Duration::from_secs(7)));
        assert_eq!(hinted(Duration::ZERO), RetryDecision::Again(HINT_MIN));
        assert_eq!(hinted(Duration::MAX), RetryDecision::Again(HINT_MAX));
        assert_eq!(policy.decide(3, Duration::ZERO, Some(HINT_MIN), 0.0), RetryDecision::GiveUp(DeadReason::MaxAttempts));
    }

    #[test]
    fn a_job_that_would_be_too_old_is_given_up() {
        let policy = RetryPolicy { max_age: Some(Duration::from_secs(60)), ..seconds(&[30, 30, 30]) };
        assert_eq!(policy.decide(1, Duration::from_secs(30), None, 0.0), RetryDecision::Again(Duration::from_secs(30)));
        assert_eq!(policy.decide(1, Duration::from_secs(31), None, 0.0), RetryDecision::GiveUp(DeadReason::MaxAge));
    }
}
