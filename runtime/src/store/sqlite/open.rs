//! Opening: the lock, the migrations, the settings that make a 2xx true and are read back, the rescue, the threads.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqlitePool};
use tokio::sync::{mpsc, watch};

use super::Sqlite;
use super::dedupe::Window;
use super::inbox::Inbox;
use super::numbers::Numbers;
use super::rescue::rescue;
use super::wal::{Checkpoints, LOG_BYTES_MAX};
use super::writer::Writer;
use crate::store::round_robin::RoundRobin;
use crate::store::{Backlog, Found, StoreError, StoreSettings, require_version};

/// 4 KiB pages halve the rate of 2 KB rows; measured.
const PAGE_BYTES: u32 = 16 << 10;
const READERS: u32 = 4;
const LOCK_TRIES: u32 = 10;
const LOCK_RETRY: Duration = Duration::from_millis(50);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

impl Sqlite {
    pub(in crate::store) async fn open(path: PathBuf, settings: StoreSettings) -> Result<(Self, Found), StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::Lock(folder.to_owned(), error))?;
        }
        let lock = lock_soon(&path).await?;
        keep_private(&path)?;
        if settings.migrates {
            migrate(&path).await?;
        } else {
            check_version(&path).await?;
        }
        let reads = reader_pool(&path).await?;
        let (clock, node) = (settings.clock.clone(), settings.node);
        let (writer, parts, found) =
            tokio::task::spawn_blocking(move || prepare(&path, settings)).await.map_err(|_| StoreError::Closed)??;
        let Parts { inbox, numbers, commits, backlog, writable, may_have_suspects } = parts;
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn({
            let end = End { inbox: Arc::clone(&inbox), writable: Arc::clone(&writable) };
            move || {
                let _end = end;
                writer.run();
            }
        });
        let thread = thread.map_err(|error| StoreError::Lock(PathBuf::from("store-writer"), error))?;
        let opened_at = clock.steady();
        let sqlite = Self {
            inbox,
            numbers,
            reads,
            clock,
            commits,
            backlog,
            node,
            opened_at,
            facts: Mutex::default(),
            writable,
            may_have_suspects,
            writer: Mutex::new(Some(thread)),
            _lock: lock,
        };
        Ok((sqlite, found))
    }
}

impl Sqlite {
    pub(in crate::store) async fn migrate(path: &Path) -> Result<(), StoreError> {
        let _lock = lock_soon(path).await?;
        migrate(path).await
    }
}

/// However the writer's thread ends, nobody waits for it any more and the node is not ready.
struct End {
    inbox: Arc<Inbox>,
    writable: Arc<AtomicBool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.writable.store(false, Ordering::Relaxed);
        self.inbox.abandon();
    }
}

/// What the callers' side keeps of the writer.
struct Parts {
    inbox: Arc<Inbox>,
    numbers: Numbers,
    commits: watch::Receiver<u64>,
    backlog: watch::Receiver<Backlog>,
    writable: Arc<AtomicBool>,
    may_have_suspects: Arc<AtomicBool>,
}

/// The database holds bodies, and what is in quarantine as it came: it is the owner's to read. What SQLite puts beside it has its permissions.
fn keep_private(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    created.map(drop).map_err(|error| StoreError::Lock(path.to_owned(), error))
}

const LAST_NUMBER: &str = "SELECT max(coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT max(id) FROM jobs), 0), \
     coalesce((SELECT max(version) FROM state_usage), 0))";

/// Everything that must be done before the first admission, on the connection that will write.
fn prepare(path: &Path, settings: StoreSettings) -> Result<(Writer, Parts, Found), StoreError> {
    let StoreSettings { node, clock, metrics, slots, rush, dedupe_keys_max, .. } = settings;
    let mut connection = Connection::open(path)?;
    configure(&connection)?;
    let checkpoints = Checkpoints::of(&connection);
    let numbers = Numbers::after(connection.query_row(LAST_NUMBER, [], |row| row.get(0))?);
    clock.run_on_from(numbers.newest());
    let now = clock.steady();
    let rescued = rescue(&mut connection, now)?;
    connection.execute("INSERT INTO boots (node_id, started_at) VALUES (?1, ?2)", params![node.as_bytes(), now.as_millis()])?;
    let boot = connection.last_insert_rowid();
    let window = Window::load(&connection, now, dedupe_keys_max)?;
    let inbox = Arc::new(Inbox::new(rush.clone()));
    rush.when_over({
        let inbox = Arc::clone(&inbox);
        move || inbox.rush_is_over()
    });
    let (born_sender, born) = mpsc::unbounded_channel();
    let (commits_sender, commits) = watch::channel(0);
    // Until the first claim has looked, something may be due.
    let (backlog_sender, backlog) = watch::channel(Backlog::from(Some(now)));
    let has_work = connection.query_row("SELECT EXISTS (SELECT 1 FROM jobs)", [], |row| row.get(0))?;
    let writable = Arc::new(AtomicBool::new(true));
    let suspects = "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'ready' AND suspect = 1)";
    let may_have_suspects = Arc::new(AtomicBool::new(connection.query_row(suspects, [], |row| row.get(0))?));
    let writer = Writer {
        refused_at: None,
        opened_at: now,
        may_have_suspects: Arc::clone(&may_have_suspects),
        node,
        connection,
        checkpoints,
        inbox: Arc::clone(&inbox),
        clock,
        metrics,
        slots,
        born: born_sender,
        commits: commits_sender,
        writable: Arc::clone(&writable),
        window,
        boot,
        numbers: numbers.clone(),
        backlog: backlog_sender,
        round_robin: RoundRobin::default(),
        deferred: Vec::new(),
    };
    Ok((writer, Parts { inbox, numbers, commits, backlog, writable, may_have_suspects }, Found { born, rescued, has_work }))
}

/// So many pages, 16 MiB, a transaction may change in memory: four times what a group brings.
const CACHE_SPILL_PAGES: u32 = 1024;

pub(super) fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Rows come at one edge of their tables and leave at the other: twice as many pages made nothing faster, half as many took a sixth of
    // the rate of events with jobs. A transaction may take more, rather than write what it will write again.
    connection.pragma_update(None, "cache_size", -8_000)?;
    connection.pragma_update(None, "cache_spill", CACHE_SPILL_PAGES)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else SQLite prepares a statement anew whenever another value is bound to its LIMIT, in case another plan were better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    require("journal_mode", "wal", journal)?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    require("synchronous", "2", synchronous.to_string())
}

fn require(setting: &'static str, wanted: &'static str, found: String) -> Result<(), StoreError> {
    if found == wanted { Ok(()) } else { Err(StoreError::NotDurable { setting, wanted, found }) }
}

/// The lock, also where whoever had it is just letting go: a process that ends, or a child that was forked and has not begun yet.
async fn lock_soon(path: &Path) -> Result<File, StoreError> {
    for _ in 0..LOCK_TRIES {
        match lock(path) {
            Err(StoreError::InUse(_)) => tokio::time::sleep(LOCK_RETRY).await,
            locked => return locked,
        }
    }
    lock(path)
}

/// An exclusive lock on `<database>.lock`, given back by the operating system when the process ends however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
    let file = file.map_err(|error| StoreError::Lock(lock_path.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::Lock(lock_path, error)),
    }
}

async fn migrate(path: &Path) -> Result<(), StoreError> {
    let options = options(path).create_if_missing(true).page_size(PAGE_BYTES).journal_mode(SqliteJournalMode::Wal);
    let mut connection = options.synchronous(SqliteSynchronous::Full).connect().await?;
    MIGRATIONS.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn check_version(path: &Path) -> Result<(), StoreError> {
    let mut connection = options(path).create_if_missing(true).page_size(PAGE_BYTES).connect().await?;
    let found = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(&mut connection).await;
    connection.close().await?;
    require_version(found.unwrap_or_default(), &MIGRATIONS)
}

async fn reader_pool(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path).read_only(true).pragma("query_only", "1");
    Ok(SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(5)).disable_statement_logging()
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;
    use sqlx::SqliteConnection;
    use sqlx::migrate::Migrator;

    use super::*;
    use crate::domain::Timestamp;
    use crate::store::sqlite::dedupe::Seen;
    use crate::store::sqlite::statements::Statements;

    /// The last version whose checks looked values up in lists, and that had a row for each key.
    const BEFORE: i64 = 9;

    async fn insert_job(database: &mut SqliteConnection, state: &str) -> Result<(), sqlx::Error> {
        let (owner, reason, line) = match state {
            "running" => (Some(1), None, None),
            "parked" => (None, Some("plugin_missing"), None),
            "waiting" => (None, None, Some(vec![0; 16])),
            _ => (None, None, None),
        };
        let job = "INSERT INTO jobs (event_seq, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, owner, park_reason, \
             suspect, charges, line) VALUES (1, 's', 'r', 'p', ?1, 0, 0, 0, 0, ?2, ?3, 0, 0, ?4)";
        sqlx::query(job).bind(state.to_owned()).bind(owner).bind(reason).bind(line).execute(database).await.map(drop)
    }

    #[test]
    fn sqlite_is_built_as_it_is_meant_to_be() {
        let connection = Connection::open_in_memory().expect("a database");
        let mut options = connection.prepare("PRAGMA compile_options").expect("a statement");
        let options = options.query_map([], |row| row.get(0)).expect("rows").collect::<Result<Vec<String>, _>>().expect("options");
        let has = |option: &str| options.iter().any(|own| own == option);
        let as_meant = has("DEFAULT_MEMSTATUS=0") && !has("ENABLE_MEMORY_MANAGEMENT");
        assert!(as_meant, "LIBSQLITE3_FLAGS of .cargo/config.toml did not reach its build; build from within the repository: {options:?}");
    }

    #[test]
    fn a_statement_is_not_prepared_anew_for_another_limit() {
        let folder = std::env::temp_dir().join(format!("hookfast-prepared-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let connection = Connection::open(folder.join("hookfast.db")).expect("a database");
        connection.execute_batch("CREATE TABLE jobs (id INTEGER PRIMARY KEY)").expect("a table");
        let again = |connection: &Connection| {
            let mut statement = connection.prepare("SELECT id FROM jobs ORDER BY id LIMIT ?1").expect("a statement");
            for limit in 1..4 {
                assert!(statement.query([limit]).expect("rows").next().expect("none").is_none());
            }
            statement.get_status(StatementStatus::RePrepare)
        };
        assert_ne!(again(&connection), 0, "SQLite does not do so any more by itself");
        configure(&connection).expect("the writer's settings");
        assert_eq!(again(&connection), 0);
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_database_of_the_version_before_keeps_its_keys_and_its_checks() {
        let folder = std::env::temp_dir().join(format!("hookfast-upgrade-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("hookfast.db");
        let earlier: Vec<_> = MIGRATIONS.iter().filter(|migration| migration.version <= BEFORE).cloned().collect();
        let mut database = options(&path).create_if_missing(true).page_size(PAGE_BYTES).connect().await.expect("a database");
        Migrator { migrations: earlier.into(), ..Migrator::DEFAULT }.run(&mut database).await.expect("its tables");
        let key = "INSERT INTO dedupe_keys (hash, body_hash, event_id, expires_at) VALUES (?1, ?2, ?3, ?4)";
        // With bytes that are no text, and those that end one in C.
        for (hash, expires_at) in [([0; 16], 2_000), ([0xff; 16], i64::MAX), (*b"0123456789abcdef", 1_000)] {
            let values = sqlx::query(key).bind(hash.to_vec()).bind(vec![0xc3; 8]).bind([0_u8, 1, 0xfe, 0x80].repeat(4)).bind(expires_at);
            values.execute(&mut database).await.expect("a key");
        }
        insert_job(&mut database, "ready").await.expect("a job");
        database.close().await.expect("closed");

        migrate(&path).await.expect("the newest tables");
        let connection = Connection::open(&path).expect("a database");
        let window = Window::load(&connection, Timestamp::from_millis(1_500), 10).expect("the keys");
        let statements = Statements::of(&connection);
        let seen = |hash| window.seen(&statements, &hash, Timestamp::from_millis(1_500)).expect("an answer");
        let known = |expires_at| {
            Some(Seen::new([0, 1, 0xfe, 0x80].repeat(4).try_into().expect("16"), [0xc3; 8], Timestamp::from_millis(expires_at)))
        };
        assert_eq!([seen([0; 16]), seen([0xff; 16]), seen(*b"0123456789abcdef")], [known(2_000), known(i64::MAX), None]);
        let checked: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
        assert_eq!(checked, "ok");

        let mut database = options(&path).connect().await.expect("a database");
        for state in ["ready", "running", "waiting", "parked"] {
            insert_job(&mut database, state).await.expect(state);
        }
        let refused = insert_job(&mut database, "lost").await.expect_err("a state that there is not").to_string();
        assert!(refused.contains("CHECK constraint failed: state = 'ready'"), "{refused}");
        let checks = "SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%state IN (%' OR sql LIKE '%outcome IN (%'";
        assert_eq!(sqlx::query_scalar::<_, i64>(checks).fetch_one(&mut database).await.expect("a count"), 0);
        database.close().await.expect("closed");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
