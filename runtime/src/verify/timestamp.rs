//! Signed timestamps: read strictly, held against the tolerance in both directions. Asks no clock: now is a parameter.

use std::time::Duration;

use crate::domain::{RefusalCause, Timestamp};

use super::scheme::TimestampUnit;

impl TimestampUnit {
    /// Reads digits and nothing but digits: `+1`, `01`, ` 1` and `1700000000abc` are no timestamps, whatever lenient parsers say.
    pub(super) fn read(self, text: &[u8]) -> Option<Timestamp> {
        let plain = (1..=16).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) && (text[0] != b'0' || text.len() == 1);
        let number: i64 = std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()?;
        Some(Timestamp::from_millis(match self {
            Self::Seconds => number.saturating_mul(1000),
            Self::Milliseconds => number,
        }))
    }

    /// The text for a moment.
    pub(super) fn write(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_seconds().to_string(),
            Self::Milliseconds => at.as_millis().to_string(),
        }
    }
}

/// Whether a signed timestamp is near enough to now.
pub(super) fn check(at: Timestamp, now: Timestamp, tolerance: Duration) -> Result<(), RefusalCause> {
    let (age, lead) = (now.since(at), at.since(now));
    if age > tolerance {
        return Err(RefusalCause::TimestampTooOld { skew: age, tolerance });
    }
    if lead > tolerance {
        return Err(RefusalCause::TimestampTooNew { skew: lead, tolerance });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_timestamp() {
        assert_eq!(TimestampUnit::Seconds.read(b"1700000000"), Some(Timestamp::from_millis(1_700_000_000_000)));
        assert_eq!(TimestampUnit::Milliseconds.read(b"0"), Some(Timestamp::from_millis(0)));
        for text in ["", "+1", "-1", " 1", "1 ", "01", "1.0", "1e3", "1700000000abc", "17000000000000000", "\u{661}"] {
            assert_eq!(TimestampUnit::Seconds.read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_tolerance_holds_in_both_directions_to_the_millisecond() {
        let (at, tolerance) = (Timestamp::from_millis(1_700_000_000_000), Duration::from_secs(300));
        let millisecond = Duration::from_millis(1);
        assert_eq!(check(at, at + tolerance, tolerance), Ok(()));
        assert_eq!(check(at, at - tolerance, tolerance), Ok(()));
        let skew = tolerance + millisecond;
        assert_eq!(check(at, at + skew, tolerance), Err(RefusalCause::TimestampTooOld { skew, tolerance }));
        assert_eq!(check(at, at - skew, tolerance), Err(RefusalCause::TimestampTooNew { skew, tolerance }));
    }

    #[test]
    fn a_timestamp_of_the_far_future_does_not_overflow() {
        let at = TimestampUnit::Milliseconds.read(b"9999999999999999").expect("a timestamp");
        assert!(check(at, Timestamp::from_millis(i64::MIN), Duration::MAX).is_ok());
    }
}
