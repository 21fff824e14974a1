//! How an attempt ended, decided by type and never by text.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digest, ParkReason, Timestamp};

/// What one run of a plugin came to, before the source's retry policy has its say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The handler succeeded, with a note for the record.
    Done(Option<String>),
    /// A failure that may pass; the plugin may name its own delay.
    Retry { kind: FailureKind, reason: String, after: Option<Duration> },
    /// Permanent and expected.
    Discard(String),
    /// Permanent and unexpected.
    DeadLetter(String),
}

/// Which kind of thing failed; the code under which attempts and metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The handler asked for a retry.
    Handler,
    /// The guest trapped: panic, unreachable.
    Trap,
    /// The CPU budget was used up.
    CpuLimit,
    /// The wall-clock timeout passed.
    WallTimeout,
    /// The guest wanted more memory or tables than allowed.
    MemoryLimit,
    /// The host's stack for the guest overflowed.
    StackOverflow,
    /// The guest reached outside its memory, as a stack of its own does that overflows.
    OutOfBounds,
    /// The guest moved more bytes through host calls than allowed.
    HostCallLimit,
    /// State that the handler relied on changed before its outcome could be committed, again and again.
    StateConflict,
    /// The host failed to run the guest at all.
    Host,
}

impl FailureKind {
    /// Whether the sandbox ended the run, and not the handler or the host.
    pub fn is_trap_or_limit(self) -> bool {
        match self {
            Self::Handler | Self::StateConflict | Self::Host => false,
            Self::Trap
            | Self::CpuLimit
            | Self::WallTimeout
            | Self::MemoryLimit
            | Self::StackOverflow
            | Self::OutOfBounds
            | Self::HostCallLimit => true,
        }
    }

    /// A stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::Trap => "trap",
            Self::CpuLimit => "cpu_limit",
            Self::WallTimeout => "wall_timeout",
            Self::MemoryLimit => "memory_limit",
            Self::StackOverflow => "stack_overflow",
            Self::OutOfBounds => "out_of_bounds",
            Self::HostCallLimit => "host_call_limit",
            Self::StateConflict => "state_conflict",
            Self::Host => "host",
        }
    }
}

/// What becomes of the job; the store commits it together with the attempt's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Finished well.
    Done { note: Option<String> },
    /// Ready again at a later time.
    Retry { at: Timestamp, reason: String },
    /// Finished: not wanted.
    Discard { reason: String },
    /// Given up, kept as a dead letter.
    Dead { cause: DeadReason, reason: String },
    /// Cannot run now; burns no attempt.
    Park { reason: ParkReason },
    /// Given back unrun, at shutdown or since others can have it; burns no attempt.
    Release,
}

impl Outcome {
    /// The word for tables, metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Retry { .. } => "retry",
            Self::Discard { .. } => "discarded",
            Self::Dead { .. } => "dead",
            Self::Park { .. } => "parked",
            Self::Release => "released",
        }
    }

    /// The sentence that goes with it, if any.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Done { note } => note.as_deref(),
            Self::Retry { reason, .. } | Self::Discard { reason } | Self::Dead { reason, .. } => Some(reason),
            Self::Park { reason } => Some(reason.as_str()),
            Self::Release => None,
        }
    }
}

/// Why a job was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The retry policy's attempts are used up.
    MaxAttempts,
    /// The job is older than the retry policy allows.
    MaxAge,
    /// The handler said so, or an upstream gave a permanent answer.
    Permanent,
    /// The process died three times while this job alone was suspected.
    ProcessCrash,
    /// The database refused the settlement by itself.
    Unstorable,
}

impl DeadReason {
    /// A stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::MaxAttempts => "max_attempts",
            Self::MaxAge => "max_age",
            Self::Permanent => "permanent",
            Self::ProcessCrash => "process_crash",
            Self::Unstorable => "unstorable",
        }
    }
}

/// One run of a job, as it is kept.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The code that ran.
    pub digest: Digest,
    /// The kind of failure, where it failed.
    pub failure: Option<FailureKind>,
    /// The outbound requests it made, in order.
    pub calls: Vec<CallRecord>,
    /// The lines it logged, capped.
    pub log: Vec<LogLine>,
}

impl AttemptRecord {
    /// About how many bytes its calls and lines take.
    pub fn bytes(&self) -> usize {
        let line =
            |line: &LogLine| 64 + line.message.len() + line.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.log.iter().map(line).sum::<usize>() + self.calls.iter().map(|call| 256 + call.path.len()).sum::<usize>()
    }
}

/// One outbound request of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The upstream's name.
    pub upstream: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the upstream's base URL, without the query's values.
    pub path: String,
    /// The step's name, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The `Idempotency-Key` that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The HTTP status, where an answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The fault's code, where none came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether nothing was sent: the answer is a step's, from the journal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
    /// From the start of the call to the end of the answer, milliseconds.
    pub ms: u64,
}

/// One line that a plugin logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its severity.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Named values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// A log line's severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is off.
    Warn,
    /// Worth knowing.
    Info,
    /// For whoever looks closely.
    Debug,
    /// For whoever looks very closely.
    Trace,
}
