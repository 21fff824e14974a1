//! Keeps the write-ahead log small. A thread of its own writes it back into the database while further commits are made: that takes two
//! syncs and megabytes, in which nobody would be answered. SQLite begins the log anew once all of it is written back, which while commits
//! follow each other it never is: so where the log has become long, the writer's thread writes back what the other one has left, which is
//! little. It does so once everybody whose write is in the log has been answered, and not, as SQLite by itself would, between a
//! transaction's sync and its end.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tracing::warn;

use crate::store::StoreError;

/// So many pages of 16 KiB are worth writing back: 1 MiB.
const PAGES_MIN: u32 = 64;
/// As many in a rush, 4 MiB: a page that changes with each commit is then copied less often.
const PAGES_MIN_IN_A_RUSH: u32 = 256;
/// A log of so many pages, 64 MiB, is to begin anew: the seldomer, the fewer senders wait for it.
const PAGES_LONG: u32 = 4096;
/// Past so many, 256 MiB, the writer waits for the other thread: the disk takes commits faster than it takes them twice.
const PAGES_MAX: u32 = 16384;

thread_local! {
    /// The log's pages as of this thread's last commit.
    static PAGES: Cell<u32> = const { Cell::new(0) };
}

/// The writer's side of it.
pub(super) struct Checkpoints {
    /// How long the log was when the other thread was last asked; 0 where the log has begun anew since.
    asked_at: u32,
    is_under_way: bool,
    /// `None` once it is to end.
    begin: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Starts the thread, and counts the pages that commits on `own` leave in the log, in place of SQLite's own checkpoints. To be called
    /// for a connection before any of its commits.
    pub(super) fn start(path: &Path, own: &Connection) -> Result<Self, StoreError> {
        own.wal_hook(Some(|_, pages| {
            PAGES.set(u32::try_from(pages).unwrap_or_default());
            Ok(())
        }));
        let other = Connection::open(path)?;
        other.busy_timeout(Duration::from_secs(5))?;
        // As for commits: the log is not written over before the database is synced.
        other.pragma_update(None, "synchronous", "FULL")?;
        let ((begin, begins), (end, ended)) = (mpsc::channel(), mpsc::channel());
        let thread = std::thread::Builder::new().name("store-wal".into()).spawn(move || {
            for () in begins {
                write_back(&other);
                let _ = end.send(());
            }
        });
        let thread = thread.map_err(|error| StoreError::Lock(path.to_owned(), error))?;
        Ok(Self { asked_at: 0, is_under_way: false, begin: Some(begin), ended, thread: Some(thread) })
    }

    /// Sees to it, after a commit on `own`, that the log is written back where there is enough of it.
    pub(super) fn after_commit(&mut self, own: &Connection, is_rush: bool) {
        let pages = PAGES.get();
        if pages < self.asked_at {
            self.asked_at = 0;
        }
        if self.is_under_way && pages < PAGES_MAX {
            self.is_under_way = matches!(self.ended.try_recv(), Err(TryRecvError::Empty));
        } else {
            self.wait();
        }
        let enough = if is_rush { PAGES_MIN_IN_A_RUSH } else { PAGES_MIN };
        if self.is_under_way || pages < self.asked_at + enough {
            return;
        }
        if self.asked_at > 0 && pages >= PAGES_LONG {
            self.begin_anew(own);
        } else {
            self.asked_at = pages;
            self.is_under_way = self.begin.as_ref().is_some_and(|begin| begin.send(()).is_ok());
        }
    }

    /// Writes back all of the log, so that the next commit writes over it: also on a disk that has no space for a longer one.
    pub(super) fn begin_anew(&mut self, own: &Connection) {
        self.wait();
        write_back(own);
        // Where a reader has kept the log as it is, the other thread has the next turn.
        self.asked_at = 0;
    }

    fn wait(&mut self) {
        if self.is_under_way {
            // Where the thread is gone, nothing is under way either.
            let _ = self.ended.recv();
            self.is_under_way = false;
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.begin = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Passive: what a reader still needs stays in the log until the next time.
fn write_back(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        warn!(%error, "the write-ahead log could not be written back; it grows until it can");
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const PAGE_BYTES: u32 = 512;

    struct Database {
        folder: PathBuf,
        own: Connection,
        checkpoints: Checkpoints,
    }

    impl Database {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("hookfast-wal-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            let path = folder.join("a.db");
            let own = Connection::open(&path).expect("a database");
            own.pragma_update(None, "page_size", PAGE_BYTES).expect("pages");
            own.pragma_update(None, "journal_mode", "WAL").expect("a log");
            // So that commits are faster than what is written back with two syncs.
            own.pragma_update(None, "synchronous", "OFF").expect("no syncs");
            let checkpoints = Checkpoints::start(&path, &own).expect("a thread");
            own.execute_batch("CREATE TABLE events (body BLOB)").expect("a table");
            Self { folder, own, checkpoints }
        }

        /// Of at least two pages.
        fn commit(&self) {
            self.own.execute("INSERT INTO events VALUES (zeroblob(400))", []).expect("a commit");
        }

        fn log_pages(&self) -> u64 {
            let frame = u64::from(PAGE_BYTES + 24);
            self.folder.join("a.db-wal").metadata().expect("a log").len() / frame
        }

        /// All is there.
        fn end(self, commits: u32) {
            let Self { folder, own, checkpoints } = self;
            drop(checkpoints);
            let ask = |sql| own.query_row(sql, [], |row| row.get::<_, String>(0)).expect("an answer");
            assert_eq!((ask("SELECT count(*) || '' FROM events"), ask("PRAGMA integrity_check")), (commits.to_string(), "ok".to_owned()));
            drop(own);
            std::fs::remove_dir_all(folder).expect("removed");
        }
    }

    #[test]
    fn the_log_is_never_longer_than_it_may_be() {
        let mut database = Database::new("long");
        for _ in 0..20_000 {
            database.commit();
            database.checkpoints.after_commit(&database.own, false);
        }
        // As long as it ever was, since it is not cut.
        assert!(database.log_pages() < u64::from(PAGES_MAX) + 10, "{} pages", database.log_pages());
        database.end(20_000);
    }

    #[test]
    fn a_log_that_begins_anew_needs_no_space() {
        let mut database = Database::new("anew");
        for _ in 0..300 {
            database.commit();
            database.checkpoints.after_commit(&database.own, false);
        }
        database.checkpoints.begin_anew(&database.own);
        let pages = database.log_pages();
        (0..20).for_each(|_| database.commit());
        assert_eq!(database.log_pages(), pages);
        database.end(320);
    }
}
