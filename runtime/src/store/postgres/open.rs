//! Opening: the migrations, the settings that make a 2xx true and are read back, the lease, the rescue, the tasks.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate, MigrateError};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::doubt::Doubt;
use super::link::{CONNECT_MAX, Link, STATEMENT_MAX, within};
use super::others::LeftToOthers;
use super::queue::Queue;
use super::settle::Links;
use super::{Node, Postgres, PostgresUrl, admit, keeper, rescue, settle, steps};
use crate::store::admission::{ADMISSION_BYTES_MAX, ADMISSIONS_MAX};
use crate::store::rhythm::{SPACING_OF_ADMISSIONS, SPACING_OF_WORK};
use crate::store::round_robin::RoundRobin;
use crate::store::{Backlog, Found, StoreError, StoreSettings, require_version};

/// Connections for everything but the groups of admissions and settlements, which have their own.
const POOL: u32 = 8;
/// Connections for whoever only looks: a dashboard must not keep a lease from being renewed.
const VIEWS: u32 = 2;
/// How long a caller waits for one of them, and a start for a database that is starting, too.
const ACQUIRE_MAX: Duration = Duration::from_secs(4);
const CONNECT_RETRY: Duration = Duration::from_millis(100);
const FLUSHERS: usize = 2;

/// A lock was waited for as long as `lock_timeout` says (`lock_not_available`).
const LOCK_TIMEOUT: &str = "55P03";
/// There is such a time limit from PostgreSQL 17 on.
const NO_TRANSACTION_TIMEOUT: &str = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

impl Postgres {
    pub(in crate::store) async fn open(url: &PostgresUrl, settings: StoreSettings) -> Result<(Self, Found), StoreError> {
        let options = of_work(&url.0, "on");
        let doubt = Arc::new(Doubt::default());
        if settings.migrates {
            // One node at a time: the migrator holds an advisory lock.
            Self::migrate(url).await?;
        } else {
            check_version(&options).await?;
        }
        let pool = pool(options.clone(), &doubt).await?;
        let views = PgPoolOptions::new().max_connections(VIEWS).acquire_timeout(ACQUIRE_MAX).connect_lazy_with(of_views(&url.0));
        check_durability(&pool).await?;
        let StoreSettings { node: lease, lease: lease_time, clock, random, metrics, slots, .. } = settings;
        let (born_sender, born) = mpsc::unbounded_channel();
        let given = clock.given().map(|now| now.as_millis());
        let mut connection = pool.acquire().await?;
        let rescued = rescue::rescue(&mut connection, lease, given).await?;
        keeper::register(&mut connection, lease, lease_time, given).await?;
        let has_work = sqlx::query("SELECT EXISTS (SELECT FROM jobs)").fetch_one(&mut *connection).await?.get(0);
        drop(connection);
        let link = |options| Link::new(options, Arc::clone(&doubt));
        let node = Arc::new(Node {
            pool,
            views,
            // Until the first look, something may be due.
            backlog: watch::Sender::new(Backlog::from(Some(clock.steady()))),
            metrics,
            random,
            slots,
            lease_time,
            lease: Mutex::new(lease),
            held: Mutex::default(),
            opened_at: clock.steady(),
            may_have_suspects: AtomicBool::new(has_work),
            round_robin: RoundRobin::default(),
            taking: tokio::sync::RwLock::new(()),
            doubt: Arc::clone(&doubt),
            is_writable: AtomicBool::new(true),
            full_at: Mutex::default(),
            admissions: Queue::new(ADMISSIONS_MAX, ADMISSION_BYTES_MAX, SPACING_OF_ADMISSIONS),
            settlements: Arc::new(Queue::new(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS, SPACING_OF_WORK)),
            effects: Arc::new(Queue::new(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS, SPACING_OF_WORK)),
            journal: Queue::new(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS, SPACING_OF_WORK),
            born: born_sender,
            commits: watch::Sender::new(0),
            clock,
            facts: Mutex::default(),
            left_to_others: LeftToOthers::default(),
        });
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        for _ in 0..FLUSHERS {
            tasks.spawn(admit::flush(Arc::clone(&node), link(options.clone())));
        }
        let relaxed = of_work(&url.0, "off");
        for queue in [&node.settlements, &node.effects] {
            let links = Links { synced: link(options.clone()), relaxed: link(relaxed.clone()) };
            tasks.spawn(settle::flush(Arc::clone(&node), Arc::clone(queue), links));
        }
        tasks.spawn(steps::flush(Arc::clone(&node), link(options)));
        tasks.spawn(keeper::keep(Arc::clone(&node), closing.clone()));
        tasks.spawn(keeper::tend(Arc::clone(&node), closing.clone()));
        tasks.spawn(keeper::look_out(Arc::clone(&node), closing.clone()));
        Ok((Self { node, tasks, closing }, Found { born, rescued, has_work }))
    }
}

impl Postgres {
    pub(in crate::store) async fn migrate(url: &PostgresUrl) -> Result<(), StoreError> {
        let mut connection = connect_soon(&of_migrations(&url.0)).await?;
        sqlx::query(NO_TRANSACTION_TIMEOUT).execute(&mut connection).await?;
        wait_for_turn(&mut connection).await?;
        MIGRATIONS.run(&mut connection).await?;
        // Its lock goes with it, however it ends.
        let _ = connection.close().await;
        Ok(())
    }
}

async fn check_version(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = connect_soon(options).await?;
    let found = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(&mut connection).await;
    connection.close().await?;
    require_version(found.unwrap_or_default(), &MIGRATIONS)
}

/// Takes the migrator's own lock first: whoever else migrates is waited for as long as that takes, a table for five seconds only, since others
/// would wait for it behind us.
async fn wait_for_turn(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let mut is_told = false;
    loop {
        match connection.lock().await {
            Err(MigrateError::Execute(error)) if has_code(&error, &[LOCK_TIMEOUT]) => {
                if !std::mem::replace(&mut is_told, true) {
                    info!("another process brings the database's tables up to date; waiting for it");
                }
            }
            locked => return locked,
        }
    }
}

/// A connection to a database that may be just starting; for the error of one that is not, since a pool only says that it has none.
async fn connect_soon(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let begun = Instant::now();
    loop {
        match within(CONNECT_MAX, options.connect()).await {
            Err(error) if is_starting(&error) && begun.elapsed() < ACQUIRE_MAX => tokio::time::sleep(CONNECT_RETRY).await,
            connected => return connected,
        }
    }
}

/// Whether a connection may be had in a moment: nobody listens yet, or says so (`cannot_connect_now`), or too many have one.
fn is_starting(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || has_code(error, &["57P03", "53300"])
}

fn has_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(|refusal| refusal.code()).is_some_and(|code| codes.contains(&&*code))
}

/// A pool heals itself in silence; but a connection that has to be made may be the only sign of a crash, which forgets commits that
/// were not waited for.
async fn pool(options: PgConnectOptions, doubt: &Arc<Doubt>) -> Result<PgPool, sqlx::Error> {
    let doubt = Arc::clone(doubt);
    let pool = PgPoolOptions::new().max_connections(POOL).acquire_timeout(ACQUIRE_MAX);
    let pool = pool.after_connect(move |_, _| {
        doubt.raise();
        Box::pin(std::future::ready(Ok(())))
    });
    pool.connect_with(options).await
}

/// Of any connection.
fn of_any(base: &PgConnectOptions) -> PgConnectOptions {
    base.clone().application_name("hookfast").disable_statement_logging()
}

/// The settings of a connection that looks at much: it may take long, but not for ever.
fn of_views(base: &PgConnectOptions) -> PgConnectOptions {
    of_any(base).options([("statement_timeout", "10s")])
}

/// The settings of a connection that changes tables, for as long as that takes, whatever the role's defaults are.
fn of_migrations(base: &PgConnectOptions) -> PgConnectOptions {
    of_any(base).options([
        ("synchronous_commit", "on"),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "2s"),
        ("lock_timeout", "5s"),
        ("default_transaction_isolation", "read committed"),
    ])
}

/// The settings of a connection that works, whatever the role's defaults are.
fn of_work(base: &PgConnectOptions, synchronous_commit: &str) -> PgConnectOptions {
    // What is given up here must not go on there for much longer.
    let statement_timeout = STATEMENT_MAX.as_millis().to_string();
    of_any(base).options([
        ("synchronous_commit", synchronous_commit),
        ("statement_timeout", &statement_timeout),
        // A node that freezes in a transaction holds up a takeover and the lines that it has locked: for less than others wait for a lock.
        ("idle_in_transaction_session_timeout", "2s"),
        ("lock_timeout", "5s"),
        // Whoever has waited for a line's lock must see what its last holder committed.
        ("default_transaction_isolation", "read committed"),
        // Unnested arrays have no statistics; a generic plan of these statements is as good as any, and is made once.
        ("plan_cache_mode", "force_generic_plan"),
        // It must be one for a million jobs, also where it was made when there were three.
        ("enable_seqscan", "off"),
        // These statements touch few rows; where a limit is a parameter PostgreSQL takes it for a tenth of the table.
        ("jit", "off"),
    ])
}

/// A 2xx says "on disk": a server that would not keep that promise is refused.
async fn check_durability(pool: &PgPool) -> Result<(), StoreError> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let row = sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(pool).await?;
        let found: String = row.get(0);
        let is_durable = found == "on" || (setting == "synchronous_commit" && found == "remote_apply");
        if !is_durable {
            return Err(StoreError::NotDurable { setting, wanted: "on", found });
        }
    }
    Ok(())
}
