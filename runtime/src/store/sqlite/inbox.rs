//! The bounded queue in front of the writer thread, and the rhythm of its commits: a lone write commits at once; while
//! busy, the next commit starts when as many writes wait as have come together lately (at most [`BATCH_WAKE`]), or when
//! [`SPACING_OF_ADMISSIONS`] has passed since the last one started ([`SPACING_OF_WORK`] where no sender waits, [`SPACING_OF_SETTLEMENTS`] where
//! only outcomes wait that nobody waits for), since back-to-back commits waste the core on small batches. In a rush ([`Rush`]) it
//! waits for [`BATCH_WAKE_IN_A_RUSH`], or until [`SPACING_IN_A_RUSH`] has passed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::operation::Operation;
use crate::store::Rush;
use crate::store::admission::{ADMISSION_BYTES_MAX, ADMISSIONS_MAX};
use crate::store::rhythm::{BATCH_BYTES_MAX, BATCH_MAX, BATCH_WAKE, SPACING_OF_ADMISSIONS, SPACING_OF_SETTLEMENTS, SPACING_OF_WORK, Usual};

/// As [`BATCH_WAKE`] in a rush. With all senders in one commit the core would have nothing to do while that syncs; so others are received meanwhile.
const BATCH_WAKE_IN_A_RUSH: usize = 128;
/// As [`SPACING_OF_ADMISSIONS`] in a rush: whoever waits for an answer would wait for the machine anyway.
const SPACING_IN_A_RUSH: Duration = Duration::from_millis(8);

/// The queue. Admissions are bounded here; other writes are bounded by who sends them.
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    rush: Rush,
    /// Whether the writer waits for the end of a rush, or for a large batch.
    waits_out: AtomicBool,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Operation>,
    admissions: usize,
    hurried: usize,
    bytes: usize,
    wake_at: usize,
    usual_batch: Usual,
    closed: bool,
}

/// The writer takes no more.
pub(super) struct Full;

impl Inbox {
    pub(super) fn new(rush: Rush) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), rush, waits_out: AtomicBool::new(false) }
    }

    /// Whether more is sure to come at once.
    pub(super) fn is_rush(&self) -> bool {
        self.rush.is_on()
    }

    /// Whoever could have received more has nothing to receive.
    pub(super) fn rush_is_over(&self) {
        if self.waits_out.load(Ordering::SeqCst) {
            drop(self.lock());
            self.changed.notify_one();
        }
    }

    /// Queues a write; refuses admissions past the bounds, and everything once closed.
    pub(super) fn push(&self, operation: Operation) -> Result<(), Full> {
        let mut state = self.lock();
        if state.closed {
            return Err(Full);
        }
        let patience = state.spacing();
        if let Some(bytes) = operation.admission_bytes() {
            if state.admissions >= ADMISSIONS_MAX || state.bytes + bytes > ADMISSION_BYTES_MAX {
                return Err(Full);
            }
            state.admissions += 1;
            state.bytes += bytes;
        }
        state.hurried += usize::from(operation.is_hurried());
        state.queue.push_back(operation);
        // Whoever waits for company has less patience once somebody waits for a write.
        if state.queue.len() >= state.wake_at || state.spacing() < patience {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Lets the writer finish what waits and end.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Takes nothing more and forgets what waits: whoever waits for an answer hears that there is none.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
    }

    /// The next transaction's writes, `None` once closed and empty. Waits at most `patience`, if given, and is then empty.
    pub(super) fn next_batch(&self, last_start: Instant, patience: Option<Duration>) -> Option<Vec<Operation>> {
        let mut state = self.lock();
        if let Some(patience) = patience {
            let until = Instant::now() + patience;
            while state.queue.is_empty() && !state.closed && Instant::now() < until {
                state = self.wait(state, 1, until.saturating_duration_since(Instant::now()));
            }
        } else {
            while state.queue.is_empty() && !state.closed {
                state.wake_at = 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if state.closed && state.queue.is_empty() {
            return None;
        }
        let mut state = self.wait_for_company(state, last_start);
        state.wake_at = usize::MAX;
        Some(state.take_batch())
    }

    fn wait_for_company<'a>(&'a self, mut state: MutexGuard<'a, State>, last_start: Instant) -> MutexGuard<'a, State> {
        while !state.closed {
            self.waits_out.store(true, Ordering::SeqCst);
            let is_rush = self.rush.is_on();
            let (enough, spacing) = if is_rush {
                (BATCH_WAKE_IN_A_RUSH, SPACING_IN_A_RUSH)
            } else {
                (state.usual_batch.get().min(BATCH_WAKE), state.spacing())
            };
            let left = spacing.saturating_sub(last_start.elapsed());
            if state.queue.len() >= enough || left.is_zero() {
                break;
            }
            state = self.wait(state, enough, left);
        }
        self.waits_out.store(false, Ordering::SeqCst);
        state
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, wake_at: usize, longest: Duration) -> MutexGuard<'a, State> {
        state.wake_at = wake_at;
        self.changed.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spacing(&self) -> Duration {
        match (self.admissions, self.hurried) {
            (1.., _) => SPACING_OF_ADMISSIONS,
            (0, 1..) => SPACING_OF_WORK,
            (0, 0) => SPACING_OF_SETTLEMENTS,
        }
    }

    fn take_batch(&mut self) -> Vec<Operation> {
        let mut batch = Vec::with_capacity(self.queue.len().min(BATCH_MAX));
        let mut batch_bytes = 0;
        while batch.len() < BATCH_MAX && batch_bytes < BATCH_BYTES_MAX {
            let Some(operation) = self.queue.pop_front() else { break };
            self.hurried -= usize::from(operation.is_hurried());
            batch_bytes += operation.bytes();
            if let Some(bytes) = operation.admission_bytes() {
                self.admissions -= 1;
                self.bytes -= bytes;
            }
            batch.push(operation);
        }
        self.usual_batch.note(batch.len());
        batch
    }
}
