//! What goes through the queue: admissions' answers, claimed jobs, places to run them in.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Answer, Delivery, Digest, Event, EventId, Job, Lineage, PluginName, RawRequest, SourceName, Timestamp};

/// What became of an admission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Stored and synced.
    New(EventId),
    /// The key was seen before: the first event's id, whether its body was another one (`key_reused`), and what its sender was told.
    Duplicate { of: EventId, key_reused: bool, answer: Answer },
}

/// A job that this process owns and must settle, with what it works on and its place.
#[derive(Debug)]
pub struct Claimed {
    /// The job.
    pub job: Job,
    /// What is owed.
    pub work: Work,
    /// Whether an earlier run has left steps in its journal.
    pub has_steps: bool,
    /// The place it runs in; given back when dropped.
    pub place: OwnedSemaphorePermit,
}

/// A job that was taken from those that are due, before it has a place.
pub(super) struct Taken {
    pub(super) job: Job,
    pub(super) work: Work,
    pub(super) has_steps: bool,
}

impl Taken {
    pub(super) fn at(self, place: OwnedSemaphorePermit) -> Claimed {
        let Self { job, work, has_steps } = self;
        Claimed { job, work, has_steps, place }
    }
}

/// What a job is about.
#[derive(Debug, Clone)]
pub enum Work {
    /// An event, for the job's plugin.
    Handle(Arc<Event>),
    /// A request, for its upstream.
    Deliver(Arc<Delivery>),
}

/// When work in the database becomes due. A hint that is exact for SQLite: whoever claims sleeps until then, or until it changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog(Option<Timestamp>);

impl Backlog {
    /// Whether something is due.
    pub fn is_due(self, now: Timestamp) -> bool {
        self.0.is_some_and(|due| due <= now)
    }

    /// When the next job becomes due, if there is one.
    pub fn next_due(self) -> Option<Timestamp> {
        self.0
    }

    pub(super) fn with(self, due: Option<Timestamp>) -> Self {
        Self(self.0.into_iter().chain(due).min())
    }
}

impl From<Option<Timestamp>> for Backlog {
    fn from(next_due: Option<Timestamp>) -> Self {
        Self(next_due)
    }
}

/// The places of the worker, shared with the store so that a new job can take one as it is born.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Semaphore>);

impl Slots {
    /// With so many free places.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Adds free places.
    pub fn add(&self, places: usize) {
        self.0.add_permits(places);
    }

    /// A place, if one is free now.
    pub fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// A place, as soon as one is free; ahead of jobs that are yet to be born.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.0.available_permits()
    }
}

/// Which dead letters are meant. An empty filter means none: `all` must be said.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// This one.
    pub lineage: Option<Lineage>,
    /// All of this event.
    pub event: Option<EventId>,
    /// All of this source.
    pub source: Option<SourceName>,
    /// All there are.
    pub all: bool,
}

/// A request in quarantine.
#[derive(Debug)]
pub struct Held {
    /// Where it stands.
    pub place: HeldPlace,
    /// The request.
    pub request: RawRequest,
}

/// A place in the quarantine of a source: in order of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldPlace {
    pub(super) received_at: Timestamp,
    pub(super) seq: i64,
}

impl HeldPlace {
    /// Before all others.
    pub const FIRST: Self = Self { received_at: Timestamp::from_millis(i64::MIN), seq: i64::MIN };
}

/// So many requests of a source are kept in quarantine; the oldest go first.
pub(super) const QUARANTINE_ROWS: i64 = 1000;
/// They take at most so many bytes.
pub(super) const QUARANTINE_BYTES: i64 = 64 << 20;
/// So many of them are read at once, and what may be admitted twice if the process dies in between.
pub(super) const QUARANTINE_PAGE: u32 = 16;

/// What the last process left running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Jobs made ready again, as suspects.
    pub suspects: u64,
    /// Suspects that were charged with the crash.
    pub charged: u64,
    /// Suspects given up as `process_crash`.
    pub condemned: u64,
}

/// What a node says of itself to the others.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// `all`, `ingest` or `worker`.
    pub role: &'static str,
    /// A digest of its sources, upstreams and grants: equal where two nodes are configured alike.
    pub configuration: String,
    /// The plugins that it runs, by digest: live, and within their grants.
    pub plugins: BTreeMap<PluginName, Digest>,
}

/// The machine's name; empty where the system does not tell.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
