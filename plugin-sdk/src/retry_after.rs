//! The `Retry-After` header (RFC 9110, section 10.2.3): seconds, or an HTTP date seen from the host's clock.

use std::time::{Duration, UNIX_EPOCH};

/// A date that has passed means now; text that is neither form means nothing was said.
pub(crate) fn parse(value: &str, now_ms: u64) -> Option<Duration> {
    let value = value.trim();
    // Digits only: `u64::from_str` would also take a plus sign.
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37 UTC, the date of RFC 9110's examples.
    const EXAMPLE_MS: u64 = 784_111_777_000;

    #[test]
    fn seconds_and_all_three_date_formats_are_understood() {
        let check = |value: &str, expected: Option<u64>| {
            let wait = parse(value, EXAMPLE_MS - 90_000).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{value:?}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(90));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(90));
        check("Sun Nov  6 08:49:37 1994", Some(90));
        check("Sun, 06 Nov 1994 08:40:00 GMT", Some(0));
        for nonsense in ["", "soon", "-1", "+1", "1.5", "99999999999999999999"] {
            check(nonsense, None);
        }
    }
}
