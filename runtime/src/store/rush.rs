//! Whether requests come in faster than they can be received: all threads that receive are busy. Then more writes are sure to come
//! within moments, and a transaction that waits for them costs the machine less for each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The threads that receive requests, as they go to sleep and wake. Cheap to clone; without threads there is no rush.
#[derive(Clone, Default)]
pub struct Rush(Arc<Threads>);

#[derive(Default)]
struct Threads {
    all: usize,
    asleep: AtomicUsize,
    when_over: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Rush {
    /// So many threads, all of them awake.
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Threads { all: threads, ..Threads::default() }))
    }

    /// One of the threads has nothing to do.
    pub fn falls_asleep(&self) {
        let before = self.0.asleep.fetch_add(1, Ordering::SeqCst);
        if before == 0
            && let Some(tell) = self.0.when_over.get()
        {
            tell();
        }
    }

    /// One of the threads goes on.
    pub fn wakes(&self) {
        self.0.asleep.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether all threads are busy.
    pub(super) fn is_on(&self) -> bool {
        self.0.all > 0 && self.0.asleep.load(Ordering::SeqCst) == 0
    }

    /// Calls `tell` whenever a rush is over. Only the first caller is served.
    pub(super) fn when_over(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.when_over.set(Box::new(tell));
    }
}
