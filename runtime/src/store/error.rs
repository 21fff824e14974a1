//! What can go wrong with the store, by who acts on it.

use std::path::PathBuf;

/// What a database said, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Opening or using the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database.
    #[error("another hookfast process uses {}: stop it, or give this one a database of its own (storage.url)", .0.display())]
    InUse(PathBuf),
    /// The lock file could not be made or locked.
    #[error("cannot lock {}", .0.display())]
    Lock(PathBuf, #[source] std::io::Error),
    /// A setting without which a 2xx would be a lie.
    #[error("{setting} is {found} and must be {wanted}: this database would not keep what was acknowledged")]
    NotDurable { setting: &'static str, wanted: &'static str, found: String },
    /// The migrations did not apply.
    #[error("cannot bring the database's tables up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The disk is full or broken, or the database cannot be reached; what was asked may be asked again.
    #[error("the database takes no writes now")]
    Unavailable(#[source] Cause),
    /// The database refused.
    #[error("the database refused")]
    Refused(#[source] Cause),
    /// The tables are those of another version.
    #[error("the database's tables are at version {found} and must be at {wanted}: run `hookfast migrate`")]
    Outdated { found: i64, wanted: i64 },
    /// A query failed.
    #[error("the database could not be read")]
    Read(#[from] sqlx::Error),
    /// The page that is asked for is none that was given.
    #[error("`cursor` is what a page gave as `next_cursor`")]
    Cursor,
    /// A row does not hold what its column must.
    #[error("a row of {table} cannot be read: {what}")]
    Damaged { table: &'static str, what: &'static str },
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

/// Why an event was not stored.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The queue is full, the disk refuses, or the store closes: the sender should try again.
    #[error("the store cannot take more now")]
    Saturated,
    /// The database refuses this one event.
    #[error("the database refuses this event")]
    Unstorable(#[source] Cause),
}

/// Why an outcome was not committed.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The job is no longer this process's at this attempt: whoever has it will settle it.
    #[error("the job is no longer owned at this attempt")]
    Stale,
    /// State is not what the run relied on, or over its quota by now: nothing changed, the job is still owned, and is to be run again.
    #[error("state changed before the outcome could be committed")]
    Conflict,
    /// The store closed first; the job will be rescued.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error.into())
    }
}
