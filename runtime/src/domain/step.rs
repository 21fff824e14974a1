//! Steps: calls of a job whose first final response is kept, so that no later attempt makes them again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{CallFault, CallFaultKind, OutboundAnswer};

/// A step's name: 1 to 64 of `a-z A-Z 0-9 _ . -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step(String);

impl Step {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Step {
    type Err = CallFault;

    fn from_str(text: &str) -> Result<Self, CallFault> {
        let valid = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        let fault = || CallFault::new(CallFaultKind::InvalidRequest, "a step is 1 to 64 of a-z A-Z 0-9 _ . -");
        if valid { Ok(Self(text.into())) } else { Err(fault()) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A row of a job's journal.
#[derive(Debug, Clone)]
pub struct JournalEntry {
    /// The step.
    pub step: Step,
    /// What is known of it.
    pub state: StepState,
    /// How often a dead letter was replayed after this step's response was a failure: another idempotency key each time.
    pub replays: u32,
}

/// What the journal knows of a step.
#[derive(Debug, Clone)]
pub enum StepState {
    /// Nothing any more: its failure was forgotten for a replay.
    Forgotten,
    /// An attempt was about to make the call; whether it had an effect is not known.
    Begun {
        /// That attempt.
        attempt: u32,
    },
    /// The final response.
    Recorded(RecordedStep),
}

/// A step's final response.
#[derive(Debug, Clone)]
pub struct RecordedStep {
    /// The SHA-256 of the request that was sent.
    pub request: [u8; 32],
    /// Method, upstream and path of that request, for people; no values of its query.
    pub summary: String,
    /// What was answered.
    pub answer: OutboundAnswer,
    /// The attempt that sent it.
    pub attempt: u32,
    /// From the start of the call to the end of the answer.
    pub latency: Duration,
}
