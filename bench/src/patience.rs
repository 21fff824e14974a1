//! Waiting for what another process does, which tells nobody when it has: looking again, and giving up in the end.

use std::time::{Duration, Instant};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(2);

/// Whether the condition came to hold in time.
pub(crate) fn wait_until(patience: Duration, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let ends = Instant::now() + patience;
    while !holds()? {
        if Instant::now() >= ends {
            return Ok(false);
        }
        pass(INTERVAL);
    }
    Ok(true)
}

/// Lets time pass in which something else is measured.
pub(crate) fn pass(time: Duration) {
    let ends = Instant::now() + time;
    while let Some(left) = ends.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
