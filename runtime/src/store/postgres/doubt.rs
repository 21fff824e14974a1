//! Whether the database may hold that this node runs jobs of which the node does not know: a statement took them, and its answer was lost.
//! One that was given up may still be under way there, so that is looked at twice: at once, and when it must have ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::STATEMENT_MAX;

/// How long a statement may go on that was sent just before it was given up; the database ends it then.
const OUTLIVES: Duration = STATEMENT_MAX.saturating_add(Duration::from_secs(1));

/// None to begin with.
#[derive(Default)]
pub(super) struct Doubt(Mutex<State>);

#[derive(Default)]
struct State {
    is_raised: bool,
    again_at: Option<Instant>,
}

impl Doubt {
    /// A connection was lost or made, or a statement given up.
    pub(super) fn raise(&self) {
        *self.lock() = State { is_raised: true, again_at: Some(Instant::now() + OUTLIVES) };
    }

    /// Whether there is something to look at now.
    pub(super) fn is_due(&self) -> bool {
        let state = self.lock();
        state.is_raised || state.again_at.is_some_and(|at| at <= Instant::now())
    }

    /// To be called before looking: what becomes doubtful meanwhile is looked at again.
    pub(super) fn lower(&self) {
        let mut state = self.lock();
        state.is_raised = false;
        state.again_at = state.again_at.filter(|at| *at > Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
