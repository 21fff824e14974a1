//! What the model believes of a job.

use hookfast::domain::{Line, Timestamp};

/// Where the model believes a job to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Believed {
    Ready { due: Timestamp },
    Running,
    Waiting,
    Parked,
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
    /// The numbers of the attempts that are on record.
    pub(super) recorded: Vec<u32>,
    pub(super) arrived: Timestamp,
    /// Until it is forgotten.
    pub(super) is_kept: bool,
    pub(super) line: Option<Line>,
    /// Whether it stands in its line, and so holds it up when it is at its head.
    pub(super) is_in_line: bool,
    /// In what order jobs were admitted.
    pub(super) number: usize,
}

impl ModelJob {
    pub(super) fn new(state: Believed, number: usize, arrived: Timestamp, line: Option<Line>) -> Self {
        Self {
            state,
            attempt: 0,
            attempts_before: 0,
            suspect: false,
            charges: 0,
            recorded: Vec::new(),
            arrived,
            is_kept: true,
            line,
            is_in_line: line.is_some(),
            number,
        }
    }
}

impl Believed {
    /// The word of the store.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Believed::Ready { .. } => "ready",
            Believed::Running => "running",
            Believed::Waiting => "waiting",
            Believed::Parked => "parked",
            Believed::Done => "done",
            Believed::Dead => "dead",
            Believed::Discarded => "discarded",
        }
    }
}
