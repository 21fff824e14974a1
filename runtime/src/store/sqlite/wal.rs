//! Keeps the write-ahead log small. A checkpoint takes milliseconds: it is made once everybody whose write is in the log has been
//! answered, and not, as SQLite does by itself, between a transaction's sync and its end.

use std::cell::Cell;

use rusqlite::Connection;
use tracing::warn;

/// So many pages of 16 KiB make a checkpoint due: 1 MiB, so that it is over soon.
const PAGES_MAX: i32 = 64;
/// As many in a rush, 4 MiB: fewer checkpoints copy fewer pages twice.
const PAGES_MAX_IN_A_RUSH: i32 = 256;

thread_local! {
    /// The log's pages as of this thread's last commit.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Counts the pages that this thread's commits leave in the log, and takes the place of SQLite's own checkpoints.
pub(super) fn watch(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(pages);
        Ok(())
    }));
}

/// Writes the log back into the database, if there is enough of it.
pub(super) fn checkpoint_if_due(connection: &Connection, is_rush: bool) {
    if PAGES.get() < if is_rush { PAGES_MAX_IN_A_RUSH } else { PAGES_MAX } {
        return;
    }
    PAGES.set(0);
    // Passive: what a reader still needs stays in the log until the next time.
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        warn!(%error, "the write-ahead log could not be written back; it grows until it can");
    }
}
