//! One write on its way to the writer thread, and the answer that goes back once it is committed.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::dedupe::Seen;
use crate::domain::{
    AttemptRecord, Effects, Job, JournalEntry, Lineage, Outcome, PluginName, Quarantined, Refusal, SourceName, StepState, Timestamp,
    UpstreamName,
};
use crate::store::admission::Admission;
use crate::store::rhythm::is_waited_for;
use crate::store::round_robin::Stop;
use crate::store::work::Taken;
use crate::store::{Admitted, Backlog, Claimed, DeadFilter, SettleError, StoreError};

/// A write. Everything it needs travels with it, so that a group can be tried again in halves.
pub(super) enum Operation {
    Admit(Admission),
    Settle(Box<Settlement>),
    Journal(Box<Noted>),
    Claim { places: Vec<OwnedSemaphorePermit>, but: Vec<SourceName>, reply: Reply<Vec<Claimed>> },
    ClaimSuspect { place: Option<OwnedSemaphorePermit>, reply: Reply<Option<Claimed>> },
    Edit { edit: Edit, reply: Reply<Edited> },
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// An attempt's end to commit.
pub(super) struct Settlement {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    pub(super) record: Option<AttemptRecord>,
    pub(super) effects: Effects,
    pub(super) reply: oneshot::Sender<Result<(), SettleError>>,
}

/// A step to keep.
pub(super) struct Noted {
    pub(super) job: Job,
    pub(super) entry: JournalEntry,
    pub(super) reply: oneshot::Sender<Result<(), SettleError>>,
}

impl Noted {
    fn bytes(&self) -> usize {
        const REST: usize = 512;
        if let StepState::Recorded(step) = &self.entry.state {
            step.answer.body.len() + step.answer.headers.as_bytes().len() + REST
        } else {
            REST
        }
    }
}

/// The rare writes.
#[derive(Debug)]
pub(super) enum Edit {
    Unpark(PluginName),
    UnparkUpstream { upstream: UpstreamName, jobs_max: u32 },
    Refusals(Vec<Refusal>),
    Quarantine(Vec<Quarantined>),
    Release(Vec<i64>),
    ExpireQuarantine { cutoff: Timestamp },
    ReplayDead(DeadFilter),
    DiscardDead(DeadFilter, String),
    Prune { after: i64 },
    ExpireState,
    Expire { after: i64, cutoff: Timestamp },
}

/// What a rare write did.
#[derive(Debug)]
pub(super) enum Edited {
    Rows(u64),
    Lineages(Vec<Lineage>),
    Next(Option<i64>),
}

/// What applying a write gave, held back until its transaction has committed.
pub(super) enum Applied {
    Admitted(Vec<Admitted>),
    Settled(Result<(), SettleError>),
    Journalled(Result<(), SettleError>),
    Claimed(Vec<Taken>),
    Edited(Edited),
}

/// What a round adds to memory once it is committed.
#[derive(Default)]
pub(super) struct Draft {
    /// The keys of its events, which are written together at its end.
    pub(super) seen: Vec<([u8; 16], Seen)>,
    pub(super) born: Vec<Claimed>,
    pub(super) forget_expired: bool,
    /// Whether an event of this round is answered otherwise than usual.
    pub(super) has_unusual_answer: bool,
    /// The earliest time at which a job became or becomes due through this round.
    pub(super) due: Option<Timestamp>,
    /// Whether a claim of this round saw that no suspect waits.
    pub(super) no_suspects: bool,
    /// What a claim of this round saw left.
    pub(super) left: Option<Backlog>,
    /// Where claims of this round stopped.
    pub(super) stops: Vec<Stop>,
}

impl Draft {
    pub(super) fn becomes_due(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl Operation {
    /// Whether somebody waits for it: a sender, a free place, an operator. For a settlement few do.
    pub(super) fn is_hurried(&self) -> bool {
        if let Self::Settle(settlement) = self { is_waited_for(&settlement.job, &settlement.outcome) } else { true }
    }

    /// About how many bytes it adds to its transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Settle(settlement) => settlement.record.as_ref().map_or(0, AttemptRecord::bytes) + settlement.effects.bytes(),
            Self::Journal(noted) => noted.bytes(),
            _ => self.admission_bytes().unwrap_or(0),
        }
    }

    /// The bytes an admission holds in memory; `None` for other writes.
    pub(super) fn admission_bytes(&self) -> Option<usize> {
        match self {
            Self::Admit(admission) => Some(admission.bytes()),
            _ => None,
        }
    }
}
