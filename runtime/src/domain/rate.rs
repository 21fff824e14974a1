//! How often something may happen: the rule, and the one who keeps it. Asks no clock; whoever takes says when.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Timestamp;

/// At most so often on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Between two at an even pace.
    interval_nanos: i64,
    /// Taken at once after a time of silence, at least 1.
    burst: u32,
}

impl Rate {
    /// `per_second` from 0.001 to 1,000,000; `burst` from 1 to 1,000,000.
    pub fn new(per_second: f64, burst: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 10^12 for the least rate")]
        let interval_nanos = (1e9 / per_second) as i64;
        Self { interval_nanos: interval_nanos.max(1), burst: burst.max(1) }
    }

    /// How many in a second, on average.
    pub fn per_second(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 10^12 for the least rate")]
        let interval_nanos = self.interval_nanos as f64;
        1e9 / interval_nanos
    }

    /// How many at once after a time of silence.
    pub fn burst(self) -> u32 {
        self.burst
    }

    fn burst_nanos(self) -> i64 {
        self.interval_nanos.saturating_mul(i64::from(self.burst))
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    /// `100/s`, `600/m`, `1000/h`; all of them may come at once.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a rate is a whole number up to 1000000 and one of /s, /m, /h, as in \"100/s\"";
        let (count, unit) = text.split_once('/').ok_or(FORM)?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(FORM),
        };
        let count: u32 = count.parse().ok().filter(|count| (1..=1_000_000).contains(count)).ok_or(FORM)?;
        Ok(Self::new(f64::from(count) / seconds, count))
    }
}

impl fmt::Display for Rate {
    /// As it is written where the burst is all of it, else by the second: `100/s`, `2.5/s with 10 at once`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = [(1.0, "s"), (60.0, "m"), (3600.0, "h")]
            .into_iter()
            .find(|(seconds, _)| Self::new(f64::from(self.burst) / seconds, self.burst) == *self);
        match whole {
            Some((_, unit)) => write!(f, "{}/{unit}", self.burst),
            None => write!(f, "{:.3}/s with {} at once", self.per_second(), self.burst),
        }
    }
}

/// Keeps a rate by the generic cell rate algorithm (ITU-T I.371): one number, the moment at which all that was let through would have
/// passed at an even pace.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    /// Nanoseconds since the Unix epoch.
    even_at: AtomicI64,
}

impl RateLimiter {
    /// With its burst untouched.
    pub fn new(rate: Rate) -> Self {
        Self { rate, even_at: AtomicI64::new(i64::MIN) }
    }

    /// The rule.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Lets one more through, or says how long until one would be.
    pub fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1_000_000);
        let before = self.even_at.update(Ordering::Relaxed, Ordering::Relaxed, |even_at| self.step(even_at, now).0);
        self.step(before, now).1
    }

    /// How many would be let through now.
    pub fn room(&self, now: Timestamp) -> u32 {
        let now = now.as_millis().saturating_mul(1_000_000);
        let latest = now.saturating_add(self.rate.burst_nanos());
        let even_at = self.even_at.load(Ordering::Relaxed).clamp(now, latest);
        u32::try_from((latest - even_at) / self.rate.interval_nanos).unwrap_or(self.rate.burst)
    }

    /// The next state, and what it means for the one who asked.
    fn step(&self, even_at: i64, now: i64) -> (i64, Result<(), Duration>) {
        let latest = now.saturating_add(self.rate.burst_nanos());
        // Further ahead than a burst only if the clock was set back: a burst is then waited for, not the clock.
        let even_at = even_at.clamp(now, latest);
        let next = even_at.saturating_add(self.rate.interval_nanos);
        match u64::try_from(next - latest) {
            Ok(early) if early > 0 => (even_at, Err(Duration::from_nanos(early))),
            _ => (next, Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + millis)
    }

    #[test]
    fn a_burst_passes_and_then_an_even_pace() {
        let limiter = RateLimiter::new(Rate::new(10.0, 3));
        let passed: Vec<_> = (0..5).map(|_| limiter.take(at(0))).collect();
        let wait = Err(Duration::from_millis(100));
        assert_eq!(passed, [Ok(()), Ok(()), Ok(()), wait, wait]);
        assert_eq!(limiter.take(at(99)), Err(Duration::from_millis(1)));
        assert_eq!(limiter.take(at(100)), Ok(()));
        assert_eq!(limiter.take(at(100)), wait);
        assert_eq!((0..4).filter(|_| limiter.take(at(60_000)).is_ok()).count(), 3, "a minute of silence is worth one burst");
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody_up_for_longer_than_a_burst() {
        let limiter = RateLimiter::new(Rate::new(10.0, 3));
        assert_eq!(limiter.take(at(3_600_000)), Ok(()));
        assert_eq!(limiter.take(at(0)), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take(at(100)), Ok(()));
        assert_eq!((0..4).filter(|_| limiter.take(at(400)).is_ok()).count(), 3);
    }

    #[test]
    fn the_room_is_what_would_pass() {
        let limiter = RateLimiter::new(Rate::new(10.0, 3));
        assert_eq!(limiter.room(at(0)), 3);
        assert_eq!((limiter.take(at(0)), limiter.room(at(0))), (Ok(()), 2));
        assert_eq!((limiter.take(at(0)), limiter.take(at(0)), limiter.room(at(99))), (Ok(()), Ok(()), 0));
        assert_eq!((limiter.room(at(100)), limiter.room(at(60_000))), (1, 3));
    }

    #[test]
    fn rates_are_read_as_written() {
        assert_eq!("100/s".parse(), Ok(Rate::new(100.0, 100)));
        assert_eq!("30/m".parse(), Ok(Rate::new(0.5, 30)));
        for text in ["100/s", "30/m", "7/h", "1000000/s", "1/s", "7/m"] {
            assert_eq!(text.parse::<Rate>().expect("a rate").to_string(), text);
        }
        assert_eq!(Rate::new(2.5, 10).to_string(), "2.500/s with 10 at once");
        for bad in ["", "100", "/s", "0/s", "-1/s", "1.5/s", "100/d", "1000001/s", "100 /s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_a_burst_and_the_pace_pass(per_second in 1_u32..1000, burst in 1_u32..50, steps in prop::collection::vec(0_i64..50, 1..300)) {
            let limiter = RateLimiter::new(Rate::new(f64::from(per_second), burst));
            let (mut now, mut passed) = (0, 0_u64);
            for step in steps {
                now += step;
                passed += u64::from(limiter.take(at(now)).is_ok());
            }
            let paced = u64::try_from(now).expect("time goes on") * u64::from(per_second) / 1000;
            // One for the fraction of a nanosecond by which the interval is too short.
            prop_assert!(passed <= u64::from(burst) + paced + 1);
        }

        #[test]
        fn whoever_waits_as_told_passes(per_second in 1_u32..1000, burst in 1_u32..50) {
            let limiter = RateLimiter::new(Rate::new(f64::from(per_second), burst));
            while limiter.take(at(0)).is_ok() {}
            let wait = limiter.take(at(0)).expect_err("the burst is spent");
            let millis = i64::try_from(wait.as_nanos().div_ceil(1_000_000)).expect("a short time");
            prop_assert_eq!(limiter.take(at(millis)), Ok(()));
        }
    }
}
