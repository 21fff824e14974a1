//! The driver for several nodes over one PostgreSQL. Each node holds a lease, a row that it renews; what it runs is its own for as
//! long as that row is there. Writes are grouped: flushers send whatever has gathered as one statement, which is one transaction.

mod url;
mod open;
mod link;
mod doubt;
mod queue;
mod admit;
mod settle;
mod effects;
mod state;
mod emit;
mod deliveries;
mod steps;
mod line;
mod claim;
mod keeper;
mod rescue;
mod edit;
mod quarantine;
mod plugins;
mod nodes;
mod others;
mod read_events;
mod read_work;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, RwLock, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::doubt::Doubt;
use self::others::LeftToOthers;
use self::queue::Queue;
use self::settle::Settlement;
use super::admission::Admission;
use super::rhythm::is_waited_for;
use super::round_robin::RoundRobin;
use super::{AdmitError, Backlog, Claimed, NodeFacts, SettleError, Slots, StoreError};
use crate::clock::Clock;
use crate::domain::{AttemptRecord, Effects, EventId, Job, JobId, NodeId, Outcome, SourceName, Timestamp};
use crate::metrics::Metrics;
use crate::random::Random;

pub use self::url::PostgresUrl;

/// An open database, and the tasks that keep this node's place in it.
pub(super) struct Postgres {
    node: Arc<Node>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// What the driver's tasks and its callers share.
struct Node {
    pool: PgPool,
    /// For whoever looks at much, or for long: no job waits for it.
    views: PgPool,
    clock: Clock,
    metrics: Arc<Metrics>,
    random: Random,
    slots: Slots,
    /// How long the lease is good for without being renewed.
    lease_time: Duration,
    /// The lease that new work is taken under. Another one after this one was lost.
    lease: Mutex<NodeId>,
    /// Runs that this process has in hand. Whatever else the database says it runs was taken by a statement whose answer was lost.
    held: Mutex<HashSet<Run>>,
    opened_at: Timestamp,
    may_have_suspects: AtomicBool,
    round_robin: RoundRobin,
    /// Statements that take jobs hold it shared until their jobs are in `held`; who compares the two holds it alone.
    taking: RwLock<()>,
    /// A statement that takes or settles jobs may have been committed without our hearing of it, or forgotten by a crash.
    doubt: Arc<Doubt>,
    is_writable: AtomicBool,
    /// When the database last said that its disk is full.
    full_at: Mutex<Option<Instant>>,
    admissions: Queue<Admission>,
    settlements: Arc<Queue<Settlement>>,
    /// Settlements with effects: others do not wait for them.
    effects: Arc<Queue<Settlement>>,
    journal: Queue<steps::Entry>,
    born: mpsc::UnboundedSender<Claimed>,
    commits: watch::Sender<u64>,
    backlog: watch::Sender<Backlog>,
    /// What the others are told with the next renewal.
    facts: Mutex<NodeFacts>,
    left_to_others: LeftToOthers,
}

/// One run of a job: the same job taken again is another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Run {
    job: JobId,
    owner: NodeId,
    attempt: u32,
}

impl Run {
    fn of(job: &Job) -> Self {
        Self { job: job.id, owner: job.owner, attempt: job.attempt }
    }
}

impl Postgres {
    pub(super) fn event_id(&self, received_at: Timestamp, random: [u8; 10]) -> EventId {
        EventId::new(received_at, random)
    }

    pub(super) fn admit(&self, admission: Admission) -> Result<(), AdmitError> {
        // Quickly, while the database is away: the queue would only make senders wait for the same answer.
        if !self.is_writable() {
            return Err(AdmitError::Saturated);
        }
        let bytes = admission.bytes();
        self.node.admissions.push(admission, bytes, true).map_err(|_| AdmitError::Saturated)
    }

    pub(super) async fn settle(
        &self,
        job: Job,
        outcome: Outcome,
        record: Option<AttemptRecord>,
        effects: Effects,
    ) -> Result<(), SettleError> {
        let (reply, answer) = oneshot::channel();
        let bytes = record.as_ref().map_or(0, AttemptRecord::bytes) + effects.bytes();
        let queue = if effects.is_empty() { &self.node.settlements } else { &self.node.effects };
        // Who takes turns for a value of state waits for the one before.
        let is_hurried = !effects.is_empty() || is_waited_for(&job, &outcome);
        let settlement = Settlement { job, outcome, record, effects, is_again: false, reply };
        queue.push(settlement, bytes, is_hurried).map_err(|_| SettleError::Closed)?;
        answer.await.unwrap_or(Err(SettleError::Closed))
    }

    pub(super) async fn claim(&self, places: Vec<OwnedSemaphorePermit>, but: Vec<SourceName>) -> Result<Vec<Claimed>, StoreError> {
        self.node.claim(places, &but).await
    }

    pub(super) async fn claim_suspect(&self, place: OwnedSemaphorePermit) -> Result<Option<Claimed>, StoreError> {
        self.node.claim_suspect(place).await
    }

    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        let mut commits = self.node.commits.subscribe();
        // What was committed before counts as news to whoever asks now.
        commits.mark_changed();
        commits
    }

    pub(super) fn backlog(&self) -> watch::Receiver<Backlog> {
        self.node.backlog.subscribe()
    }

    pub(super) fn tell(&self, facts: NodeFacts) {
        *self.node.facts.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    pub(super) fn may_have_suspects(&self) -> bool {
        self.node.may_have_suspects.load(Ordering::Relaxed)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.node.is_writable.load(Ordering::Relaxed)
    }

    /// Commits what waits, gives the lease back and closes the connections.
    pub(super) async fn close(&self) {
        self.node.admissions.close();
        self.node.settlements.close();
        self.node.effects.close();
        self.node.journal.close();
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        keeper::leave(&self.node).await;
        self.node.pool.close().await;
        self.node.views.close().await;
    }
}

impl Node {
    fn lease(&self) -> NodeId {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashSet<Run>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time for a statement: a test's, or none, which is the database's own.
    fn given_now(&self) -> Option<i64> {
        self.clock.given().map(Timestamp::as_millis)
    }

    fn full_at(&self) -> Option<Instant> {
        *self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_full(&self, error: &sqlx::Error) {
        if link::is_full(error) {
            *self.full_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// A mistake of ours that ends in a panic, which the hook has logged, ends this piece of work and not the task: senders hear that it was
    /// not done, and jobs that were being born are given back. Jobs that were being settled stay this node's until it ends, and are rescued as
    /// what may have brought it down.
    async fn survives(&self, work: impl Future<Output = ()>) {
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            self.doubt.raise();
        }
    }

    /// A write was committed.
    fn committed(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    fn becomes_due(&self, at: Timestamp) {
        self.backlog.send_if_modified(|backlog| {
            let sooner = backlog.with(Some(at));
            let is_sooner = sooner != *backlog;
            *backlog = sooner;
            is_sooner
        });
    }
}
