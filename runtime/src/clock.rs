//! The one home of time. Everything that needs "now" or waits for a moment is given a [`Clock`]; tests give a manual one and move it.
//! [`Clock::now`] is for what others see or have signed, [`Clock::steady`] for what comes due, expires or grows old: no such
//! time is taken from one and compared with the other. Deadlines of I/O are monotonic and do not come from here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::domain::Timestamp;

/// By so much a clock is set back. From further ahead it was put right: what was written then must not be taken for the time for years.
const SET_BACK_MAX: Duration = Duration::from_secs(24 * 3600);

/// Tells the time and waits for it.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    System(Arc<Mutex<Steady>>),
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Inner::System(Arc::new(Mutex::new(Steady { time: system_now(), at: Instant::now() }))))
    }

    /// A clock that stands still until [`Self::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Inner::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System(_) => system_now(),
            Inner::Manual(time) => *time.borrow(),
        }
    }

    /// The time that never goes back, for what comes due and for how old things are. Where the machine's clock is set back this one runs
    /// on, a tenth slower, until the machine's has caught up: work that is due does not wait for that. Set back by more than a day, it follows.
    pub fn steady(&self) -> Timestamp {
        match &self.0 {
            Inner::System(steady) => {
                let mut steady = steady.lock().unwrap_or_else(PoisonError::into_inner);
                steady.advance(system_now(), Instant::now())
            }
            Inner::Manual(time) => *time.borrow(),
        }
    }

    /// [`Self::steady`] runs on from this time where the machine's clock was set back since, by no more than a day: from before the process
    /// started.
    pub fn run_on_from(&self, time: Timestamp) {
        if let Inner::System(steady) = &self.0 {
            let mut steady = steady.lock().unwrap_or_else(PoisonError::into_inner);
            let ahead = time.since(steady.advance(system_now(), Instant::now()));
            if !ahead.is_zero() && ahead <= SET_BACK_MAX {
                *steady = Steady { time, at: Instant::now() };
            }
        }
    }

    /// The time where a test gives it; `None` where it is the machine's, and a database shared by several may ask its own.
    pub fn given(&self) -> Option<Timestamp> {
        match &self.0 {
            Inner::System(_) => None,
            Inner::Manual(time) => Some(*time.borrow()),
        }
    }

    /// Moves a manual clock forward and wakes whoever waits.
    ///
    /// # Panics
    /// If the clock is the machine's.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Inner::System(_) => panic!("the machine's clock cannot be moved"),
            Inner::Manual(time) => time.send_modify(|now| *now = *now + by),
        }
    }

    /// Waits for so long.
    pub async fn sleep(&self, time: Duration) {
        match &self.0 {
            Inner::System(_) => tokio::time::sleep(time).await,
            Inner::Manual(_) => self.sleep_until(self.now() + time).await,
        }
    }

    /// Waits until `due` in [`Self::steady`] time. It looks again at least every second, so that a step of the machine's clock is noticed.
    pub async fn sleep_until(&self, due: Timestamp) {
        match &self.0 {
            Inner::System(_) => loop {
                let wait = due.since(self.steady());
                if wait.is_zero() {
                    return;
                }
                tokio::time::sleep(wait.min(Duration::from_secs(1))).await;
            },
            Inner::Manual(time) => {
                let mut time = time.subscribe();
                let _ = time.wait_for(|now| *now >= due).await;
            }
        }
    }
}

/// When the time that never goes back was last the machine's, and which it was.
#[derive(Debug)]
struct Steady {
    time: Timestamp,
    at: Instant,
}

impl Steady {
    fn advance(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        let ran = at.saturating_duration_since(self.at);
        let slow = self.time + (ran - ran / 10);
        if wall < slow && slow.since(wall) <= SET_BACK_MAX {
            return slow;
        }
        *self = Self { time: wall, at };
        wall
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of wall-clock time")]
fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_800_000_000_000;

    /// A steady clock, and how long it has run.
    struct Bench {
        steady: Steady,
        ran: Duration,
        began: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let began = Instant::now();
            Self { steady: Steady { time: Timestamp::from_millis(START), at: began }, ran: Duration::ZERO, began }
        }

        /// How far the steady clock is from the true time, in milliseconds.
        fn off(&mut self, after: Duration, wall_off: i64) -> i64 {
            self.ran += after;
            let ran = i64::try_from(self.ran.as_millis()).expect("not for ever");
            let time = self.steady.advance(Timestamp::from_millis(START + ran + wall_off), self.began + self.ran);
            time.as_millis() - START - ran
        }
    }

    #[test]
    fn it_is_the_machines_clock_while_that_is_not_set_back() {
        let mut bench = Bench::new();
        assert_eq!([0, 1, 7, 1000].map(|millis| bench.off(Duration::from_millis(millis), 0)), [0; 4]);
        assert_eq!(bench.off(Duration::from_millis(1), 3_600_000), 3_600_000);
    }

    #[test]
    fn set_back_by_an_hour_it_runs_on_and_is_right_again_ten_hours_later() {
        const HOUR: i64 = 3_600_000;
        let mut bench = Bench::new();
        // It is asked every ten milliseconds for a minute, and loses no more than its tenth.
        let after = (0..6000).map(|_| bench.off(Duration::from_millis(10), -HOUR)).last();
        assert_eq!(after, Some(-6000));
        assert_eq!(bench.off(Duration::from_secs(5 * 3600), -HOUR), -6000 - HOUR / 2);
        assert_eq!(bench.off(Duration::from_secs(6 * 3600), -HOUR), -HOUR);
    }

    #[test]
    fn set_back_by_more_than_a_day_it_follows() {
        let mut bench = Bench::new();
        let day = i64::try_from(SET_BACK_MAX.as_millis()).expect("a day");
        assert_eq!(bench.off(Duration::ZERO, -day), 0);
        assert_eq!(bench.off(Duration::ZERO, -day - 1), -day - 1);
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_stands(steps in prop::collection::vec((0_u64..5000, -7_200_000_i64..7_200_000), 1..100)) {
            let mut bench = Bench::new();
            let (mut before, mut ran) = (START, 0);
            for (micros, wall_off) in steps {
                let off = bench.off(Duration::from_micros(micros), wall_off);
                ran += micros;
                let now = START + i64::try_from(ran / 1000).expect("not for ever") + off;
                prop_assert!(now >= before);
                prop_assert!(now >= START + i64::try_from(ran / 1000 * 9 / 10).expect("not for ever") - 2);
                before = now;
            }
        }
    }
}
