//! The work owed for an event, and where it stands.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Line, Lineage, NodeId, PluginName, SourceName, Timestamp, UpstreamName};

/// A job's number in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub i64);

/// One piece of owed work: run a plugin for an event, or deliver a request.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// The node that runs it: an outcome counts only as long as it still does.
    pub owner: NodeId,
    /// Event and route: what all runs of this job have in common.
    pub lineage: Lineage,
    /// The source, whose policies apply.
    pub source: SourceName,
    /// The plugin that handles it, or that asked for its delivery.
    pub plugin: PluginName,
    /// Which attempt this run is, from 1; counts on over rescues and dead-letter replays.
    pub attempt: u32,
    /// The attempts that do not count against the retry policy: those a crash ended, those before a dead-letter replay.
    pub attempts_before: u32,
    /// When the present budget began: the event's arrival, or the replay.
    pub owed_since: Timestamp,
    /// Whether it is a suspect of a crash, and so runs alone among the suspects: the others wait for its outcome.
    pub is_suspect: bool,
    /// The line that it is the head of; the others of it wait for this one's outcome.
    pub line: Option<Line>,
}

/// Where a live job stands. Finished jobs leave the live table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// May run once its due time has come.
    Ready,
    /// Is being run by its owner.
    Running,
    /// Waits in its line for the one before it.
    Waiting,
    /// Waits for something that is not time: its plugin to be loaded, its upstream to come back.
    Parked,
    /// Finished: the handler succeeded.
    Done,
    /// Finished: given up, kept as a dead letter.
    Dead,
    /// Finished: the handler, or the operator, did not want it.
    Discarded,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 7] = [Self::Ready, Self::Running, Self::Waiting, Self::Parked, Self::Done, Self::Dead, Self::Discarded];

    /// The word used in the store, the API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkReason {
    /// Its plugin is not loaded.
    PluginMissing,
    /// Its plugin wants an upstream that it is no longer granted.
    GrantMissing,
    /// It needs an upstream that takes no calls now.
    UpstreamDown(UpstreamName),
}

impl ParkReason {
    /// The word used in the store and the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::PluginMissing => "plugin_missing",
            Self::GrantMissing => "grant_missing",
            Self::UpstreamDown(_) => "upstream_down",
        }
    }

    /// The upstream that is waited for.
    pub fn upstream(&self) -> Option<&UpstreamName> {
        if let Self::UpstreamDown(upstream) = self { Some(upstream) } else { None }
    }
}
