//! What the model believes of a job, of an event, of a step, of a key of state.

use std::collections::{BTreeMap, BTreeSet};

use hookfast::domain::{EventId, Line, Lineage, Parent, RouteName, Timestamp};

use super::step::Sent;

/// What a job is known by.
pub(super) type JobKey = (EventId, RouteName);

pub(super) fn job_key(lineage: &Lineage) -> JobKey {
    (lineage.event, lineage.route.clone())
}

/// Where the model believes a job to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Believed {
    Ready { due: Timestamp },
    Running,
    Waiting,
    Parked,
    ParkedForUpstream(u8),
    Done,
    Dead,
    Discarded,
}

#[derive(Debug, Clone)]
pub(super) struct ModelJob {
    pub(super) state: Believed,
    pub(super) attempt: u32,
    pub(super) attempts_before: u32,
    pub(super) suspect: bool,
    pub(super) charges: u32,
    /// The numbers of the attempts that are on record. One that ended parked is one with the next.
    pub(super) recorded: BTreeSet<u32>,
    pub(super) line: Option<Line>,
    /// Whether it stands in its line, and so holds it up when it is at its head.
    pub(super) is_in_line: bool,
    /// It is not due before, whenever its turn comes.
    pub(super) not_before: Timestamp,
    /// In what order jobs were admitted.
    pub(super) number: usize,
    /// Whether it last died of a permanent answer.
    pub(super) is_refused: bool,
    /// How often it was replayed after that; of a delivery.
    pub(super) replays: u32,
    pub(super) steps: BTreeMap<String, ModelStep>,
}

#[derive(Debug, Clone)]
pub(super) struct ModelEvent {
    pub(super) sent: Sent,
    pub(super) arrived: Timestamp,
    /// Until it is forgotten.
    pub(super) is_kept: bool,
    pub(super) parent: Option<Parent>,
}

/// A step that was journalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelStep {
    pub(super) state: BelievedStep,
    pub(super) replays: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BelievedStep {
    Forgotten,
    Begun { attempt: u32 },
    Recorded { attempt: u32, status: u16 },
}

/// What is under a key of state, expired or not.
#[derive(Debug, Clone)]
pub(super) struct ModelItem {
    pub(super) value: String,
    pub(super) expires: Option<Timestamp>,
    /// `None` until it was looked up after a write: versions are the store's to choose.
    pub(super) version: Option<u64>,
}

impl ModelJob {
    pub(super) fn new(state: Believed, number: usize, not_before: Timestamp, line: Option<Line>) -> Self {
        Self {
            state,
            attempt: 0,
            attempts_before: 0,
            suspect: false,
            charges: 0,
            recorded: BTreeSet::new(),
            line,
            is_in_line: line.is_some(),
            not_before,
            number,
            is_refused: false,
            replays: 0,
            steps: BTreeMap::new(),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, Believed::Done | Believed::Discarded)
    }
}

impl ModelItem {
    pub(super) fn is_there(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Believed {
    /// The word of the store.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Believed::Ready { .. } => "ready",
            Believed::Running => "running",
            Believed::Waiting => "waiting",
            Believed::Parked | Believed::ParkedForUpstream(_) => "parked",
            Believed::Done => "done",
            Believed::Dead => "dead",
            Believed::Discarded => "discarded",
        }
    }
}

impl BelievedStep {
    /// The word of the store.
    pub(super) fn word(self) -> &'static str {
        match self {
            BelievedStep::Forgotten => "forgotten",
            BelievedStep::Begun { .. } => "begun",
            BelievedStep::Recorded { .. } => "recorded",
        }
    }
}
