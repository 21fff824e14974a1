//! What waits for the next statement. Flushers take turns: each takes all that has gathered while the others were busy, and waits
//! a little for as many as have come together lately, since each statement costs the database what many rows cost. A lone write goes
//! at once.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::store::rhythm::{BATCH_BYTES_MAX, BATCH_MAX, BATCH_WAKE, SPACING_OF_SETTLEMENTS, Usual};

/// A queue with a bound on its rows and bytes.
pub(super) struct Queue<T> {
    /// `None` once closed.
    sender: Mutex<Option<mpsc::UnboundedSender<Waiting<T>>>>,
    turn: tokio::sync::Mutex<Turn<T>>,
    rows: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// The longest that an item somebody waits for waits from the statement before.
    spacing: Duration,
}

/// Whose turn it is has it.
struct Turn<T> {
    receiver: mpsc::UnboundedReceiver<Waiting<T>>,
    /// When the last statement was given out.
    last_start: Instant,
    usual: Usual,
}

struct Waiting<T> {
    item: T,
    size: usize,
    is_hurried: bool,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The queue takes no more.
pub(super) struct Full;

impl<T> Queue<T> {
    pub(super) fn new(rows_max: usize, bytes_max: usize, spacing: Duration) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender: Mutex::new(Some(sender)),
            turn: Turn { receiver, last_start: Instant::now(), usual: Usual::default() }.into(),
            rows: Arc::new(Semaphore::new(rows_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            spacing,
        }
    }

    /// Adds an item of so many bytes; whether somebody waits for it.
    pub(super) fn push(&self, item: T, size: usize, is_hurried: bool) -> Result<(), Full> {
        let row = Arc::clone(&self.rows).try_acquire_owned().map_err(|_| Full)?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX)).map_err(|_| Full)?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().ok_or(Full)?.send(Waiting { item, size, is_hurried, _room: (row, bytes) }).map_err(|_| Full)
    }

    /// All that waits, up to the bounds of a statement, and what comes while it is worth waiting for; waits for the first item. `None` once
    /// closed and empty. What it has taken is lost if it is not polled to its end.
    pub(super) async fn next_batch(&self) -> Option<Vec<T>> {
        let mut turn = self.turn.lock().await;
        let Turn { receiver, last_start, usual } = &mut *turn;
        let mut next = Some(receiver.recv().await?);
        let (mut batch, mut bytes, mut is_hurried) = (Vec::new(), 0, false);
        let mut patience = pin!(sleep_until(*last_start + SPACING_OF_SETTLEMENTS));
        while let Some(waiting) = next {
            if waiting.is_hurried && !is_hurried {
                is_hurried = true;
                patience.as_mut().reset(*last_start + self.spacing);
            }
            bytes += waiting.size;
            batch.push(waiting.item);
            if batch.len() >= BATCH_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
            next = match receiver.try_recv() {
                Ok(waiting) => Some(waiting),
                Err(_) if batch.len() >= usual.get().min(BATCH_WAKE) => None,
                Err(_) => tokio::select! {
                    biased;
                    waiting = receiver.recv() => waiting,
                    () = &mut patience => None,
                },
            };
        }
        usual.note(batch.len());
        *last_start = Instant::now();
        Some(batch)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Takes no more; what waits is still given out.
    pub(super) fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
