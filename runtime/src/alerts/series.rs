//! A counter over time: how much it has grown of late, and how much it usually grows. Bounded, whatever the window: some 130 points.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Timestamp;

/// So many points a window has, so that it is up to a tenth longer than asked for.
const POINTS: u32 = 10;
/// So many windows before the last one say what is usual.
const PAST: u32 = 12;

/// What a counter was at some times, the oldest first; never empty.
#[derive(Debug)]
pub(super) struct Series(VecDeque<Point>);

#[derive(Debug, Clone, Copy)]
struct Point {
    at: Timestamp,
    count: u64,
}

impl Series {
    /// A counter that is so at first.
    pub(super) fn new(at: Timestamp, count: u64) -> Self {
        Self([Point { at, count }].into())
    }

    /// The counter now. One that is less than before has begun anew.
    pub(super) fn push(&mut self, at: Timestamp, count: u64, window: Duration) {
        let last = self.last();
        if count < last.count {
            *self = Self::new(last.at, 0);
        }
        let at = at.max(last.at);
        let before = self.0.len().checked_sub(2).map(|position| self.0[position]);
        // The newest point stays as it moves on; a point that is kept is a whole grain after the one before.
        if before.is_some_and(|before| last.at.since(before.at) < window / POINTS) {
            self.0.pop_back();
        }
        self.0.push_back(Point { at, count });
        while self.0.get(1).is_some_and(|second| second.at + window * (PAST + 1) <= at) {
            self.0.pop_front();
        }
    }

    /// How much it has grown in the last window.
    pub(super) fn grown(&self, window: Duration) -> u64 {
        self.last().count - self.before(window).count
    }

    /// How much it has grown in a window before the last one, on average; 0 where nothing is known of before.
    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    pub(super) fn usual(&self, window: Duration) -> f64 {
        let (first, end) = (self.0[0], self.before(window));
        let windows = end.at.since(first.at).as_secs_f64() / window.as_secs_f64();
        (end.count - first.count) as f64 / windows.max(1.0)
    }

    fn last(&self) -> Point {
        *self.0.back().expect("never empty")
    }

    /// What it was a window ago, or at first.
    fn before(&self, window: Duration) -> Point {
        let then = self.last().at - window;
        *self.0.iter().rev().find(|point| point.at <= then).unwrap_or(&self.0[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const WINDOW: Duration = Duration::from_mins(5);

    fn at(minute: u32) -> Timestamp {
        Timestamp::from_millis(0) + MINUTE * minute
    }

    fn series(counts: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::new(at(0), 0);
        (1..).zip(counts).for_each(|(minute, count)| series.push(at(minute), count, WINDOW));
        series
    }

    #[test]
    fn the_last_window_and_what_is_usual_are_told_apart() {
        // 2 a minute for an hour, then 30 a minute for five.
        let steady = (1..=60).map(|minute| minute * 2);
        let spike = (1..=5).map(|minute| 120 + minute * 30);
        let series = series(steady.chain(spike));
        assert_eq!(series.grown(WINDOW), 150);
        assert!((series.usual(WINDOW) - 10.0).abs() < 0.01, "{}", series.usual(WINDOW));
    }

    #[test]
    fn what_is_new_has_nothing_usual() {
        let series = series([10, 20, 30]);
        assert_eq!(series.grown(WINDOW), 30);
        assert!(series.usual(WINDOW).abs() < f64::EPSILON);
    }

    #[test]
    fn a_counter_that_begins_anew_has_grown_by_what_it_is() {
        assert_eq!(series([100, 200, 7]).grown(WINDOW), 7);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_a_window_is_a_tenth_too_long_at_most(steps in proptest::collection::vec((100_u64..20_000, 0_u64..50), 1..400)) {
            let mut series = Series::new(at(0), 0);
            let (mut now, mut count, mut all) = (at(0), 0, vec![(at(0), 0)]);
            for (millis, more) in steps {
                now = now + Duration::from_millis(millis);
                count += more;
                all.push((now, count));
                series.push(now, count, MINUTE);
                let since = |window: Duration| all.iter().rev().find(|(at, _)| *at <= now - window).unwrap_or(&all[0]).1;
                prop_assert!(series.grown(MINUTE) >= count - since(MINUTE));
                // A grain, and the look that a point may be late by.
                prop_assert!(series.grown(MINUTE) <= count - since(MINUTE + MINUTE / POINTS + Duration::from_secs(20)));
                prop_assert!(series.0.len() <= ((PAST + 2) * POINTS) as usize);
            }
        }
    }
}
