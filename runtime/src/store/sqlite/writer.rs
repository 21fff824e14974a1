//! The writer thread: the only writing connection, and the group commit. Applies whatever waits in one transaction, syncs,
//! and only then answers. A group that the database refuses is halved until the culprit stands alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::dedupe::{Seen, Window};
use super::inbox::Inbox;
use super::numbers::Numbers;
use super::operation::{Applied, Draft, Operation, Settlement};
use super::statements::Statements;
use super::wal::Checkpoints;
use super::{admit, claim, edit, settle, steps};
use crate::clock::Clock;
use crate::domain::{DeadReason, Effects, NodeId, Outcome, Timestamp};
use crate::metrics::Metrics;
use crate::store::round_robin::RoundRobin;
use crate::store::{AdmitError, Backlog, Claimed, SettleError, Slots, StoreError};

/// How long settlements that a full disk refused wait for the next try.
const DISK_RETRY: Duration = Duration::from_millis(500);

/// How long a disk that refused writes is left alone before it is tried: senders were told to come back after as long. A nearly full
/// disk takes a write now and then, and a node that is ready for moments only is of no use.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// As much as an event takes that is not small.
const PROBE_BYTES: i64 = 256 << 10;

/// The thread's state.
pub(super) struct Writer {
    /// When the disk last refused a write; `None` while it takes them.
    pub(super) refused_at: Option<Instant>,
    pub(super) opened_at: Timestamp,
    pub(super) may_have_suspects: Arc<AtomicBool>,
    pub(super) node: NodeId,
    pub(super) connection: Connection,
    pub(super) checkpoints: Checkpoints,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slots: Slots,
    pub(super) born: mpsc::UnboundedSender<Claimed>,
    pub(super) commits: watch::Sender<u64>,
    pub(super) writable: Arc<AtomicBool>,
    pub(super) window: Window,
    /// This start of the server, in the database.
    pub(super) boot: i64,
    pub(super) numbers: Numbers,
    /// What waits in the database. While something is due, a new job queues behind it.
    pub(super) backlog: watch::Sender<Backlog>,
    pub(super) round_robin: RoundRobin,
    /// Settlements that a full disk refused: they must not be lost, so they go first next time.
    pub(super) deferred: Vec<Operation>,
}

/// What the functions that apply one write see.
pub(super) struct Round<'a> {
    pub(super) opened_at: Timestamp,
    pub(super) node: NodeId,
    pub(super) statements: Statements<'a>,
    pub(super) now: Timestamp,
    pub(super) boot: i64,
    pub(super) numbers: &'a Numbers,
    pub(super) draft: Draft,
    pub(super) window: &'a Window,
    pub(super) in_round: HashMap<[u8; 16], Seen>,
    pub(super) slots: &'a Slots,
    pub(super) round_robin: &'a RoundRobin,
    pub(super) may_be_born: bool,
}

impl Writer {
    /// Runs until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        let mut last_start = Instant::now();
        loop {
            let patience = match (self.deferred.is_empty(), self.refused_at) {
                (false, _) => Some(DISK_RETRY),
                (true, Some(_)) => Some(PROBE_INTERVAL),
                (true, None) => None,
            };
            let Some(arrived) = self.inbox.next_batch(last_start, patience) else { break };
            last_start = Instant::now();
            let mut batch = std::mem::take(&mut self.deferred);
            batch.extend(arrived);
            if !batch.is_empty() {
                self.round(batch);
                self.checkpoints.make_if_due(&self.connection, self.inbox.is_rush());
            }
            if self.refused_at.is_some_and(|refused_at| refused_at.elapsed() >= PROBE_INTERVAL) {
                self.probe();
            }
        }
        // A disk that still refuses cannot keep the process from ending: these jobs are rescued at the next start.
        let last = std::mem::take(&mut self.deferred);
        if !last.is_empty() {
            self.round(last);
        }
    }

    fn round(&mut self, mut batch: Vec<Operation>) {
        let started = Instant::now();
        match self.commit(&batch) {
            Ok((applied, draft)) => {
                self.metrics.commit(started.elapsed(), batch.len());
                // A settlement is small, and says nothing of whether there is room for an event.
                if batch.iter().any(|operation| matches!(operation, Operation::Admit(_))) {
                    self.takes_writes_again();
                }
                self.after_commit(draft);
                for (operation, applied) in batch.into_iter().zip(applied) {
                    answer(operation, applied);
                }
                self.commits.send_modify(|count| *count += 1);
            }
            Err(error) if is_disk_trouble(&error) => self.refuse(batch, &error),
            Err(_) if batch.len() > 1 => {
                let second = batch.split_off(batch.len() / 2);
                self.round(batch);
                self.round(second);
            }
            Err(error) => batch.into_iter().for_each(|culprit| self.blame(culprit, error_again(&error))),
        }
    }

    fn commit(&mut self, batch: &[Operation]) -> Result<(Vec<Applied>, Draft), rusqlite::Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut round = Round {
            node: self.node,
            opened_at: self.opened_at,
            statements: Statements::of(&transaction),
            now: self.clock.steady(),
            boot: self.boot,
            numbers: &self.numbers,
            draft: Draft::default(),
            window: &self.window,
            in_round: HashMap::new(),
            slots: &self.slots,
            round_robin: &self.round_robin,
            may_be_born: !self.backlog.borrow().is_due(self.clock.steady()),
        };
        let applied = batch.iter().map(|operation| round.apply(operation)).collect::<Result<Vec<_>, _>>()?;
        self.window.write(&round.statements, &round.draft.seen)?;
        let draft = std::mem::take(&mut round.draft);
        drop(round);
        self.checkpoints.commit(transaction)?;
        Ok((applied, draft))
    }

    /// Nobody may be writing because this node says that it is not ready: then it must find out by itself that it is again.
    fn probe(&mut self) {
        let written = self.connection.execute("INSERT INTO disk_probe (space) VALUES (zeroblob(?1))", [PROBE_BYTES]);
        if written.and_then(|_| self.connection.execute("DELETE FROM disk_probe", [])).is_ok() {
            self.takes_writes_again();
        } else {
            self.refused_at = Some(Instant::now());
        }
    }

    fn takes_writes_again(&mut self) {
        self.refused_at = None;
        if !self.writable.swap(true, Ordering::Relaxed) {
            info!("the database's disk takes writes again");
        }
    }

    fn after_commit(&mut self, draft: Draft) {
        self.window.remember(&draft.seen);
        if draft.has_unusual_answer {
            self.window.note_unusual_answer();
        }
        for claimed in draft.born {
            // The receiver is gone only while the worker ends: the job stays owned and is rescued at the next start.
            let _ = self.born.send(claimed);
        }
        draft.stops.into_iter().for_each(|stop| self.round_robin.note(stop));
        if draft.no_suspects {
            self.may_have_suspects.store(false, Ordering::Relaxed);
        }
        if draft.forget_expired {
            self.window.forget_expired(self.clock.steady());
        }
        if draft.left.is_some() || draft.due.is_some() {
            self.backlog.send_modify(|backlog| *backlog = draft.left.unwrap_or(*backlog).with(draft.due));
        }
    }

    /// The disk takes nothing now: admissions are told to come back, settlements wait, the rest is told so.
    fn refuse(&mut self, batch: Vec<Operation>, error: &rusqlite::Error) {
        self.refused_at = Some(Instant::now());
        if self.writable.swap(false, Ordering::Relaxed) {
            error!(%error, "the database's disk refuses writes; admissions are answered 503 until it takes them again");
        }
        self.connection.flush_prepared_statement_cache();
        for operation in batch {
            match operation {
                Operation::Admit(admission) => admission.answer(Err(AdmitError::Saturated)),
                Operation::Settle(_) | Operation::Journal(_) => self.deferred.push(operation),
                Operation::Claim { reply, .. } => drop(reply.send(Err(StoreError::Unavailable(error_again(error).into())))),
                Operation::ClaimSuspect { reply, .. } => drop(reply.send(Err(StoreError::Unavailable(error_again(error).into())))),
                Operation::Edit { reply, .. } => drop(reply.send(Err(StoreError::Unavailable(error_again(error).into())))),
            }
        }
    }

    /// One write that the database refuses by itself: an event is refused, a settlement becomes a dead letter.
    fn blame(&mut self, culprit: Operation, error: rusqlite::Error) {
        match culprit {
            // A disk that is failing can look so. It is not the event's fault: its sender is told to come back.
            Operation::Admit(_) if is_damage(&error) => self.refuse(vec![culprit], &error),
            Operation::Admit(admission) => admission.answer(Err(AdmitError::Unstorable(error.into()))),
            Operation::Settle(settlement) if is_unstorable(&settlement) => {
                error!(%error, event = %settlement.job.lineage.event, lineage = %settlement.job.lineage, "a job could not be settled; it will be rescued at the next start");
                drop(settlement.reply.send(Err(SettleError::Stale)));
            }
            Operation::Settle(settlement) => {
                warn!(%error, event = %settlement.job.lineage.event, lineage = %settlement.job.lineage, "the database refuses this settlement; the job becomes a dead letter");
                self.round(vec![Operation::Settle(Box::new(unstorable(*settlement)))]);
            }
            Operation::Journal(noted) => {
                error!(%error, event = %noted.job.lineage.event, lineage = %noted.job.lineage, step = %noted.entry.step, "the database refuses a step");
                drop(noted.reply.send(Err(SettleError::Stale)));
            }
            Operation::Claim { reply, .. } => drop(reply.send(Err(StoreError::Refused(error.into())))),
            Operation::ClaimSuspect { reply, .. } => drop(reply.send(Err(StoreError::Refused(error.into())))),
            Operation::Edit { reply, .. } => drop(reply.send(Err(StoreError::Refused(error.into())))),
        }
    }
}

impl Round<'_> {
    fn apply(&mut self, operation: &Operation) -> Result<Applied, rusqlite::Error> {
        match operation {
            Operation::Admit(admission) => {
                let admitted = admission.events.iter().map(|new| admit::apply(self, new));
                admitted.collect::<Result<_, _>>().map(Applied::Admitted)
            }
            Operation::Settle(settlement) => settle::apply(self, settlement).map(Applied::Settled),
            Operation::Journal(noted) => steps::keep(self, &noted.job, &noted.entry).map(Applied::Journalled),
            Operation::Claim { places, but, .. } => claim::apply(self, places.len(), but),
            Operation::ClaimSuspect { .. } => claim::apply_suspect(self),
            Operation::Edit { edit, .. } => edit::apply(self, edit).map(Applied::Edited),
        }
    }
}

fn answer(operation: Operation, applied: Applied) {
    // A caller that no longer waits has lost nothing: what it asked for is committed.
    match (operation, applied) {
        (Operation::Admit(admission), Applied::Admitted(admitted)) => admission.answer(Ok(admitted)),
        (Operation::Settle(settlement), Applied::Settled(result)) => drop(settlement.reply.send(result)),
        (Operation::Journal(noted), Applied::Journalled(result)) => drop(noted.reply.send(result)),
        (Operation::Claim { places, reply, .. }, Applied::Claimed(found)) => {
            let _ = reply.send(Ok(found.into_iter().zip(places).map(|(taken, place)| taken.at(place)).collect()));
        }
        (Operation::ClaimSuspect { place, reply }, Applied::Claimed(found)) => {
            let _ = reply.send(Ok(found.into_iter().zip(place).map(|(taken, place)| taken.at(place)).last()));
        }
        (Operation::Edit { reply, .. }, Applied::Edited(edited)) => drop(reply.send(Ok(edited))),
        _ => unreachable!("each write is applied as what it is"),
    }
}

fn unstorable(settlement: Settlement) -> Settlement {
    let reason = "the database refused this attempt's outcome; see the server's log".to_owned();
    let outcome = Outcome::Dead { cause: DeadReason::Unstorable, reason };
    Settlement { outcome, record: None, effects: Effects::default(), ..settlement }
}

fn is_unstorable(settlement: &Settlement) -> bool {
    matches!(settlement.outcome, Outcome::Dead { cause: DeadReason::Unstorable, .. })
}

/// Whether the disk, and not the write, is at fault: then no half of the group would fare better.
fn is_disk_trouble(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DatabaseBusy, DiskFull, FileLockingProtocolFailed, OutOfMemory, ReadOnly, SystemIoFailure};
    let trouble = [CannotOpen, DatabaseBusy, DiskFull, FileLockingProtocolFailed, OutOfMemory, ReadOnly, SystemIoFailure];
    error.sqlite_error_code().is_some_and(|code| trouble.contains(&code))
}

/// Whether what was read is no database: then others of the group may have read another part of it.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The same failure for another caller; `rusqlite::Error` cannot be cloned.
fn error_again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}
