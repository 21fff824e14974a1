//! Turns: runs that state has overtaken go again one after the other, so that they do not overtake each other once more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::domain::StateScope;

/// So many may wait for the state of one scope.
const WAITING_MAX: usize = 128;

/// Who waits for a turn, by whose state it is.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<StateScope, Arc<tokio::sync::Mutex<()>>>>);

/// Held for as long as a run takes, until it is settled.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// `None` where too many wait already.
    pub(super) async fn take(&self, scope: StateScope) -> Option<Turn> {
        let turns = Arc::clone(self.lock().entry(scope).or_default());
        if Arc::strong_count(&turns) > WAITING_MAX { None } else { Some(turns.lock_owned().await) }
    }

    /// Forgets those for which nobody waits.
    pub(super) fn tidy(&self) {
        self.lock().retain(|_, turns| Arc::strong_count(turns) > 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<StateScope, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
