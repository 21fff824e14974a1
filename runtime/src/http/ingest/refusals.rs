//! Refusals on their way to the store: written at most once a second and sampled above 100 of them, so that strangers
//! cannot buy our syncs. They are counted exactly elsewhere. Those whose proof did not hold are diagnosed first, apart from the threads
//! that receive and within bounds: a sender never waits for it and is told nothing of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::quarantine::Incoming;
use crate::clock::Clock;
use crate::config::Source;
use crate::domain::{RawRequest, Refusal};
use crate::random::Random;
use crate::store::Store;
use crate::verify::{DIAGNOSED_BYTES_MAX, Effort};

const INTERVAL: Duration = Duration::from_secs(1);
/// So many of one interval are kept; a uniform sample where there were more.
const KEPT_MAX: usize = 100;
/// So many of them are diagnosed, and so many of one source, that a flood to one leaves something to the others.
const DIAGNOSED_MAX: usize = 20;
const DIAGNOSED_OF_SOURCE_MAX: usize = 5;
/// What one diagnosis may cost, in bytes hashed: a few milliseconds.
const EFFORT_BYTES: usize = 2 << 20;
/// Headers are kept up to so many bytes: a ring of them must not outgrow its database.
const HEADER_BYTES_MAX: usize = 4 << 10;

/// A request whose proof did not hold, and the source that it was for.
pub(super) struct Evidence {
    pub(super) source: Arc<Source>,
    pub(super) request: RawRequest,
}

/// The refusals of the running interval.
pub struct RefusalLog {
    random: Random,
    interval: Mutex<Interval>,
    /// Held while an interval is written: who asks for what was refused waits for those who write it.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Interval {
    seen: u32,
    kept: Vec<Kept>,
    quarantine: Incoming,
}

struct Kept {
    refusal: Refusal,
    evidence: Option<Evidence>,
}

impl RefusalLog {
    /// An empty log that samples with `random`.
    pub fn new(random: Random) -> Self {
        Self { random, interval: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Adds a refusal, or lets it take another one's place, or drops it (reservoir sampling).
    pub(super) fn push(&self, refusal: Refusal, evidence: Option<Evidence>) {
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        interval.seen += 1;
        evidence.iter().for_each(|evidence| interval.quarantine.take(&refusal, evidence));
        if interval.kept.len() < KEPT_MAX {
            let evidence = evidence.filter(|evidence| interval.has_room_for(evidence)).map(Evidence::detached);
            interval.kept.push(Kept { refusal, evidence });
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a draw below `seen`, which is a u32")]
        let position = (self.random.draw() * f64::from(interval.seen)) as usize;
        if position < interval.kept.len() {
            interval.kept[position].evidence = None;
            let evidence = evidence.filter(|evidence| interval.has_room_for(evidence)).map(Evidence::detached);
            interval.kept[position] = Kept { refusal, evidence };
        }
    }

    /// Writes them once an interval until `closing`, and then a last time.
    pub async fn write_to(&self, store: &Store, clock: &Clock, closing: &CancellationToken) {
        while closing.run_until_cancelled(clock.sleep(INTERVAL)).await.is_some() {
            self.flush(store).await;
        }
        self.flush(store).await;
    }

    /// Writes what there is.
    pub async fn flush(&self, store: &Store) {
        let _turn = self.writing.lock().await;
        let Interval { seen, kept, quarantine } = std::mem::take(&mut *self.interval.lock().unwrap_or_else(PoisonError::into_inner));
        if kept.is_empty() {
            return;
        }
        if seen as usize > kept.len() {
            debug!(seen, kept = kept.len(), "refusals sampled");
        }
        // First: a diagnosis that panics must not cost what is to be judged again.
        quarantine.write_to(store).await;
        let Ok(explained) = tokio::task::spawn_blocking(|| explain(kept)).await else {
            // The panic hook has told of it.
            return warn!("refusals were lost in their diagnosis");
        };
        if let Err(error) = store.record_refusals(explained).await {
            warn!(%error, "refusals could not be recorded");
        }
    }
}

impl Interval {
    fn has_room_for(&self, evidence: &Evidence) -> bool {
        let others = self.kept.iter().filter_map(|kept| kept.evidence.as_ref());
        let of_source = others.clone().filter(|other| other.source.name == evidence.source.name).count();
        let is_small = evidence.request.body.len() <= DIAGNOSED_BYTES_MAX;
        is_small && of_source < DIAGNOSED_OF_SOURCE_MAX && others.count() < DIAGNOSED_MAX
    }
}

impl Evidence {
    /// With a body of its own: a piece of what a connection has read would hold on to all of it.
    fn detached(self) -> Self {
        let body = self.request.body.to_vec().into();
        Self { request: RawRequest { body, ..self.request }, ..self }
    }
}

fn explain(kept: Vec<Kept>) -> Vec<Refusal> {
    let explain = |Kept { mut refusal, evidence }: Kept| {
        let Some(Evidence { source, request }) = evidence else { return refusal };
        refusal.diagnosis = source.verifier.diagnose(&request, &refusal.cause, &mut Effort::of_bytes(EFFORT_BYTES));
        let mut headers = request.headers;
        source.verifier.redact_refused(&mut headers);
        refusal.headers = Some(headers).filter(|headers| headers.as_bytes().len() <= HEADER_BYTES_MAX);
        refusal
    };
    kept.into_iter().map(explain).collect()
}
