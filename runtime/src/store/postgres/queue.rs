//! What waits for the next statement. Flushers take turns: each takes all that has gathered while the others were busy, so that
//! groups grow by themselves under load, and a lone write goes at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The most rows of one statement.
pub(super) const BATCH_MAX: usize = 512;
/// The most bytes of one statement.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A queue with a bound on its rows and bytes.
pub(super) struct Queue<T> {
    /// `None` once closed.
    sender: Mutex<Option<mpsc::UnboundedSender<Waiting<T>>>>,
    receiver: tokio::sync::Mutex<mpsc::UnboundedReceiver<Waiting<T>>>,
    rows: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

struct Waiting<T> {
    item: T,
    size: usize,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The queue takes no more.
pub(super) struct Full;

impl<T> Queue<T> {
    pub(super) fn new(rows_max: usize, bytes_max: usize) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender: Mutex::new(Some(sender)),
            receiver: receiver.into(),
            rows: Arc::new(Semaphore::new(rows_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
        }
    }

    /// Adds an item of so many bytes.
    pub(super) fn push(&self, item: T, size: usize) -> Result<(), Full> {
        let row = Arc::clone(&self.rows).try_acquire_owned().map_err(|_| Full)?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX)).map_err(|_| Full)?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().ok_or(Full)?.send(Waiting { item, size, _room: (row, bytes) }).map_err(|_| Full)
    }

    /// All that waits, up to the bounds of a statement; waits for the first item. `None` once closed and empty.
    pub(super) async fn next_batch(&self) -> Option<Vec<T>> {
        let mut receiver = self.receiver.lock().await;
        let first = receiver.recv().await?;
        let mut bytes = first.size;
        let mut batch = vec![first.item];
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(next) = receiver.try_recv() else { break };
            bytes += next.size;
            batch.push(next.item);
        }
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
