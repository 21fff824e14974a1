//! What has become of what a source received, and which of its secrets were used when: counted by whoever receives, read by whoever asks,
//! without a lock but for what handshakes offer. Numbers of one process since its start. Asks no clock; whoever counts says when.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Secret, Timestamp};

/// A source's numbers, for as long as one configuration is in force; those of what did not change go on under the next one.
#[derive(Debug)]
pub struct SourceUsage {
    counts: Arc<SourceCounts>,
    offers: Arc<Mutex<VecDeque<OfferedSecret>>>,
    secrets: Vec<(Secret, Arc<SecretUsage>)>,
}

/// What became of what a source received: events, and requests that were none.
#[derive(Debug, Default)]
pub struct SourceCounts {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
}

/// How often a secret has proved a request, and when last.
#[derive(Debug)]
pub struct SecretUsage {
    since: Timestamp,
    count: AtomicU64,
    /// Milliseconds since the Unix epoch; [`NEVER`] before the first time.
    last: AtomicI64,
}

const NEVER: i64 = i64::MIN;
/// How many offered secrets are kept.
const OFFERS_MAX: usize = 16;

/// A secret that came with a handshake: for the operator to take, who knows whether the provider was being set up then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedSecret {
    /// The secret.
    pub secret: Secret,
    /// When it came.
    pub at: Timestamp,
}

impl SourceUsage {
    /// The numbers of a source with these secrets, which came into force `now`. What `before` has of the same source goes on, and of
    /// the same secrets, wherever they stand in the list: the one before is often moved when a new one is put first.
    pub fn continuing(before: Option<&Self>, secrets: impl IntoIterator<Item = Secret>, now: Timestamp) -> Self {
        let counts = before.map(|before| Arc::clone(&before.counts)).unwrap_or_default();
        let mut left: Vec<_> = before.map(|before| before.secrets.clone()).unwrap_or_default();
        let counted = |secret: Secret| {
            let kept = left.iter().position(|(own, _)| *own == secret).map(|at| left.remove(at).1);
            (secret, kept.unwrap_or_else(|| Arc::new(SecretUsage::new(now))))
        };
        let secrets = secrets.into_iter().map(counted).collect();
        let offers = before.map(|before| Arc::clone(&before.offers)).unwrap_or_default();
        Self { counts, offers, secrets }
    }

    /// What became of what it received.
    pub fn counts(&self) -> &SourceCounts {
        &self.counts
    }

    /// Keeps a secret that somebody offers, who may be the provider; the oldest of too many goes.
    pub fn offer(&self, secret: Secret, now: Timestamp) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        offers.truncate(OFFERS_MAX - 1);
        offers.push_front(OfferedSecret { secret, at: now });
    }

    /// The secrets that were offered, newest first.
    pub fn offers(&self) -> Vec<OfferedSecret> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Its secrets' numbers, in the order of its secrets.
    pub fn secrets(&self) -> impl ExactSizeIterator<Item = &SecretUsage> {
        self.secrets.iter().map(|(_, usage)| &**usage)
    }

    /// The secret at this position has proved a request. A key that the provider publishes is none of the source's.
    pub fn prove(&self, position: usize, now: Timestamp) {
        self.secrets.get(position).iter().for_each(|(_, usage)| usage.prove(now));
    }
}

impl SourceCounts {
    /// An event is new.
    pub fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// An event was there already.
    pub fn recognise(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events were new.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many events were there already.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// How many requests were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl SecretUsage {
    fn new(since: Timestamp) -> Self {
        Self { since, count: AtomicU64::new(0), last: AtomicI64::new(NEVER) }
    }

    fn prove(&self, now: Timestamp) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.last.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// Since when it is counted: the start, or the reload that brought it.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// How many requests it has proved.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// When it last proved one.
    pub fn last(&self) -> Option<Timestamp> {
        Some(self.last.load(Ordering::Relaxed)).filter(|last| *last != NEVER).map(Timestamp::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000);
    const LATER: Timestamp = Timestamp::from_millis(2_000);

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(text.as_bytes())).collect()
    }

    fn numbers(usage: &SourceUsage) -> Vec<(u64, Option<Timestamp>, Timestamp)> {
        usage.secrets().map(|secret| (secret.count(), secret.last(), secret.since())).collect()
    }

    #[test]
    fn a_secret_keeps_its_numbers_wherever_it_moves_and_another_in_its_place_has_none() {
        let first = SourceUsage::continuing(None, secrets(&["old"]), START);
        [(0, LATER), (1, LATER), (0, START)].into_iter().for_each(|(position, at)| first.prove(position, at));
        first.counts().accept();
        let second = SourceUsage::continuing(Some(&first), secrets(&["new", "old"]), LATER);
        assert_eq!(numbers(&second), [(0, None, LATER), (2, Some(LATER), START)]);
        assert_eq!(second.counts().accepted(), 1);
        let third = SourceUsage::continuing(Some(&second), secrets(&["new", "other"]), LATER);
        assert_eq!(numbers(&third), [(0, None, LATER), (0, None, LATER)]);
    }

    #[test]
    fn a_request_that_was_under_way_at_a_reload_is_counted_under_the_next_configuration() {
        let before = SourceUsage::continuing(None, secrets(&["s"]), START);
        let after = SourceUsage::continuing(Some(&before), secrets(&["s"]), LATER);
        before.prove(0, LATER);
        before.counts().refuse();
        assert_eq!((numbers(&after), after.counts().refused()), (vec![(1, Some(LATER), START)], 1));
    }

    #[test]
    fn one_secret_written_twice_is_counted_where_it_held() {
        let before = SourceUsage::continuing(None, secrets(&["s", "s"]), START);
        before.prove(1, LATER);
        let after = SourceUsage::continuing(Some(&before), secrets(&["s", "s"]), LATER);
        assert_eq!(numbers(&after), [(0, None, START), (1, Some(LATER), START)]);
    }
}
