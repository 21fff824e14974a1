//! The durable queue behind one seam: events, jobs, attempts, dead letters, refusals. SQL lives nowhere else.
//! A method that returns `Ok` for a write has committed it; nothing here runs plugins or speaks HTTP.

mod answer;
mod error;
mod sqlite;
mod work;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use crate::clock::Clock;
use crate::domain::{AttemptRecord, EventId, Job, Lineage, NewEvent, NodeId, Outcome, PluginName, Refusal, Route};
use crate::metrics::Metrics;

pub use answer::{AttemptView, DeadLetterView, EventFilter, EventStatus, EventView, JobCounts, JobView, Page, RequestFilter, RequestView};
pub use error::{AdmitError, SettleError, StoreError};
pub use work::{Admitted, Backlog, Claimed, DeadFilter, Rescued, Slots};

/// Where the store is and what it is given to work with.
pub struct StoreSettings {
    /// The database file; created with its directory's permissions if it is not there.
    pub path: std::path::PathBuf,
    /// This process's id.
    pub node: NodeId,
    /// The wall clock.
    pub clock: Clock,
    /// Where commits are measured.
    pub metrics: Arc<Metrics>,
    /// Free places of the worker: a new job is born running while there is one.
    pub slots: Slots,
    /// So many dedupe keys are kept in memory, about 64 bytes each; the others cost a look into the database.
    pub dedupe_keys_max: usize,
}

/// What opening the store gave: the store, the jobs that are born running, and what the last process left behind.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Jobs that were inserted already running and owned by this process, each with its place.
    pub born: mpsc::UnboundedReceiver<Claimed>,
    /// What was found running and what became of it.
    pub rescued: Rescued,
    /// Whether there were unfinished jobs: then the worker starts slowly.
    pub has_work: bool,
}

/// The durable queue. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<sqlite::Sqlite>);

impl Store {
    /// Opens or creates the database, applies migrations, checks that it is durable, rescues what the last process left running.
    pub async fn open(settings: StoreSettings) -> Result<Opened, StoreError> {
        let (sqlite, found) = sqlite::Sqlite::open(settings).await?;
        Ok(Opened { store: Self(Arc::new(sqlite)), born: found.born, rescued: found.rescued, has_work: found.has_work })
    }

    /// Stores an event and the jobs of its routes, and returns once they are synced; or says of which event it is a duplicate.
    /// Dropping the future does not undo it.
    pub async fn admit(&self, event: NewEvent, routes: Vec<Route>) -> Result<Admitted, AdmitError> {
        self.0.admit(event, routes).await
    }

    /// Commits an attempt's outcome and record together, if the job is still this process's at this attempt.
    /// `record` is `None` where the plugin was not run.
    pub async fn settle(&self, job: &Job, outcome: Outcome, record: Option<AttemptRecord>) -> Result<(), SettleError> {
        self.0.settle(job.clone(), outcome, record).await
    }

    /// Takes as many due jobs as there are places, fairly over the sources that have any.
    pub async fn claim(&self, places: Vec<OwnedSemaphorePermit>) -> Result<Vec<Claimed>, StoreError> {
        self.0.claim(places).await
    }

    /// Takes the least-charged suspect, if there is one.
    pub async fn claim_suspect(&self, place: OwnedSemaphorePermit) -> Result<Option<Claimed>, StoreError> {
        self.0.claim_suspect(place).await
    }

    /// Makes the jobs that were parked for this plugin ready again; how many there were.
    pub async fn unpark(&self, plugin: &PluginName) -> Result<u64, StoreError> {
        self.0.unpark(plugin.clone()).await
    }

    /// Keeps refusals in their sources' rings, best effort.
    pub async fn record_refusals(&self, refusals: Vec<Refusal>) -> Result<(), StoreError> {
        self.0.record_refusals(refusals).await
    }

    /// Makes dead letters ready jobs again, with their lineage and a new retry budget; the lineages that were.
    pub async fn replay_dead(&self, filter: DeadFilter) -> Result<Vec<Lineage>, StoreError> {
        self.0.replay_dead(filter).await
    }

    /// Gives dead letters up for good, keeping the reason; the lineages that were.
    pub async fn discard_dead(&self, filter: DeadFilter, reason: String) -> Result<Vec<Lineage>, StoreError> {
        self.0.discard_dead(filter, reason).await
    }

    /// Forgets dedupe keys whose window has passed; run now and then.
    pub async fn prune(&self) -> Result<(), StoreError> {
        self.0.prune().await
    }

    /// Counts up with every commit: whoever waits for a change waits for this.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.0.commits()
    }

    /// When work becomes due: whoever claims waits for this.
    pub fn backlog(&self) -> watch::Receiver<Backlog> {
        self.0.backlog()
    }

    /// Whether the last write reached the disk.
    pub fn is_writable(&self) -> bool {
        self.0.is_writable()
    }

    /// Events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError> {
        self.0.events(filter).await
    }

    /// One event with its jobs and attempts.
    pub async fn event(&self, id: EventId) -> Result<Option<EventView>, StoreError> {
        self.0.event(id).await
    }

    /// Dead letters, newest first.
    pub async fn dead_letters(&self, filter: &DeadFilter, limit: u32) -> Result<Vec<DeadLetterView>, StoreError> {
        self.0.dead_letters(filter, limit).await
    }

    /// How many dead letters there are.
    pub async fn dead_letter_count(&self, filter: &DeadFilter) -> Result<u64, StoreError> {
        self.0.dead_letter_count(filter).await
    }

    /// Requests that did not become an event, newest first.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Page<RequestView>, StoreError> {
        self.0.requests(filter).await
    }

    /// Live jobs and dead letters by state, and the oldest due job.
    pub async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        self.0.job_counts().await
    }

    /// Commits what waits and closes the database.
    pub async fn close(&self) {
        self.0.close().await;
    }
}
