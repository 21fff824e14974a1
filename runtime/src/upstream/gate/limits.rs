//! How many calls an upstream gets at once and in time. A call waits for its turn for a short while, first come first served.

use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::domain::{RateLimiter, Timestamp};
use crate::upstream::Policies;

/// When a call that found no place asks again: nobody knows when one is free.
const AGAIN: Duration = Duration::from_secs(1);

/// The one who keeps the limits of an upstream.
pub(super) struct Limits {
    policies: Policies,
    places: Option<Semaphore>,
    rate: Option<RateLimiter>,
    /// Whoever waits for the rate holds it, so that the others wait behind.
    turn: Mutex<()>,
    /// The beginning of the time that the rate goes by, which cannot be set.
    started: Instant,
}

/// Leave to have one call under way, until it is dropped.
pub(super) struct Place<'l>(#[expect(dead_code, reason = "held, not looked at")] Option<SemaphorePermit<'l>>);

/// There was no room in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// What was full, for people.
    pub(super) what: String,
    /// When there may be room.
    pub(super) again_in: Duration,
}

impl Limits {
    pub(super) fn new(policies: &Policies) -> Self {
        Self {
            policies: *policies,
            places: policies.concurrency.map(|places| Semaphore::new(places as usize)),
            rate: policies.rate.map(RateLimiter::new),
            turn: Mutex::new(()),
            started: Instant::now(),
        }
    }

    /// Whether there are any.
    pub(super) fn are_set(&self) -> bool {
        self.places.is_some() || self.rate.is_some()
    }

    /// Waits for a place and a turn, at most as long as the policy and `patience` have it.
    pub(super) async fn take(&self, patience: Duration) -> Result<Place<'_>, Full> {
        if !self.are_set() {
            return Ok(Place(None));
        }
        let until = Instant::now() + self.policies.wait.min(patience);
        let place = match &self.places {
            Some(places) => Some(self.place(places, until).await?),
            None => None,
        };
        if let Some(rate) = &self.rate {
            self.turn(rate, until).await?;
        }
        Ok(Place(place))
    }

    /// How many calls more it would be worth to let try now: those that find no room wait a while, and no longer.
    pub(super) fn room(&self) -> u32 {
        let places = self.policies.concurrency.unwrap_or(u32::MAX);
        let turns = self.rate.as_ref().map_or(u32::MAX, |rate| rate.room(self.now()).max(1));
        places.min(turns)
    }

    async fn place<'l>(&self, places: &'l Semaphore, until: Instant) -> Result<SemaphorePermit<'l>, Full> {
        if let Ok(place) = places.try_acquire() {
            return Ok(place);
        }
        let place = timeout_at(until, places.acquire()).await.map_err(|_| {
            let under_way = self.policies.concurrency.unwrap_or_default();
            Full { what: format!("as many calls as it takes, {under_way}, are under way"), again_in: AGAIN }
        })?;
        Ok(place.expect("the semaphore is never closed"))
    }

    async fn turn(&self, rate: &RateLimiter, until: Instant) -> Result<(), Full> {
        let turn = timeout_at(until, self.turn.lock()).await;
        loop {
            let Err(wait) = rate.take(self.now()) else { return Ok(()) };
            if turn.is_err() || Instant::now() + wait > until {
                return Err(Full { what: format!("its rate of {} is used up", rate.rate()), again_in: wait });
            }
            // The rate counts in whole milliseconds.
            sleep(wait + Duration::from_millis(1)).await;
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0) + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Long enough for a loaded machine, short enough for a test that waits for it.
    const WAIT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_mins(1);

    fn limits(concurrency: Option<u32>, rate: Option<&str>, wait: Duration) -> Arc<Limits> {
        let rate = rate.map(|rate| rate.parse().expect("a rate"));
        Arc::new(Limits::new(&Policies { concurrency, rate, wait, ..Policies::default() }))
    }

    async fn told(limits: &Limits, patience: Duration) -> Result<(), Full> {
        limits.take(patience).await.map(drop)
    }

    #[tokio::test]
    async fn a_call_gets_the_place_of_the_one_that_ends_while_it_waits() {
        let limits = limits(Some(2), None, LONG);
        let (first, _second) = (limits.take(LONG).await.expect("room"), limits.take(LONG).await.expect("room"));
        let waiting = Arc::clone(&limits);
        let third = tokio::spawn(async move { told(&waiting, LONG).await });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(first);
        assert_eq!(third.await.expect("no panic"), Ok(()));
    }

    #[tokio::test]
    async fn without_a_place_it_waits_as_long_as_it_may_and_not_longer() {
        for (wait, patience) in [(LONG, WAIT), (WAIT, LONG)] {
            let limits = limits(Some(1), None, wait);
            let _held = limits.take(LONG).await.expect("room");
            let started = Instant::now();
            let full = Full { what: "as many calls as it takes, 1, are under way".into(), again_in: AGAIN };
            assert_eq!(told(&limits, patience).await, Err(full));
            assert!((WAIT..LONG).contains(&started.elapsed()));
        }
    }

    #[tokio::test]
    async fn calls_over_the_rate_wait_for_their_turn() {
        let limits = limits(None, Some("20/s"), LONG);
        let started = Instant::now();
        for _ in 0..22 {
            limits.take(LONG).await.expect("a turn");
        }
        // After a burst of 20, two more at 50 ms each; the rate's time has whole milliseconds.
        assert!(started.elapsed() >= Duration::from_millis(98), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn who_would_wait_too_long_for_a_turn_is_told_at_once_when_to_come_again() {
        let limits = limits(None, Some("6/m"), WAIT);
        for _ in 0..6 {
            limits.take(LONG).await.expect("a turn");
        }
        let full = told(&limits, LONG).await.expect_err("no room");
        assert_eq!(full.what, "its rate of 6/m is used up");
        assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&full.again_in), "{:?}", full.again_in);
    }

    #[tokio::test]
    async fn a_crowd_gets_no_more_than_the_rate() {
        let limits = limits(None, Some("10/s"), WAIT);
        let started = Instant::now();
        let one = |limits: Arc<Limits>| tokio::spawn(async move { told(&limits, LONG).await.is_ok() });
        let crowd: Vec<_> = (0..40).map(|_| one(Arc::clone(&limits))).collect();
        let mut passed = 0;
        for one in crowd {
            passed += u128::from(one.await.expect("no panic"));
        }
        let paced = started.elapsed().as_millis() / 100;
        assert!((11..=10 + paced + 1).contains(&passed), "{passed} passed where {paced} had their turn after the first 10");
    }

    #[tokio::test]
    async fn as_many_are_worth_a_try_as_there_is_room_for() {
        assert_eq!(limits(None, None, WAIT).room(), u32::MAX);
        assert_eq!(limits(Some(32), None, WAIT).room(), 32);
        let limits = limits(Some(32), Some("4/h"), WAIT);
        assert_eq!(limits.room(), 4);
        for _ in 0..4 {
            limits.take(LONG).await.expect("a turn");
        }
        assert_eq!(limits.room(), 1);
    }
}
