//! The embedded driver: one file, one writer thread that owns the only writing connection, a read-only pool for whoever looks.

mod admit;
mod claim;
mod dedupe;
mod keys;
mod edit;
mod expire;
mod quarantine;
mod inbox;
mod numbers;
mod line;
mod open;
mod operation;
mod read_events;
mod read_work;
mod rescue;
mod settle;
mod state;
mod statements;
mod steps;
mod deliveries;
mod writer;
mod wal;

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sqlx::SqlitePool;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use self::edit::EDIT_BATCH;
use self::inbox::Inbox;
use self::numbers::Numbers;
use self::operation::{Edit, Edited, Noted, Operation, Settlement};
use super::admission::Admission;
use super::work::host_name;
use super::{AdmitError, Backlog, Claimed, DeadFilter, NodeFacts, NodeView, SettleError, StoreError};
use crate::clock::Clock;
use crate::domain::{
    AttemptRecord, Effects, EventId, Job, JournalEntry, Lineage, NodeId, Outcome, PluginName, Refusal, SourceName, Timestamp, UpstreamName,
};

/// An open database.
pub(super) struct Sqlite {
    inbox: Arc<Inbox>,
    numbers: Numbers,
    reads: SqlitePool,
    clock: Clock,
    commits: watch::Receiver<u64>,
    backlog: watch::Receiver<Backlog>,
    node: NodeId,
    opened_at: Timestamp,
    facts: Mutex<NodeFacts>,
    writable: Arc<AtomicBool>,
    may_have_suspects: Arc<AtomicBool>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the database is open: a second process fails loudly.
    _lock: File,
}

impl Sqlite {
    pub(super) fn event_id(&self, received_at: Timestamp, random: [u8; 10]) -> EventId {
        // Where the clock was set back, numbers go on with the time that things come due by: the next process finds it there.
        EventId::numbered(self.numbers.next(received_at.max(self.clock.steady())), random)
    }

    pub(super) fn admit(&self, admission: Admission) -> Result<(), AdmitError> {
        self.inbox.push(Operation::Admit(admission)).map_err(|_| AdmitError::Saturated)
    }

    pub(super) async fn settle(
        &self,
        job: Job,
        outcome: Outcome,
        record: Option<AttemptRecord>,
        effects: Effects,
    ) -> Result<(), SettleError> {
        let (reply, answer) = oneshot::channel();
        let settlement = Settlement { job, outcome, record, effects, reply };
        self.inbox.push(Operation::Settle(Box::new(settlement))).map_err(|_| SettleError::Closed)?;
        answer.await.unwrap_or(Err(SettleError::Closed))
    }

    pub(super) async fn journal(&self, job: Job, entry: JournalEntry) -> Result<(), SettleError> {
        let (reply, answer) = oneshot::channel();
        let noted = Noted { job, entry, reply };
        self.inbox.push(Operation::Journal(Box::new(noted))).map_err(|_| SettleError::Closed)?;
        answer.await.unwrap_or(Err(SettleError::Closed))
    }

    pub(super) async fn claim(&self, places: Vec<OwnedSemaphorePermit>, but: Vec<SourceName>) -> Result<Vec<Claimed>, StoreError> {
        self.ask(|reply| Operation::Claim { places, but, reply }).await
    }

    pub(super) async fn claim_suspect(&self, place: OwnedSemaphorePermit) -> Result<Option<Claimed>, StoreError> {
        self.ask(|reply| Operation::ClaimSuspect { place: Some(place), reply }).await
    }

    pub(super) async fn unpark(&self, plugin: PluginName) -> Result<u64, StoreError> {
        let mut unparked = 0;
        loop {
            let more = self.edit(Edit::Unpark(plugin.clone())).await?.rows();
            unparked += more;
            if more < EDIT_BATCH.into() {
                return Ok(unparked);
            }
        }
    }

    pub(super) async fn unpark_upstream(&self, upstream: UpstreamName, jobs_max: u32) -> Result<u64, StoreError> {
        let mut unparked = 0;
        while unparked < jobs_max.into() {
            let jobs_max = EDIT_BATCH.min(jobs_max - u32::try_from(unparked).unwrap_or(jobs_max));
            let more = self.edit(Edit::UnparkUpstream { upstream: upstream.clone(), jobs_max }).await?.rows();
            unparked += more;
            if more < jobs_max.into() {
                break;
            }
        }
        Ok(unparked)
    }

    pub(super) async fn record_refusals(&self, refusals: Vec<Refusal>) -> Result<(), StoreError> {
        self.edit(Edit::Refusals(refusals)).await.map(drop)
    }

    pub(super) async fn replay_dead(&self, filter: DeadFilter) -> Result<Vec<Lineage>, StoreError> {
        self.move_dead(|| Edit::ReplayDead(filter.clone())).await
    }

    pub(super) async fn discard_dead(&self, filter: DeadFilter, reason: String) -> Result<Vec<Lineage>, StoreError> {
        self.move_dead(|| Edit::DiscardDead(filter.clone(), reason.clone())).await
    }

    /// In rounds, so that admissions are not held up by however many there are.
    async fn move_dead(&self, edit: impl Fn() -> Edit) -> Result<Vec<Lineage>, StoreError> {
        let mut moved = Vec::new();
        loop {
            let more = self.edit(edit()).await?.lineages();
            let is_last = more.len() < EDIT_BATCH as usize;
            moved.extend(more);
            if is_last {
                return Ok(moved);
            }
        }
    }

    pub(super) async fn prune(&self) -> Result<(), StoreError> {
        self.expire_state().await?;
        self.go_through(|after| Edit::Prune { after }).await
    }

    pub(super) async fn expire(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        self.go_through(|after| Edit::Expire { after, cutoff }).await
    }

    /// Through a table in rounds.
    async fn go_through(&self, edit: impl Fn(i64) -> Edit) -> Result<(), StoreError> {
        let mut next = Some(0);
        while let Some(after) = next {
            next = match self.edit(edit(after)).await? {
                Edited::Next(next) => next,
                Edited::Rows(_) | Edited::Lineages(_) => None,
            };
        }
        Ok(())
    }

    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    pub(super) fn backlog(&self) -> watch::Receiver<Backlog> {
        self.backlog.clone()
    }

    pub(super) fn tell(&self, facts: NodeFacts) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = facts;
    }

    /// This one.
    pub(super) async fn nodes(&self) -> Result<Vec<NodeView>, StoreError> {
        let running = u32::try_from(self.job_counts().await?.running).unwrap_or(u32::MAX);
        let NodeFacts { role, configuration, plugins } = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(vec![NodeView {
            id: self.node,
            host: host_name(),
            role: role.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.opened_at,
            lease_ms_left: None,
            running,
            configuration,
            plugins: plugins.into_iter().map(|(name, digest)| (name.to_string(), digest.to_string())).collect(),
        }])
    }

    pub(super) fn may_have_suspects(&self) -> bool {
        self.may_have_suspects.load(Ordering::Relaxed)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    pub(super) async fn close(&self) {
        // The writer's connection is to be the last: it writes the log back and removes it, which one that only reads cannot.
        self.reads.close().await;
        self.inbox.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer was logged by the panic hook; there is nothing left to save.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    async fn edit(&self, edit: Edit) -> Result<Edited, StoreError> {
        self.ask(|reply| Operation::Edit { edit, reply }).await
    }

    async fn ask<T>(&self, operation: impl FnOnce(operation::Reply<T>) -> Operation) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.push(operation(reply)).map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Edited {
    fn rows(self) -> u64 {
        match self {
            Self::Rows(rows) => rows,
            Self::Lineages(lineages) => lineages.len() as u64,
            Self::Next(_) => 0,
        }
    }

    fn lineages(self) -> Vec<Lineage> {
        match self {
            Self::Rows(_) | Self::Next(_) => Vec::new(),
            Self::Lineages(lineages) => lineages,
        }
    }
}
