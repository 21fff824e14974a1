//! The policies of `[upstreams.NAME]`: how much is asked of an upstream, when a call is repeated, and when the upstream is left alone.

use std::time::Duration;

use super::source::read_rate;
use crate::document::{Field, Section};
use crate::upstream::{BreakerPolicy, Policies};

/// `total` is the upstream's total timeout.
pub(super) fn read(section: &Section<'_>, total: Duration) -> Policies {
    let default = Policies::default();
    let wait = section.field("wait").and_then(|field| field.as_duration(Duration::ZERO..=Duration::from_secs(30)));
    Policies {
        concurrency: section.field("concurrency").and_then(|field| number(&field, 1..=10_000)),
        rate: section.field("rate").and_then(|field| read_rate(&field)),
        wait: wait.unwrap_or(default.wait),
        idempotent: section.field("idempotent").and_then(|field| field.as_bool()).unwrap_or(default.idempotent),
        retries: section.field("retries").and_then(|field| number(&field, 0..=5)).unwrap_or(default.retries),
        breaker: section.field("breaker").map_or(default.breaker, |field| read_breaker(&field, total)),
    }
}

/// `breaker = false`, or `{ failure_rate = 0.5, … }`; what is left out is as by default.
fn read_breaker(field: &Field<'_>, total: Duration) -> Option<BreakerPolicy> {
    if field.is_table() {
        return field.section(|section| read_policy(section, total));
    }
    field.as_bool().filter(|is_on| *is_on).map(|_| BreakerPolicy::default())
}

fn read_policy(section: &Section<'_>, total: Duration) -> BreakerPolicy {
    let default = BreakerPolicy::default();
    let rate = |key, otherwise| section.field(key).and_then(|field| field.as_number(0.01..=1.0)).unwrap_or(otherwise);
    let duration = |key, range| section.field(key).and_then(|field| field.as_duration(range));
    let open_range = || Duration::from_millis(10)..=Duration::from_hours(24);
    let open = duration("open", open_range()).unwrap_or(default.open);
    let open_max = duration("open_max", open_range());
    if open_max.is_some_and(|open_max| open_max < open) {
        section.error("`open_max` is shorter than `open`: the time for which the breaker is open grows from `open` to `open_max`");
    }
    BreakerPolicy {
        failure_rate: rate("failure_rate", default.failure_rate),
        slow_rate: rate("slow_rate", default.slow_rate),
        slow_after: section.field("slow_after").and_then(|field| read_slow_after(&field, total)),
        window: duration("window", Duration::from_secs(1)..=Duration::from_hours(1)).unwrap_or(default.window),
        minimum_calls: section.field("minimum_calls").and_then(|field| number(&field, 1..=100_000)).unwrap_or(default.minimum_calls),
        open,
        growth: section.field("growth").and_then(|field| field.as_number(1.0..=10.0)).unwrap_or(default.growth),
        open_max: open_max.unwrap_or_else(|| default.open_max.max(open)),
        probes: section.field("probes").and_then(|field| number(&field, 1..=100)).unwrap_or(default.probes),
    }
}

fn read_slow_after(field: &Field<'_>, total: Duration) -> Option<Duration> {
    let slow_after = field.as_duration(Duration::from_millis(1)..=Duration::from_mins(15))?;
    if slow_after >= total {
        let help = format!("a call ends after {total:?}, the upstream's `timeouts.total`; choose less");
        field.error(format!("`{}` is {slow_after:?}: no call is ever so slow", field.path()), Some(help));
    }
    Some(slow_after)
}

fn number(field: &Field<'_>, range: std::ops::RangeInclusive<i64>) -> Option<u32> {
    field.as_integer(range).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{self, Mistakes};

    fn policies(text: &str) -> Policies {
        let mistakes = Mistakes::default();
        let policies = document::read("hookfast.toml", text, &mistakes, |section| read(section, Duration::from_secs(30)));
        assert!(mistakes.into_vec().is_empty(), "{text}");
        policies
    }

    #[test]
    fn what_is_written_is_in_force_and_the_rest_is_as_by_default() {
        assert_eq!(policies(""), Policies::default());
        let text = "concurrency = 32\nrate = \"100/s\"\nwait = \"2s\"\nidempotent = true\nretries = 2\n\
             breaker = { failure_rate = 0.25, slow_rate = 1, slow_after = \"5s\", window = \"1m\", minimum_calls = 7, open = \"1s\", growth = 3, \
             open_max = \"1m\", probes = 1 }\n";
        let breaker = BreakerPolicy {
            failure_rate: 0.25,
            slow_rate: 1.0,
            slow_after: Some(Duration::from_secs(5)),
            window: Duration::from_mins(1),
            minimum_calls: 7,
            open: Duration::from_secs(1),
            growth: 3.0,
            open_max: Duration::from_mins(1),
            probes: 1,
        };
        let expected = Policies {
            concurrency: Some(32),
            rate: "100/s".parse().ok(),
            wait: Duration::from_secs(2),
            idempotent: true,
            retries: 2,
            breaker: Some(breaker),
        };
        assert_eq!(policies(text), expected);
    }

    #[test]
    fn a_breaker_can_be_left_out_and_a_long_open_time_needs_no_longer_cap() {
        assert_eq!(policies("breaker = false").breaker, None);
        assert_eq!(policies("breaker = true").breaker, Some(BreakerPolicy::default()));
        let long = Duration::from_hours(1);
        assert_eq!(policies("breaker = { open = \"1h\" }").breaker.map(|policy| (policy.open, policy.open_max)), Some((long, long)));
    }
}
