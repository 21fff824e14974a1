//! The one home of randomness. Ids, jitter and sampling draw from a [`Random`]; tests give a seeded one.
//! Secrets and tokens come from the operating system through it as well.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A shared source of random values, cryptographically strong when seeded by the operating system.
#[derive(Debug, Clone)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeded by the operating system.
    ///
    /// # Panics
    /// If the operating system has no randomness to give: nothing could be served safely.
    #[expect(clippy::disallowed_methods, reason = "the one home of randomness")]
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_rng(&mut rand::rng()))))
    }

    /// The same values in every run.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A uniform draw from 0 (included) to 1 (excluded).
    pub fn draw(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}
