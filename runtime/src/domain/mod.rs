//! The words of the glossary as types: ids, events, jobs, outcomes, policies.
//! Pure: no I/O, no clock, no randomness, no database, no wasmtime, no HTTP framework.

mod id;
mod name;
mod time;
mod secret;
mod headers;
mod encoding;
mod request;
mod refusal;
mod diagnosis;
mod event;
mod line;
mod route;
mod job;
mod outcome;
mod retry;
mod rate;
mod usage;
mod runs;
mod outbound;
mod step;
mod effects;
mod ruling;
mod grant;

pub use diagnosis::{BodyChange, Diagnosis, SecretSpelling};
pub use effects::{
    DEPTH_MAX, Delivery, EFFECT_BYTES_MAX, EFFECTS_MAX, Effects, Emission, STATE_KEY_BYTES_MAX, STATE_KEYS_MAX, STATE_VALUE_BYTES_MAX,
    StateChange, StateChanges, StateItem, StateScope, StateWrite, Wishes,
};
pub use encoding::ContentEncoding;
pub use event::{Answer, DedupeKey, DedupePolicy, EVENT_BYTES_PER_REQUEST_MAX, EVENTS_PER_REQUEST_MAX, Event, NewEvent, Parent};
pub use grant::{Grant, Limits, StateGrant};
pub use headers::Headers;
pub use id::{Digest, EventId, Lineage, NodeId, RequestId};
pub use job::{Job, JobId, JobState, ParkReason};
pub use line::{Line, OrderingKey};
pub use name::{InvalidName, PluginName, RouteName, SourceName, UpstreamName};
pub use outbound::{CallFault, CallFaultClass, CallFaultKind, OutboundAnswer, OutboundRequest, shown_path};
pub use outcome::{AttemptRecord, CallRecord, DeadReason, FailureKind, LogLevel, LogLine, Outcome, Verdict};
pub use rate::{Rate, RateLimiter};
pub use refusal::{OnRefusal, Quarantined, Refusal, RefusalCause};
pub use request::{Held, RawRequest, Verified};
pub use retry::{RetryDecision, RetryPolicy, RetryStrategy};
pub use route::{Route, TypeFilter};
pub use ruling::{Arrival, KeyAnswer, KeyDeed, KeyUse, KeyUseFault, Ruling};
pub use runs::{RunCounter, Runs};
pub use secret::Secret;
pub use step::{JournalEntry, RecordedStep, Step, StepState};
pub use time::Timestamp;
pub use usage::{OfferedSecret, SecretUsage, SourceCounts, SourceUsage};
