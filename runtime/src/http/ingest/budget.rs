//! The memory that bodies without a proof may take, of all requests together. A share is taken before the first byte is read, so that
//! strangers on many connections cannot make the server keep more than it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that are free. Cheap to clone.
#[derive(Clone)]
pub struct BodyBudget {
    free: Arc<AtomicUsize>,
    total: usize,
}

impl BodyBudget {
    /// All of `total` bytes free.
    pub fn new(total: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(total)), total }
    }

    /// So many bytes until the share is dropped; `None` where fewer are free. Whoever wants more than there is waits for all of it, since
    /// it would be refused for ever otherwise.
    pub(super) fn take(&self, bytes: usize) -> Option<Share> {
        let bytes = bytes.min(self.total);
        let left = |free: usize| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok()?;
        Some(Share { free: Arc::clone(&self.free), bytes })
    }
}

/// Bytes of the budget, given back on drop.
pub(super) struct Share {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_until_it_is_given_back() {
        let budget = BodyBudget::new(100);
        let first = budget.take(60).expect("60 of 100");
        assert!(budget.take(41).is_none());
        let second = budget.take(40).expect("40 of 40");
        assert!(budget.take(1).is_none() && budget.take(0).is_some());
        drop((first, second));
        assert!(budget.take(100).is_some());
    }

    #[test]
    fn a_body_that_is_larger_than_the_budget_is_let_in_alone() {
        let budget = BodyBudget::new(100);
        let small = budget.take(1).expect("a byte");
        assert!(budget.take(1000).is_none());
        drop(small);
        let large = budget.take(1000).expect("all of it");
        assert!(budget.take(1).is_none());
        drop(large);
        assert!(budget.take(100).is_some());
    }
}
