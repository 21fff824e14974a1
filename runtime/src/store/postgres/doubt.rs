//! Whether the database may hold that this node runs jobs of which the node does not know: a statement took them, and its answer was lost.
//! What was sent before a connection was given up may arrive later still, so that is looked at now and then in any case.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest without a look.
const UNSEEN_MAX: Duration = Duration::from_secs(20);

/// None to begin with.
pub(super) struct Doubt(Mutex<State>);

struct State {
    is_raised: bool,
    looked_at: Instant,
}

impl Default for Doubt {
    fn default() -> Self {
        Self(Mutex::new(State { is_raised: false, looked_at: Instant::now() }))
    }
}

impl Doubt {
    /// A connection was lost or made, or a statement given up.
    pub(super) fn raise(&self) {
        self.lock().is_raised = true;
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self) -> bool {
        let state = self.lock();
        state.is_raised || state.looked_at.elapsed() >= UNSEEN_MAX
    }

    /// To be called before looking: what becomes doubtful meanwhile is looked at again.
    pub(super) fn lower(&self) {
        *self.lock() = State { is_raised: false, looked_at: Instant::now() };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
