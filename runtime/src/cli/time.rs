//! How points in time and durations are written: for a person relative to now, for a program as RFC 3339.

use std::time::Duration;

use chrono::DateTime;

use crate::domain::Timestamp;

/// How points in time are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Times {
    /// `3 min ago`, `in 8 s`.
    RelativeTo(Timestamp),
    /// RFC 3339.
    Absolute,
}

impl Times {
    /// Writes a time that the server gave as RFC 3339.
    pub(super) fn write(self, time: &str) -> String {
        match (self, DateTime::parse_from_rfc3339(time)) {
            (Self::RelativeTo(now), Ok(time)) => relative(Timestamp::from_millis(time.timestamp_millis()), now),
            _ => time.to_owned(),
        }
    }
}

fn relative(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        return format!("in {}", rough(time.since(now)));
    }
    format!("{} ago", rough(now.since(time)))
}

fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A duration as it was measured: `4 ms`, `4.2 ms`, `1.20 s`.
pub(super) fn measured(microseconds: u64) -> String {
    let millis = Duration::from_micros(microseconds).as_secs_f64() * 1e3;
    match microseconds {
        0..10_000 => format!("{millis:.1} ms"),
        10_000..1_000_000 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", millis / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_how_long_ago_it_was() {
        let times = Times::RelativeTo(Timestamp::from_millis(1_700_000_000_000));
        for (time, expected) in [
            ("2023-11-14T22:13:20.000Z", "0 s ago"),
            ("2023-11-14T22:12:21.000Z", "59 s ago"),
            ("2023-11-14T22:12:20.000Z", "1 min ago"),
            ("2023-11-14T19:13:20.000Z", "3 h ago"),
            ("2023-11-12T22:13:20.000Z", "2 d ago"),
            ("2023-11-14T22:13:28.500Z", "in 8 s"),
            ("not a time", "not a time"),
        ] {
            assert_eq!(times.write(time), expected, "{time}");
        }
    }

    #[test]
    fn a_program_reads_the_time_itself() {
        assert_eq!(Times::Absolute.write("2023-11-14T22:13:20.000Z"), "2023-11-14T22:13:20.000Z");
    }

    #[test]
    fn a_measurement_has_as_many_digits_as_it_is_worth() {
        let written = [900, 4_200, 42_000, 1_200_000].map(measured);
        assert_eq!(written, ["0.9 ms", "4.2 ms", "42 ms", "1.20 s"]);
    }
}
