//! Waiting for what happens, never for time to pass. A bound on patience turns a hang into a failure that says what was awaited.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Much longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(10);

/// The future's value, which must come.
///
/// # Panics
/// If it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Looks again and again until the condition holds, for what tells nobody when it changes.
///
/// # Panics
/// If it never holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            sleep(INTERVAL).await;
        }
    })
    .await;
}
