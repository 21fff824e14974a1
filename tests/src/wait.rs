//! Waiting for what happens, never for time to pass. A bound on patience turns a hang into a failure that says what was awaited.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Much longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for whatever works off a queue, which is as long as the machine was quick while it was filled.
const PATIENCE_WITH_QUEUES: Duration = Duration::from_secs(600);
const INTERVAL: Duration = Duration::from_millis(10);

/// The future's value, which must come.
///
/// # Panics
/// If it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_time(PATIENCE, what, future).await
}

/// Looks again and again until the condition holds, for what tells nobody when it changes.
///
/// # Panics
/// If it never holds.
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    within_time(PATIENCE, what, until(holds)).await;
}

/// The same for a queue that is worked off.
///
/// # Panics
/// If it never is.
pub async fn worked_off(holds: impl AsyncFnMut() -> bool) {
    within_time(PATIENCE_WITH_QUEUES, "a queue to be worked off", until(holds)).await;
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        sleep(INTERVAL).await;
    }
}

async fn within_time<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    timeout(patience, future).await.unwrap_or_else(|_| panic!("waited {patience:?} for {what}"))
}
