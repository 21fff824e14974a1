//! The work owed for an event, and the legal moves of its state.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Lineage, PluginName, SourceName, Timestamp};

/// A job's number in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub i64);

/// One piece of owed work: run a plugin for an event.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Event and route: what all runs of this job have in common.
    pub lineage: Lineage,
    /// The source, whose policies apply.
    pub source: SourceName,
    /// The plugin that handles it.
    pub plugin: PluginName,
    /// Which attempt this run is, from 1; counts on over rescues and dead-letter replays.
    pub attempt: u32,
    /// The attempts that do not count against the retry policy: those a crash ended, those before a dead-letter replay.
    pub attempts_before: u32,
    /// When the present budget began: the event's arrival, or the replay.
    pub owed_since: Timestamp,
}

/// Where a live job stands. Finished jobs leave the live table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// May run once its due time has come.
    Ready,
    /// Is being run by its owner.
    Running,
    /// Waits for something that is not time: its plugin to be loaded.
    Parked,
    /// Finished: the handler succeeded.
    Done,
    /// Finished: given up, kept as a dead letter.
    Dead,
    /// Finished: the handler, or the operator, did not want it.
    Discarded,
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobMove {
    /// A node takes it.
    Claim,
    /// Its attempt ends in success.
    Finish,
    /// Its attempt ends in a failure that may pass.
    Retry,
    /// It is given up.
    Bury,
    /// It is not wanted.
    Discard,
    /// It cannot run now, for a reason that is not time.
    Park,
    /// What it waited for is there.
    Unpark,
    /// Its owner died.
    Rescue,
    /// Its dead letter is replayed.
    Replay,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 6] = [Self::Ready, Self::Running, Self::Parked, Self::Done, Self::Dead, Self::Discarded];

    /// The state after a move; `None` where the move is illegal.
    pub fn after(self, step: JobMove) -> Option<Self> {
        match (self, step) {
            (Self::Ready, JobMove::Claim) => Some(Self::Running),
            (Self::Running, JobMove::Finish) => Some(Self::Done),
            (Self::Running, JobMove::Retry | JobMove::Rescue) => Some(Self::Ready),
            (Self::Running, JobMove::Bury) => Some(Self::Dead),
            (Self::Running, JobMove::Discard) => Some(Self::Discarded),
            (Self::Running, JobMove::Park) => Some(Self::Parked),
            (Self::Parked, JobMove::Unpark) => Some(Self::Ready),
            (Self::Dead, JobMove::Replay) => Some(Self::Ready),
            (Self::Dead, JobMove::Discard) => Some(Self::Discarded),
            _ => None,
        }
    }

    /// Done and discarded jobs never move again; a dead one only by an operator.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Discarded)
    }

    /// The word used in the store, the API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// Why a job is parked; unparked by the same thing's return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkReason {
    /// Its plugin is not loaded.
    PluginMissing,
}

impl ParkReason {
    /// The word used in the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PluginMissing => "plugin_missing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOVES: [JobMove; 9] = [
        JobMove::Claim,
        JobMove::Finish,
        JobMove::Retry,
        JobMove::Bury,
        JobMove::Discard,
        JobMove::Park,
        JobMove::Unpark,
        JobMove::Rescue,
        JobMove::Replay,
    ];

    #[test]
    fn what_is_done_or_discarded_stays_so() {
        for step in MOVES {
            assert_eq!(JobState::Done.after(step), None);
            assert_eq!(JobState::Discarded.after(step), None);
        }
    }

    #[test]
    fn only_a_running_job_can_finish() {
        for state in JobState::ALL {
            for step in [JobMove::Finish, JobMove::Bury, JobMove::Retry] {
                assert_eq!(state.after(step).is_some(), state == JobState::Running, "{state} {step:?}");
            }
        }
    }

    #[test]
    fn a_live_job_can_always_reach_an_end() {
        for state in JobState::ALL.into_iter().filter(|state| !state.is_finished()) {
            let mut reached = vec![state];
            for _ in 0..JobState::ALL.len() {
                let next: Vec<_> = reached.iter().flat_map(|from| MOVES.map(|step| from.after(step))).flatten().collect();
                reached.extend(next);
            }
            assert!(reached.contains(&JobState::Done), "{state}");
        }
    }
}
