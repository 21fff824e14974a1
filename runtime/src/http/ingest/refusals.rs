//! Refusals on their way to the store: written at most once a second and sampled above 100 of them, so that strangers
//! cannot buy our syncs. They are counted exactly elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::domain::Refusal;
use crate::random::Random;
use crate::store::Store;

const INTERVAL: Duration = Duration::from_secs(1);
/// So many of one interval are kept; a uniform sample where there were more.
const KEPT_MAX: usize = 100;

/// The refusals of the running interval.
pub struct RefusalLog {
    random: Random,
    interval: Mutex<Interval>,
}

#[derive(Default)]
struct Interval {
    seen: u32,
    kept: Vec<Refusal>,
}

impl RefusalLog {
    /// An empty log that samples with `random`.
    pub fn new(random: Random) -> Self {
        Self { random, interval: Mutex::default() }
    }

    /// Adds a refusal, or lets it take another one's place, or drops it (reservoir sampling).
    pub fn push(&self, refusal: Refusal) {
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        interval.seen += 1;
        if interval.kept.len() < KEPT_MAX {
            interval.kept.push(refusal);
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a draw below `seen`, which is a u32")]
        let position = (self.random.draw() * f64::from(interval.seen)) as usize;
        if let Some(place) = interval.kept.get_mut(position) {
            *place = refusal;
        }
    }

    /// Writes them once an interval until `closing`, and then a last time.
    pub async fn write_to(&self, store: &Store, clock: &Clock, closing: &CancellationToken) {
        while closing.run_until_cancelled(clock.sleep_until(clock.now() + INTERVAL)).await.is_some() {
            self.flush(store).await;
        }
        self.flush(store).await;
    }

    /// Writes what there is.
    pub async fn flush(&self, store: &Store) {
        let Interval { seen, kept } = std::mem::take(&mut *self.interval.lock().unwrap_or_else(PoisonError::into_inner));
        if kept.is_empty() {
            return;
        }
        if seen as usize > kept.len() {
            debug!(seen, kept = kept.len(), "refusals sampled");
        }
        if let Err(error) = store.record_refusals(kept).await {
            warn!(%error, "refusals could not be recorded");
        }
    }
}
