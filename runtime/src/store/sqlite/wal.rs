//! Keeps the write-ahead log small. A checkpoint writes it back into the database and syncs both, and nobody is answered meanwhile: it is
//! made once everybody whose write is in the log has been answered, and not, as SQLite does by itself, between a transaction's sync and
//! its end; and the seldomer, the longer a sync takes on this disk.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use tracing::warn;

/// So many pages of 16 KiB are worth a checkpoint: 1 MiB, so that it is over soon.
const PAGES_MIN: u32 = 64;
/// As many in a rush, 4 MiB: fewer checkpoints copy fewer pages twice.
const PAGES_MIN_IN_A_RUSH: u32 = 256;
/// So many pages, 16 MiB, make it due however slow the disk is.
const PAGES_MAX: u32 = 1024;
/// A log that has been longer, since a reader kept it from beginning anew, is cut to this: twice what it has in common use.
pub(super) const LOG_BYTES_MAX: u32 = 32 << 20;
/// From the end of a checkpoint to the next one passes the time of so many syncs. A checkpoint costs three: of the log, of the database, and
/// in the commit after it that of the log's new header. Where a sync takes milliseconds, answers would otherwise wait for those a fifth of
/// the time.
const SYNCS: u32 = 60;

thread_local! {
    /// The log's pages after this thread's last commit that wrote any, until they are taken from here.
    static WRITTEN: Cell<Option<u32>> = const { Cell::new(None) };
}

/// When checkpoints are made.
pub(super) struct Checkpoints {
    /// When the last one ended.
    last: Option<Instant>,
    /// The log's pages.
    pages: u32,
    /// How many they were at the last one. While a reader stands in the log they stay there, written back or not.
    seen: u32,
    sync: SyncTime,
}

impl Checkpoints {
    /// Counts the pages that commits on this connection leave in the log, and takes the place of SQLite's own checkpoints.
    pub(super) fn of(connection: &Connection) -> Self {
        connection.wal_hook(Some(|_, pages| {
            WRITTEN.set(u32::try_from(pages).ok());
            Ok(())
        }));
        Self { last: None, pages: 0, seen: 0, sync: SyncTime::default() }
    }

    /// Commits a transaction of that connection, on the thread that has them both.
    pub(super) fn commit(&mut self, transaction: Transaction<'_>) -> Result<(), rusqlite::Error> {
        WRITTEN.set(None);
        let started = Instant::now();
        transaction.commit()?;
        // One that wrote nothing is no sync.
        if let Some(pages) = WRITTEN.take() {
            self.note(pages, started.elapsed());
        }
        Ok(())
    }

    fn note(&mut self, pages: u32, took: Duration) {
        if pages <= self.pages {
            // The log has begun anew.
            self.seen = 0;
        }
        self.pages = pages;
        self.sync.note(took);
    }

    /// Makes one on that connection, if it is due.
    pub(super) fn make_if_due(&mut self, connection: &Connection, is_rush: bool) {
        let spacing = SYNCS * self.sync.get();
        if !is_due(self.pages - self.seen, is_rush, self.last.is_none_or(|ended| ended.elapsed() >= spacing)) {
            return;
        }
        self.seen = self.pages;
        // Passive: what a reader still needs stays in the log until the next time, when there is as much again.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            warn!(%error, "the write-ahead log could not be written back; it grows until it can");
        }
        self.last = Some(Instant::now());
    }
}

/// Of a log with so many new pages, and where the last checkpoint may be long enough ago.
fn is_due(pages: u32, is_rush: bool, is_long_ago: bool) -> bool {
    let enough = if is_rush { PAGES_MIN_IN_A_RUSH } else { PAGES_MIN };
    pages >= PAGES_MAX || (pages >= enough && is_long_ago)
}

/// How long the disk takes for a sync, at most: the shortest commit of late, since others also wait for the processor.
#[derive(Default)]
struct SyncTime(Option<Duration>);

impl SyncTime {
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
    use super::super::open::configure;
    use super::*;

    #[test]
    fn a_checkpoint_is_due_by_pages_and_after_some_time_but_never_much_later() {
        let due = |pages, is_rush| [false, true].map(|is_long_ago| is_due(pages, is_rush, is_long_ago));
        assert_eq!([63, 64, 1023, 1024].map(|pages| due(pages, false)), [[false; 2], [false, true], [false, true], [true; 2]]);
        assert_eq!([255, 256, 1024].map(|pages| due(pages, true)), [[false; 2], [false, true], [true; 2]]);
    }

    #[test]
    fn what_a_reader_keeps_in_the_log_is_not_tried_again_at_each_commit_and_is_cut_off_once_it_is_gone() {
        let folder = std::env::temp_dir().join(format!("hookfast-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let open = || Connection::open(folder.join("hookfast.db")).expect("a database");
        let (mut connection, reader) = (open(), open());
        connection.pragma_update(None, "page_size", 16 << 10).expect("large pages");
        configure(&connection).expect("the writer's settings");
        connection.execute_batch("CREATE TABLE events (body BLOB)").expect("a table");
        let mut checkpoints = Checkpoints::of(&connection);
        let mut checkpoints_of = |commits: u32| {
            let (mut made, body) = (0, vec![7; 64 << 10]);
            for _ in 0..commits {
                let transaction = connection.transaction().expect("a transaction");
                transaction.execute("INSERT INTO events VALUES (?1)", [&body]).expect("an event");
                checkpoints.commit(transaction).expect("a commit");
                // As on a disk on which a sync takes no time.
                checkpoints.sync = SyncTime::default();
                let before = checkpoints.last;
                checkpoints.make_if_due(&connection, false);
                made += u32::from(checkpoints.last != before);
            }
            made
        };
        let log_bytes = || std::fs::metadata(folder.join("hookfast.db-wal")).expect("a log").len();
        assert!((4..=8).contains(&checkpoints_of(64)), "four pages and some for each event");
        reader.execute_batch("BEGIN; SELECT count(*) FROM events").expect("a reader");
        let kept_back = checkpoints_of(640);
        assert!((40..=80).contains(&kept_back), "as many as without a reader, and not one for each commit: {kept_back}");
        assert!(log_bytes() > u64::from(LOG_BYTES_MAX));
        reader.execute_batch("COMMIT").expect("the reader ends");
        checkpoints_of(64);
        assert!(log_bytes() <= u64::from(LOG_BYTES_MAX), "{}", log_bytes());
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn what_is_not_written_takes_no_sync() {
        let folder = std::env::temp_dir().join(format!("hookfast-sync-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut connection = Connection::open(folder.join("hookfast.db")).expect("a database");
        configure(&connection).expect("the writer's settings");
        let mut checkpoints = Checkpoints::of(&connection);
        // A write that is no transaction of the writer's is none of its commits either.
        connection.execute_batch("CREATE TABLE events (body BLOB)").expect("a table");
        checkpoints.commit(connection.transaction().expect("a transaction")).expect("a commit");
        assert_eq!(checkpoints.sync.get(), Duration::ZERO);
        let transaction = connection.transaction().expect("a transaction");
        transaction.execute("INSERT INTO events VALUES ('body')", []).expect("an event");
        checkpoints.commit(transaction).expect("a commit");
        assert!(checkpoints.sync.get() > Duration::ZERO && checkpoints.pages > 0);
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_sync_takes_as_long_as_the_shortest_commit_of_late() {
        let mut sync = SyncTime::default();
        assert_eq!(sync.get(), Duration::ZERO);
        [8, 2, 9].map(Duration::from_millis).into_iter().for_each(|commit| sync.note(commit));
        assert_eq!(sync.get(), Duration::from_nanos(2_031_250));
        (0..200).for_each(|_| sync.note(Duration::from_millis(20)));
        assert_eq!(sync.get(), Duration::from_millis(20));
    }
}
