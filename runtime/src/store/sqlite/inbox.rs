//! The bounded queue in front of the writer thread, and the rhythm of its commits: a lone write commits at once; while
//! busy, the next commit starts when as many writes wait as have come together lately (at most [`BATCH_WAKE`]), or when
//! [`SPACING`] has passed since the last one started ([`SPACING_OF_SETTLEMENTS`] where only outcomes wait), since back-to-back
//! commits waste the core on small batches.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::operation::Operation;

/// So many waiting writes start a commit at once.
const BATCH_WAKE: usize = 256;
/// The longest that a write waits for company while commits follow each other: a sender, a free place or an operator waits for it.
const SPACING: Duration = Duration::from_millis(2);
/// The same where only settlements wait: nobody waits for them, but at a shutdown.
const SPACING_OF_SETTLEMENTS: Duration = Duration::from_millis(8);
/// The most writes of one transaction.
const BATCH_MAX: usize = 512;
/// The most bytes of one transaction: bodies, calls and log lines.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The most admissions that wait; further ones are refused with 503.
const ADMISSIONS_MAX: usize = 8192;
/// The most bytes of waiting admissions.
const ADMISSION_BYTES_MAX: usize = 64 << 20;

/// The queue. Admissions are bounded here; other writes are bounded by who sends them.
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Operation>,
    admissions: usize,
    hurried: usize,
    bytes: usize,
    wake_at: usize,
    /// The largest batch of late, fading: with 32 senders there is nobody left to wait for once 32 writes are here.
    usual_batch: usize,
    closed: bool,
}

/// The writer takes no more.
pub(super) struct Full;

impl Inbox {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }

    /// Queues a write; refuses admissions past the bounds, and everything once closed.
    pub(super) fn push(&self, operation: Operation) -> Result<(), Full> {
        let mut state = self.lock();
        if state.closed {
            return Err(Full);
        }
        if let Some(bytes) = operation.admission_bytes() {
            if state.admissions >= ADMISSIONS_MAX || state.bytes + bytes > ADMISSION_BYTES_MAX {
                return Err(Full);
            }
            state.admissions += 1;
            state.bytes += bytes;
        }
        let is_hurried = operation.is_hurried();
        state.hurried += usize::from(is_hurried);
        // Whoever waits for company shortens its patience for the first that somebody waits for.
        let is_first = is_hurried && state.hurried == 1;
        state.queue.push_back(operation);
        if state.queue.len() >= state.wake_at || is_first {
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
            state = self.wait(state, 1, |_| until);
        } else {
            while state.queue.is_empty() && !state.closed {
                state.wake_at = 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if state.closed && state.queue.is_empty() {
            return None;
        }
        let enough = state.usual_batch.min(BATCH_WAKE);
        let mut state = self.wait(state, enough, |state| last_start + state.spacing());
        Some(state.take_batch())
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, wake_at: usize, until: impl Fn(&State) -> Instant) -> MutexGuard<'a, State> {
        while state.queue.len() < wake_at && !state.closed {
            let left = until(&state).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.wake_at = wake_at;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wake_at = usize::MAX;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spacing(&self) -> Duration {
        if self.hurried > 0 { SPACING } else { SPACING_OF_SETTLEMENTS }
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
        self.usual_batch = batch.len().max(self.usual_batch - self.usual_batch.div_ceil(8));
        batch
    }
}
