//! What the senders saw.

use std::collections::BTreeMap;
use std::time::Duration;

/// Answers and how long they took.
#[derive(Default)]
pub(crate) struct Tally {
    /// Of each accepted request, microseconds; sorted.
    latencies: Vec<u32>,
    /// Other answers by status, and 0 for a broken connection.
    others: BTreeMap<u16, u64>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// What the load generator's thread used of its core.
    pub(crate) sender_cpu: Duration,
}

impl Tally {
    pub(super) fn answered(&mut self, status: u16, after: Duration) {
        if (200..300).contains(&status) {
            self.latencies.push(u32::try_from(after.as_micros()).unwrap_or(u32::MAX));
        } else {
            *self.others.entry(status).or_default() += 1;
        }
    }

    pub(super) fn finish(mut self, took: Duration, sender_cpu: Duration) -> Self {
        self.latencies.sort_unstable();
        Self { took, sender_cpu, ..self }
    }

    /// Requests that were answered with a 2xx.
    pub(crate) fn accepted(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// Requests that were not.
    pub(crate) fn refused(&self) -> u64 {
        self.others.values().sum()
    }

    /// Why there are refused ones, as in `503: 12`.
    pub(crate) fn refusals(&self) -> String {
        let others: Vec<_> = self.others.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        others.join(", ")
    }

    /// Accepted requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds below which this share of the accepted requests was answered.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.latencies.len() as f64).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_accepted() {
        let mut tally = Tally::default();
        (1..=1000).rev().for_each(|millis| tally.answered(202, Duration::from_millis(millis)));
        tally.answered(503, Duration::from_secs(9));
        let tally = tally.finish(Duration::from_secs(2), Duration::ZERO);
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(|share| tally.quantile_ms(share)), [500.0, 990.0, 999.0, 1000.0]);
        assert_eq!((tally.accepted(), tally.refusals().as_str(), tally.rate()), (1000, "503: 1", 500.0));
    }
}
