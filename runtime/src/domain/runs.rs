//! How often a plugin ran and failed: counted by whoever runs it, read by whoever asks. Numbers of one process since its start.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Verdict;

/// A plugin's numbers, each read by itself.
#[derive(Debug, Default)]
pub struct RunCounter {
    attempts: AtomicU64,
    failed: AtomicU64,
    trapped: AtomicU64,
}

/// What a [`RunCounter`] has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// All runs.
    pub attempts: u64,
    /// Those that were neither done nor discarded.
    pub failed: u64,
    /// Those of them that trapped or went over a limit.
    pub trapped: u64,
}

impl RunCounter {
    /// A run ended so.
    pub fn count(&self, verdict: &Verdict) {
        let (failed, trapped) = match verdict {
            Verdict::Done(_) | Verdict::Discard(_) => (false, false),
            Verdict::DeadLetter(_) => (true, false),
            Verdict::Retry { kind, .. } => (true, kind.is_trap_or_limit()),
        };
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        self.trapped.fetch_add(u64::from(trapped), Ordering::Relaxed);
    }

    /// The numbers now.
    pub fn read(&self) -> Runs {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Runs { attempts: read(&self.attempts), failed: read(&self.failed), trapped: read(&self.trapped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FailureKind;

    #[test]
    fn what_failed_and_what_trapped_is_told_apart() {
        let counter = RunCounter::default();
        let retry = |kind| Verdict::Retry { kind, reason: String::new(), after: None };
        counter.count(&Verdict::Done(None));
        counter.count(&Verdict::Discard(String::new()));
        counter.count(&Verdict::DeadLetter(String::new()));
        counter.count(&retry(FailureKind::Handler));
        counter.count(&retry(FailureKind::MemoryLimit));
        counter.count(&retry(FailureKind::Host));
        assert_eq!(counter.read(), Runs { attempts: 6, failed: 4, trapped: 1 });
    }
}
