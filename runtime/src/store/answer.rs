//! What the store tells whoever looks: views of events, jobs, dead letters and refused requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::domain::{CallRecord, EventId, Headers, JobState, LogLine, NodeId, RequestId, SourceName, Timestamp};

/// One page of a list, newest first.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Give this back as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which events are meant.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<SourceName>,
    /// Of this type.
    pub event_type: Option<String>,
    /// Rows a page, 1 to 200.
    pub limit: u32,
    /// Where the page begins, from [`Page::next_cursor`].
    pub cursor: Option<String>,
}

/// Which refused requests are meant.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Of this source.
    pub source: Option<SourceName>,
    /// With this cause.
    pub cause: Option<String>,
    /// Rows a page, 1 to 200.
    pub limit: u32,
    /// Where the page begins, from [`Page::next_cursor`].
    pub cursor: Option<String>,
}

/// Where an event as a whole stands: the least finished of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// No route took it.
    Stored,
    /// A job waits or runs.
    Pending,
    /// A job is parked.
    Parked,
    /// A job is a dead letter.
    Dead,
    /// All jobs are done or discarded.
    Done,
}

impl EventStatus {
    /// The least finished job decides.
    pub(super) fn of(jobs: &[JobView]) -> Self {
        let any = |wanted: &[JobState]| jobs.iter().any(|job| wanted.contains(&job.state));
        match jobs {
            [] => Self::Stored,
            _ if any(&[JobState::Ready, JobState::Running, JobState::Waiting]) => Self::Pending,
            _ if any(&[JobState::Parked]) => Self::Parked,
            _ if any(&[JobState::Dead]) => Self::Dead,
            _ => Self::Done,
        }
    }
}

/// An event as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct EventView {
    /// Its id.
    pub id: EventId,
    /// The source that received it.
    pub source: String,
    /// The provider's type.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// The key it is stored once under.
    pub dedupe_key: Option<String>,
    /// What it is ordered by.
    pub ordering_key: Option<String>,
    /// The job that emitted it; absent where it came from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentView>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The body's length in bytes.
    pub body_bytes: usize,
    /// Where it stands.
    pub status: EventStatus,
    /// Its jobs, and those of the deliveries that they asked for, by route.
    pub jobs: Vec<JobView>,
    /// The events that its jobs emitted, in order; empty in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emitted: Vec<EventId>,
    /// Its attempts, in order; empty in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
    /// Headers and body, for whoever may see them; absent in lists.
    #[serde(skip)]
    pub content: Option<(Headers, Bytes)>,
}

impl EventView {
    /// Its job of this route.
    pub(super) fn job_mut(&mut self, route: &str) -> Option<&mut JobView> {
        self.jobs.iter_mut().find(|job| job.route == route)
    }
}

/// The job that emitted an event, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParentView {
    /// Its lineage: `<event>.<route>`.
    pub lineage: String,
    /// How many emitted events the chain has up to this one, from 1.
    pub depth: u32,
}

/// One job of an event.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    /// The route; that of a delivery is the route of the job that asked for it and a number, as in `crm:1`.
    pub route: String,
    /// The plugin.
    pub plugin: String,
    /// Where it stands.
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// When it runs next, where it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Why it is parked (`upstream_down: crm`), dead or discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it delivers, where it is a delivery; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryView>,
    /// What its journal knows of its steps, by name; empty in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepView>,
}

/// A delivery as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// The upstream's name.
    pub upstream: String,
    /// The HTTP method.
    pub method: String,
    /// Path below the upstream's base URL, without the query.
    pub path: String,
    /// The body's length in bytes.
    pub body_bytes: usize,
    /// How often it was replayed after the upstream had refused it.
    pub replays: u32,
}

/// A step of a job as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// `recorded`: its final response is kept; `begun`: whether its call was made is not known; `forgotten`: it failed and was replayed.
    pub state: String,
    /// Method, upstream and path of its request, where a response is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The recorded response's HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The attempt that began it, or that made its call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// From the start of the recorded call to the end of the answer, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// How often it was forgotten for a replay.
    pub replays: u32,
}

/// One attempt of a job.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptView {
    /// The route.
    pub route: String,
    /// From 1.
    pub attempt: u32,
    /// The plugin that ran.
    pub plugin: String,
    /// Its code.
    pub digest: String,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took, microseconds.
    pub duration_us: u64,
    /// `done`, `retry`, `discarded`, `dead` or `parked`.
    pub outcome: String,
    /// The kind of failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The note or the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the next attempt was due, where there was to be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Outbound requests, in order.
    pub calls: Vec<CallRecord>,
    /// Lines it logged.
    pub log: Vec<LogLine>,
}

/// A dead letter as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetterView {
    /// `<event>.<route>`.
    pub id: String,
    /// The event.
    pub event: EventId,
    /// The route.
    pub route: String,
    /// The source.
    pub source: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// The plugin.
    pub plugin: String,
    /// Attempts begun.
    pub attempts: u32,
    /// `max_attempts`, `max_age`, `permanent`, `process_crash` or `unstorable`.
    pub cause: String,
    /// The last failure, as a sentence.
    pub reason: String,
    /// When it died.
    pub died_at: Timestamp,
}

/// A refused request as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct RequestView {
    /// Its id.
    pub id: RequestId,
    /// The source; absent where there is none of that name.
    pub source: Option<String>,
    /// When it arrived.
    pub at: Timestamp,
    /// The cause's code.
    pub cause: String,
    /// The HTTP status it was answered with.
    pub status: u16,
    /// What was wrong and what to look at.
    pub detail: String,
    /// The body's length in bytes, as far as it was read.
    pub body_bytes: usize,
    /// How far the signed timestamp was off, milliseconds; below zero where it lay ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// Its headers without credentials, for whoever asks for this one; absent in lists.
    #[serde(skip)]
    pub headers: Option<Headers>,
    /// The code of what was found out afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<String>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A server process as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct NodeView {
    /// Its lease's id.
    pub id: NodeId,
    /// The machine's name.
    pub host: String,
    /// `all`, `ingest` or `worker`.
    pub role: String,
    /// Its version of Hookfast.
    pub version: String,
    /// When the lease began.
    pub started_at: Timestamp,
    /// How long it is still good for, milliseconds; below zero where it has run out, absent where there is one node.
    pub lease_ms_left: Option<i64>,
    /// Jobs that it runs, or whose outcome it is about to commit.
    pub running: u32,
    /// A digest of its sources, upstreams and grants.
    pub configuration: String,
    /// The plugins that it runs, by digest: live, and within their grants.
    pub plugins: BTreeMap<String, String>,
}

/// How much work there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JobCounts {
    /// Ready jobs, due or later.
    pub ready: u64,
    /// Of these, how many are due now.
    pub due: u64,
    /// Running jobs.
    pub running: u64,
    /// Jobs that wait in their line.
    pub waiting: u64,
    /// Parked jobs.
    pub parked: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest due job became due.
    pub oldest_due: Option<Timestamp>,
}

/// The calls or log lines of an attempt as JSON; `None` where there were none.
pub(super) fn record<T: Serialize>(list: &[T]) -> Option<String> {
    (!list.is_empty()).then(|| serde_json::to_string(list).expect("plain records are JSON"))
}

/// What [`record`] wrote into this column of `attempts`.
pub(super) fn recorded<T: DeserializeOwned>(text: Option<String>, what: &'static str) -> Result<Vec<T>, StoreError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(&text).map_err(|_| StoreError::Damaged { table: "attempts", what })
}
