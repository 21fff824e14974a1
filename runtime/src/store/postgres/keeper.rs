//! Keeps this node's place in the database: renews its lease, takes another when it was lost, gives back what it took without
//! hearing of it, rescues the jobs of nodes that are gone, and looks for work that other nodes left.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Node;
use super::admit::millis;
use super::link::STATEMENT_MAX;
use super::rescue;
use crate::domain::NodeId;
use crate::store::work::host_name;
use crate::store::{NodeFacts, Rescued, StoreError};

/// So many times a lease is renewed, and those of others are looked at, before it would run out.
const RENEWALS: u32 = 5;
/// How often work is looked for that this node does not know of.
const LOOK: Duration = Duration::from_millis(100);
/// A database that does not renew a lease in so long does not answer. Less than a connection of the pool is waited for.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long statements under way are waited for before what they took is compared: many times what one takes.
const ALONE_WAIT: Duration = Duration::from_millis(100);

/// How long a full disk is left alone before it is tried: senders were told to come back after as long. What is small finds room now
/// and then, and a node that is ready for moments only is of no use.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

const REGISTER: &str =
    "INSERT INTO nodes (id, host, version, started_at, lease_until) VALUES ($1, $2, $3, hookfast_now($4), hookfast_now($4) + $5)";
const RENEW: &str =
    "UPDATE nodes SET lease_until = hookfast_now($2) + $3, running = $4, role = $5, configuration = $6, plugins = $7 WHERE id = $1";
// Not once it has been given up here: jobs that were taken since would be run by two.
const GIVE_BACK: &str = "UPDATE jobs SET state = 'ready', owner = NULL, attempt = attempt - 1 \
     WHERE state = 'running' AND owner = $1 AND NOT (id = ANY($2)) AND extract(epoch FROM clock_timestamp()) < $3";
const NOW: &str = "SELECT extract(epoch FROM clock_timestamp())::float8";

/// Until the store closes.
pub(super) async fn keep(node: Arc<Node>, closing: CancellationToken) {
    let mut renewed = Instant::now();
    while closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let is_in_doubt = node.doubt.is_due() || !node.is_writable.load(Ordering::Relaxed);
        if renewed.elapsed() >= node.lease_time / RENEWALS || is_in_doubt {
            node.survives(node.keep_place()).await;
            renewed = Instant::now();
        }
    }
}

/// The same beside it, since what hangs here must not hold up a renewal: gives back and rescues.
pub(super) async fn tend(node: Arc<Node>, closing: CancellationToken) {
    let mut tended = Instant::now();
    while closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        if tended.elapsed() >= node.lease_time / RENEWALS || node.doubt.is_due() {
            node.survives(node.give_back_and_rescue()).await;
            tended = Instant::now();
        }
    }
}

/// Likewise.
pub(super) async fn look_out(node: Arc<Node>, closing: CancellationToken) {
    while closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        node.survives(async {
            if let Err(error) = node.statements(async |connection| node.look(connection).await).await {
                debug!(%error, "work could not be looked for");
            }
        })
        .await;
    }
}

/// After the last settlement.
pub(super) async fn leave(node: &Node) {
    let lease = node.lease();
    if let Err(error) = node.statements(async |connection| rescue::retire(connection, lease).await).await {
        info!(%error, "this node's lease could not be given back; it runs out by itself");
    }
}

impl Node {
    async fn keep_place(&self) {
        if let Err(error) = self.renew_or_tell().await {
            return warn!(%error, "this node's lease could not be renewed");
        }
        if let Err(error) = self.look_for_room().await {
            debug!(%error, "the database still has no room");
        }
    }

    async fn give_back_and_rescue(&self) {
        let tended = async {
            if self.doubt.is_due() {
                self.give_back_unheard().await?;
            }
            rescue_others(self).await
        };
        match tended.await {
            Ok(rescued) => report(&rescued),
            Err(error) => warn!(%error, "jobs of nodes that are gone could not be looked for"),
        }
    }

    /// From when the database is silent senders are told so at once: they would wait for what may never come.
    async fn renew_or_tell(&self) -> Result<(), StoreError> {
        let mut renewal = pin!(self.renew());
        if let Ok(renewed) = tokio::time::timeout(SILENCE_MAX, renewal.as_mut()).await {
            return renewed;
        }
        self.takes_no_writes(&format!("a lease was not renewed within {SILENCE_MAX:?}"));
        renewal.await
    }

    /// Under the present lease, or under a new one where that was taken away: what ran under the old one is no longer ours.
    async fn renew(&self) -> Result<(), StoreError> {
        let lease = self.lease();
        let given = self.given_now();
        let running = i32::try_from(self.held().len()).unwrap_or(i32::MAX);
        let NodeFacts { role, configuration, plugins } = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let plugins: BTreeMap<_, _> = plugins.iter().map(|(name, digest)| (name.as_str(), digest.to_string())).collect();
        let plugins = serde_json::to_string(&plugins).expect("text by text is JSON");
        let renewed = self.statements(async |connection| {
            let renew = sqlx::query(RENEW).bind(Uuid::from_bytes(*lease.as_bytes())).bind(given).bind(millis(self.lease_time));
            let renew = renew.bind(running).bind(role).bind(configuration).bind(plugins);
            renew.execute(connection).await.map(|done| done.rows_affected())
        });
        if renewed.await? == 1 {
            return Ok(());
        }
        let next = NodeId::new(self.clock.now(), self.random.bytes());
        error!(lost = %lease, node = %next, "this node was silent for longer than its lease and its jobs were taken over; it goes on under a new one");
        self.statements(async |connection| register(connection, next, self.lease_time, given).await).await?;
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Jobs that the database says are ours and that we do not have: a statement took them, and its answer was lost.
    async fn give_back_unheard(&self) -> Result<(), StoreError> {
        // Alone: no statement is on its way that could take more. One that hangs must not hold up all that come after it: whoever waits
        // to be alone makes the others wait. Tried again at the next look.
        let Ok(alone) = tokio::time::timeout(ALONE_WAIT, self.taking.write()).await else { return Ok(()) };
        let lease = self.lease();
        let held: Vec<i64> = self.held().iter().filter(|run| run.owner == lease).map(|run| run.job.0).collect();
        self.doubt.lower();
        let given_back = self.statements(async |connection| {
            let begun = Instant::now();
            let now: f64 = sqlx::query_scalar(NOW).fetch_one(&mut *connection).await?;
            let until = now + STATEMENT_MAX.saturating_sub(begun.elapsed()).as_secs_f64();
            let give_back = sqlx::query(GIVE_BACK).bind(Uuid::from_bytes(*lease.as_bytes())).bind(held).bind(until);
            give_back.execute(connection).await.map(|done| done.rows_affected())
        });
        let jobs = given_back.await.inspect_err(|_| self.doubt.raise())?;
        drop(alone);
        if jobs > 0 {
            info!(jobs, "jobs were given back that were taken while the connection broke");
            self.becomes_due(self.clock.steady());
        }
        self.committed();
        Ok(())
    }

    /// Nobody may be writing because this node says that it is not ready: then it must find out by itself that it is again.
    async fn look_for_room(&self) -> Result<(), StoreError> {
        if self.is_writable.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(full_at) = self.full_at() {
            if full_at.elapsed() < PROBE_INTERVAL {
                return Ok(());
            }
            match self.statements(probe).await {
                // A role that may not make the table cannot find out.
                Ok(()) | Err(StoreError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            *self.full_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.is_writable.store(true, Ordering::Relaxed);
        info!("the database takes writes again");
        Ok(())
    }
}

/// Takes as much space as an event that is not small, and gives it back. In a table that is not logged: where it is the log that has
/// no room, a try would end the whole database.
async fn probe(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("CREATE TEMPORARY TABLE hookfast_disk_probe (space text)").execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO hookfast_disk_probe SELECT repeat('x', 2000) FROM generate_series(1, 128)").execute(&mut *transaction).await?;
    transaction.rollback().await
}

pub(super) async fn register(
    connection: &mut PgConnection,
    node: NodeId,
    lease_time: Duration,
    given: Option<i64>,
) -> Result<(), sqlx::Error> {
    let register = sqlx::query(REGISTER).bind(Uuid::from_bytes(*node.as_bytes())).bind(host_name());
    register.bind(env!("CARGO_PKG_VERSION")).bind(given).bind(millis(lease_time)).execute(connection).await.map(drop)
}

async fn rescue_others(node: &Node) -> Result<Rescued, StoreError> {
    let rescued = node.statements(async |connection| rescue::rescue(connection, node.lease(), node.given_now()).await).await?;
    if rescued != Rescued::default() {
        node.becomes_due(node.clock.steady());
        node.committed();
        node.may_have_suspects.store(true, Ordering::Relaxed);
    }
    Ok(rescued)
}

fn report(rescued: &Rescued) {
    let Rescued { suspects, charged, condemned } = *rescued;
    if suspects > 0 || condemned > 0 {
        warn!(suspects, charged, condemned, "a node died while it ran jobs; they run again, one at a time");
    }
}
