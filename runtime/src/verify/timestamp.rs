//! Signed timestamps: read strictly, held against the tolerance in both directions. Asks no clock: now is a parameter.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use crate::domain::{RefusalCause, Timestamp};

use super::scheme::TimestampUnit;

impl TimestampUnit {
    /// Reads digits and nothing but digits: `+1`, `01`, ` 1` and `1700000000abc` are no timestamps, whatever lenient parsers say.
    pub(super) fn read(self, text: &[u8]) -> Option<Timestamp> {
        match self {
            Self::Rfc3339 => return rfc3339(std::str::from_utf8(text).ok()?),
            Self::HttpDate => return http_date(std::str::from_utf8(text).ok()?),
            Self::Seconds | Self::Milliseconds | Self::SecondsOrMilliseconds => {}
        }
        let plain = (1..=16).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) && (text[0] != b'0' || text.len() == 1);
        let number: i64 = std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()?;
        Some(Timestamp::from_millis(match self {
            Self::Seconds => number.saturating_mul(1000),
            Self::SecondsOrMilliseconds if number < MILLISECONDS_FROM => number.saturating_mul(1000),
            _ => number,
        }))
    }

    /// The text for a moment.
    pub(super) fn write(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_seconds().to_string(),
            Self::Milliseconds | Self::SecondsOrMilliseconds => at.as_millis().to_string(),
            Self::Rfc3339 => at.to_string(),
            Self::HttpDate => DateTime::from_timestamp(at.as_seconds(), 0).map_or_else(String::new, |at| at.format(HTTP_DATE).to_string()),
        }
    }
}

/// Numbers from here on count milliseconds where both are sent: as seconds they would be of the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

fn rfc3339(text: &str) -> Option<Timestamp> {
    // Orb leaves the zone out and means UTC.
    let is_local = !text.ends_with(['Z', 'z']) && !text.get(TIME_AT..).is_some_and(|time| time.contains(['+', '-']));
    let with_zone = if is_local { Cow::from(format!("{text}Z")) } else { text.into() };
    let at = DateTime::parse_from_rfc3339(&with_zone).ok()?;
    Some(Timestamp::from_millis(at.timestamp_millis()))
}

/// Where the time begins in `2023-11-14T22:13:20Z`.
const TIME_AT: usize = 11;

fn http_date(text: &str) -> Option<Timestamp> {
    let at = NaiveDateTime::parse_from_str(text, HTTP_DATE).ok()?.and_utc();
    // Only the one spelling: chrono reads others, too.
    (at.format(HTTP_DATE).to_string() == text).then(|| Timestamp::from_millis(at.timestamp_millis()))
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
    fn dates_are_read_in_their_one_form() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(TimestampUnit::Rfc3339.read(b"2023-11-14T22:13:20Z"), Some(at));
        assert_eq!(TimestampUnit::Rfc3339.read(b"2023-11-14T23:13:20.000+01:00"), Some(at));
        assert_eq!(TimestampUnit::Rfc3339.read(b"2023-11-14T22:13:20.000"), Some(at));
        assert_eq!(TimestampUnit::Rfc3339.read(b"2023-11-14T22:13:20-00:00"), Some(at));
        assert_eq!(TimestampUnit::Rfc3339.read(b"2023-11-14"), None);
        assert_eq!(TimestampUnit::HttpDate.read(b"Tue, 14 Nov 2023 22:13:20 GMT"), Some(at));
        assert_eq!(TimestampUnit::HttpDate.write(at), "Tue, 14 Nov 2023 22:13:20 GMT");
        for text in ["Mon, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 UTC", "14 Nov 2023 22:13:20 GMT", "2023-11-14"] {
            assert_eq!(TimestampUnit::HttpDate.read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(TimestampUnit::SecondsOrMilliseconds.read(b"1700000000"), Some(at));
        assert_eq!(TimestampUnit::SecondsOrMilliseconds.read(b"1700000000000"), Some(at));
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
