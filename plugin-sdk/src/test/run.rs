//! How an attempt ended.

use crate::{Failure, Outcome};
use std::any::Any;
use std::time::Duration;

/// How one attempt ended; made by [`Host::run`](super::Host::run).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a run says nothing until it is checked"]
pub enum Run {
    /// Finished, with the handler's note.
    Done(Option<String>),
    /// Not done; the handler said what to do.
    Failed(Failure),
    /// The handler panicked; the host would run it again.
    Trapped(String),
}

impl Run {
    /// Finished.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// To be run again.
    pub fn is_retry(&self) -> bool {
        matches!(self, Self::Failed(Failure::Retry { .. }))
    }

    /// Finished without effect, as expected.
    pub fn is_discard(&self) -> bool {
        matches!(self, Self::Failed(Failure::Discard(_)))
    }

    /// Given up, kept for a human.
    pub fn is_dead_letter(&self) -> bool {
        matches!(self, Self::Failed(Failure::DeadLetter(_)))
    }

    /// Panicked.
    pub fn is_trap(&self) -> bool {
        matches!(self, Self::Trapped(_))
    }

    /// How long the handler asked to wait before the next attempt.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Failed(Failure::Retry { after, .. }) => *after,
            _ => None,
        }
    }

    /// The note, the reason or the panic message.
    pub fn text(&self) -> &str {
        match self {
            Self::Done(note) => note.as_deref().unwrap_or_default(),
            Self::Failed(Failure::Retry { reason, .. } | Failure::Discard(reason) | Failure::DeadLetter(reason)) => reason,
            Self::Trapped(message) => message,
        }
    }

    pub(super) fn from_outcome(outcome: Outcome) -> Self {
        match outcome {
            Ok(done) => Self::Done(done.0),
            Err(failure) => Self::Failed(failure),
        }
    }

    pub(super) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Trapped(text.unwrap_or_else(|| "a panic without a message".to_owned()))
    }
}
