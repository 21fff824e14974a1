//! Keeps the write-ahead log small. A checkpoint writes it back into the database and syncs both, and nobody is answered meanwhile: it is
//! made once everybody whose write is in the log has been answered, and not, as SQLite does by itself, between a transaction's sync and
//! its end; and the seldomer, the longer a sync takes on this disk.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::warn;

/// So many pages of 16 KiB are worth a checkpoint: 1 MiB, so that it is over soon.
const PAGES_MIN: u32 = 64;
/// As many in a rush, 4 MiB: fewer checkpoints copy fewer pages twice.
const PAGES_MIN_IN_A_RUSH: u32 = 256;
/// So many pages, 16 MiB, make it due however slow the disk is.
const PAGES_MAX: u32 = 1024;
/// From the end of a checkpoint to the next one passes the time of so many syncs. It takes three beside what it copies, so where a sync
/// takes milliseconds, answers would otherwise wait for them a fifth of the time.
const SYNCS: u32 = 60;

thread_local! {
    /// The log's pages after this thread's last commit that wrote any; taken once seen.
    static COMMITTED: Cell<Option<u32>> = const { Cell::new(None) };
}

/// When checkpoints are made.
pub(super) struct Checkpoints {
    /// When the last one ended.
    last: Option<Instant>,
    /// The log's pages, but none where all are written back.
    pages: u32,
    sync: Sync,
}

impl Checkpoints {
    /// Counts the pages that commits on this connection leave in the log, and takes the place of SQLite's own checkpoints.
    pub(super) fn of(connection: &Connection) -> Self {
        connection.wal_hook(Some(|_, pages| {
            COMMITTED.set(u32::try_from(pages).ok());
            Ok(())
        }));
        Self { last: None, pages: 0, sync: Sync::default() }
    }

    /// A commit on that connection and on this thread took so long, of which the most is its sync, where it wrote anything.
    pub(super) fn note_commit(&mut self, took: Duration) {
        if let Some(pages) = COMMITTED.take() {
            self.pages = pages;
            self.sync.note(took);
        }
    }

    /// Makes one on that connection, if it is due.
    pub(super) fn make_if_due(&mut self, connection: &Connection, is_rush: bool) {
        let spacing = SYNCS * self.sync.get();
        if !is_due(self.pages, is_rush, self.last.is_none_or(|ended| ended.elapsed() >= spacing)) {
            return;
        }
        self.pages = 0;
        // Passive: what a reader still needs stays in the log until the next time.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            warn!(%error, "the write-ahead log could not be written back; it grows until it can");
        }
        self.last = Some(Instant::now());
    }
}

/// Of a log of so many pages, and where the last checkpoint may be long enough ago.
fn is_due(pages: u32, is_rush: bool, is_long_ago: bool) -> bool {
    let enough = if is_rush { PAGES_MIN_IN_A_RUSH } else { PAGES_MIN };
    pages >= PAGES_MAX || (pages >= enough && is_long_ago)
}

/// How long the disk takes for a sync: the shortest commit of late, since others also wait for the processor.
#[derive(Default)]
struct Sync(Option<Duration>);

impl Sync {
    fn get(&self) -> Duration {
        self.0.unwrap_or_default()
    }

    fn note(&mut self, commit: Duration) {
        // A disk that has become slower is seen within some hundred commits.
        self.0 = Some(self.0.map_or(commit, |shortest| commit.min(shortest + shortest / 64)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_by_pages_and_after_some_time_but_never_much_later() {
        let due = |pages, is_rush| [false, true].map(|is_long_ago| is_due(pages, is_rush, is_long_ago));
        assert_eq!([63, 64, 1023, 1024].map(|pages| due(pages, false)), [[false; 2], [false, true], [false, true], [true; 2]]);
        assert_eq!([255, 256, 1024].map(|pages| due(pages, true)), [[false; 2], [false, true], [true; 2]]);
    }

    #[test]
    fn a_sync_takes_as_long_as_the_shortest_commit_of_late() {
        let mut sync = Sync::default();
        assert_eq!(sync.get(), Duration::ZERO);
        [8, 2, 9].map(Duration::from_millis).into_iter().for_each(|commit| sync.note(commit));
        assert_eq!(sync.get(), Duration::from_nanos(2_031_250));
        (0..200).for_each(|_| sync.note(Duration::from_millis(20)));
        assert_eq!(sync.get(), Duration::from_millis(20));
    }
}
