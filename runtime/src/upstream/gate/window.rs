//! What happened in the last so many seconds, in ten pieces: whatever is older is forgotten piece by piece. Asks no clock.

use std::time::{Duration, Instant};

/// Into how many pieces the time is cut.
const PIECES: usize = 10;

/// Calls by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// All of them.
    pub(super) calls: u32,
    /// Those that failed.
    pub(super) failed: u32,
    /// Those that took long, failed or not.
    pub(super) slow: u32,
}

/// Counts over a sliding time: between nine and ten tenths of it.
#[derive(Debug)]
pub(super) struct Window {
    piece: Duration,
    pieces: [Counts; PIECES],
    newest: usize,
    newest_until: Instant,
    sum: Counts,
}

impl Window {
    /// Nothing has happened.
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let piece = (length / 10).max(Duration::from_millis(1));
        Self { piece, pieces: [Counts::default(); PIECES], newest: 0, newest_until: now + piece, sum: Counts::default() }
    }

    /// One more call ended.
    pub(super) fn count(&mut self, failed: bool, slow: bool, now: Instant) {
        self.forget(now);
        self.sum.calls += 1;
        self.sum.failed += u32::from(failed);
        self.sum.slow += u32::from(slow);
        let newest = &mut self.pieces[self.newest];
        newest.calls += 1;
        newest.failed += u32::from(failed);
        newest.slow += u32::from(slow);
    }

    /// What is not forgotten.
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        self.forget(now);
        self.sum
    }

    fn forget(&mut self, now: Instant) {
        if now < self.newest_until {
            return;
        }
        let passed = (now - self.newest_until).as_nanos() / self.piece.as_nanos() + 1;
        if passed >= PIECES as u128 {
            (self.pieces, self.sum) = ([Counts::default(); PIECES], Counts::default());
            self.newest_until = now + self.piece;
            return;
        }
        for _ in 0..passed {
            self.newest = (self.newest + 1) % PIECES;
            let oldest = std::mem::take(&mut self.pieces[self.newest]);
            self.sum.calls -= oldest.calls;
            self.sum.failed -= oldest.failed;
            self.sum.slow -= oldest.slow;
            self.newest_until += self.piece;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_millis(1000);

    #[test]
    fn a_call_is_remembered_for_nine_tenths_of_the_time_and_not_longer_than_all_of_it() {
        let start = Instant::now();
        let mut window = Window::new(LENGTH, start);
        window.count(true, false, start);
        window.count(false, true, start + LENGTH / 2);
        let calls = |window: &mut Window, millis| window.counts(start + Duration::from_millis(millis)).calls;
        assert_eq!([999, 1000, 1499, 1500].map(|millis| calls(&mut window, millis)), [2, 1, 1, 0]);
        assert_eq!(window.counts(start + LENGTH * 100), Counts::default());
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_happened_lately(steps in prop::collection::vec((0_u64..400, any::<bool>(), any::<bool>()), 1..200)) {
            let start = Instant::now();
            let mut window = Window::new(LENGTH, start);
            let (mut now, mut calls) = (start, Vec::new());
            for (step, failed, slow) in steps {
                now += Duration::from_millis(step);
                window.count(failed, slow, now);
                calls.push((now, failed, slow));
                let within = |age: Duration| {
                    let recent = || calls.iter().filter(|(at, ..)| now - *at < age);
                    let number = |count: usize| u32::try_from(count).expect("few");
                    Counts {
                        calls: number(recent().count()),
                        failed: number(recent().filter(|(_, failed, _)| *failed).count()),
                        slow: number(recent().filter(|(.., slow)| *slow).count()),
                    }
                };
                let (least, most, counts) = (within(LENGTH * 9 / 10), within(LENGTH), window.counts(now));
                prop_assert!(least.calls <= counts.calls && counts.calls <= most.calls);
                prop_assert!(least.failed <= counts.failed && counts.failed <= most.failed);
                prop_assert!(least.slow <= counts.slow && counts.slow <= most.slow);
            }
        }
    }
}
