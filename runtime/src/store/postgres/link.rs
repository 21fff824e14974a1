//! One connection of a flusher: made when it is needed, thrown away when it fails, and the judgement of what failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::doubt::Doubt;

/// The longest that a sequence of statements may take before its connection is given up, and that each of them may take in the database;
/// how long a commit waits for a standby is not counted there.
pub(super) const STATEMENT_MAX: Duration = Duration::from_secs(15);
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A connection that was not used for so long is asked first whether it still is one.
const IDLE: Duration = Duration::from_millis(250);

/// A connection that comes back.
pub(super) struct Link {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    used_at: Instant,
    /// Raised whenever a connection is made.
    doubt: Arc<Doubt>,
}

/// What failed: the database as such, or this one statement.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database is away, full, or takes no writes. The statement may have been committed.
    Outage(sqlx::Error),
    /// The database refuses what was asked, and would again.
    Refused(sqlx::Error),
}

impl Link {
    pub(super) fn new(options: PgConnectOptions, doubt: Arc<Doubt>) -> Self {
        Self { options, connection: None, used_at: Instant::now(), doubt }
    }

    /// Runs statements on the connection; one that fails with an outage is not used again.
    pub(super) async fn run<T>(&mut self, statements: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>) -> Result<T, Failure> {
        // Taken out: a connection whose statement was abandoned in the middle must not be used again.
        let connection = match self.connection.take() {
            Some(mut connection) if self.used_at.elapsed() > IDLE => {
                // The database may have been restarted meanwhile: that must not cost a sender its answer.
                within(CONNECT_MAX, connection.ping()).await.ok().map(|()| connection)
            }
            connection => connection,
        };
        let mut connection = match connection {
            Some(connection) => connection,
            None => {
                // The database may have crashed, and with it commits that were not waited for.
                self.doubt.raise();
                within(CONNECT_MAX, self.options.connect()).await.map_err(Failure::Outage)?
            }
        };
        let result = within(STATEMENT_MAX, statements(&mut connection)).await.map_err(Failure::from);
        self.used_at = Instant::now();
        if !matches!(result, Err(Failure::Outage(_))) {
            self.connection = Some(connection);
        }
        result
    }
}

/// Whether the database's disk is full (`disk_full`).
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|refusal| refusal.code()).is_some_and(|code| code == "53100")
}

/// The result, or an outage if it takes longer than `time`.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "PostgreSQL did not answer in time"));
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| Err(late()))
}

impl From<sqlx::Error> for Failure {
    /// By SQLSTATE class (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    fn from(error: sqlx::Error) -> Self {
        let is_outage = match &error {
            sqlx::Error::Database(refusal) => refusal.code().is_none_or(|code| {
                // Connection, read-only transaction (a standby), rollback by deadlock, resources, lock timeout, operator, system.
                ["08", "25006", "40", "53", "55P03", "57", "58"].iter().any(|class| code.starts_with(class))
            }),
            sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => false,
            _ => true,
        };
        if is_outage { Self::Outage(error) } else { Self::Refused(error) }
    }
}
