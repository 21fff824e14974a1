//! Keeps the write-ahead log small. A checkpoint writes it back into the database and syncs both, and nobody is answered meanwhile: it is
//! made once everybody whose write is in the log has been answered, and not, as SQLite does by itself, between a transaction's sync and
//! its end; and the seldomer, the longer it takes on this disk.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::warn;

/// So many pages of 16 KiB are worth a checkpoint: 1 MiB, so that it is over soon.
const PAGES_MIN: u32 = 64;
/// As many in a rush, 4 MiB: fewer checkpoints copy fewer pages twice.
const PAGES_MIN_IN_A_RUSH: u32 = 256;
/// So many pages, 16 MiB, make it due however long the last one took.
const PAGES_MAX: u32 = 1024;
/// From the end of a checkpoint to the next one passes so many times what it took. Where a sync takes milliseconds, answers would
/// otherwise wait for checkpoints a fifth of the time.
const TIMES: u32 = 20;

thread_local! {
    /// The log's pages as of this thread's last commit.
    static PAGES: Cell<u32> = const { Cell::new(0) };
}

/// When checkpoints are made.
pub(super) struct Checkpoints {
    /// When the last one ended, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl Checkpoints {
    /// Counts the pages that commits on this connection leave in the log, and takes the place of SQLite's own checkpoints.
    pub(super) fn of(connection: &Connection) -> Self {
        connection.wal_hook(Some(|_, pages| {
            PAGES.set(u32::try_from(pages).unwrap_or_default());
            Ok(())
        }));
        Self { last: None }
    }

    /// Makes one, after a commit on that connection and on the thread that made it, if it is due.
    pub(super) fn make_if_due(&mut self, connection: &Connection, is_rush: bool) {
        let last = self.last.map(|(ended, took)| (ended.elapsed(), took));
        if !is_due(PAGES.get(), is_rush, last) {
            return;
        }
        PAGES.set(0);
        let begun = Instant::now();
        // Passive: what a reader still needs stays in the log until the next time.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            warn!(%error, "the write-ahead log could not be written back; it grows until it can");
        }
        self.last = Some((Instant::now(), begun.elapsed()));
    }
}

/// Of a log of so many pages, where the last checkpoint ended so long ago and took so long.
fn is_due(pages: u32, is_rush: bool, last: Option<(Duration, Duration)>) -> bool {
    let enough = if is_rush { PAGES_MIN_IN_A_RUSH } else { PAGES_MIN };
    pages >= PAGES_MAX || (pages >= enough && last.is_none_or(|(ago, took)| ago >= TIMES * took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_the_rarer_the_longer_it_takes() {
        let last = |ago, took| Some((Duration::from_millis(ago), Duration::from_millis(took)));
        let quick = [(63, None), (64, None), (64, last(39, 2)), (64, last(40, 2))];
        assert_eq!(quick.map(|(pages, last)| is_due(pages, false, last)), [false, true, false, true]);
        assert_eq!([255, 256].map(|pages| is_due(pages, true, None)), [false, true]);
        let slow = last(100, 60_000);
        assert_eq!([64, 1023, 1024].map(|pages| is_due(pages, false, slow)), [false, false, true]);
    }
}
