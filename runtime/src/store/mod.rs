//! The durable queue behind one seam: events, jobs, attempts, dead letters, refusals. SQL lives nowhere else.
//! A method that returns `Ok` for a write has committed it; nothing here runs plugins or speaks HTTP.

mod work;
mod rush;
mod rhythm;
mod round_robin;
mod admission;
mod answer;
mod error;
mod state;
mod sqlite;
mod postgres;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use crate::clock::Clock;
use crate::domain::{
    AttemptRecord, Digest, Effects, EventId, Job, JournalEntry, Lineage, NewEvent, NodeId, Outcome, PluginName, Quarantined, Refusal,
    RequestId, SourceName, StateItem, StateScope, Timestamp, UpstreamName,
};
use crate::metrics::Metrics;
use crate::random::Random;

use admission::Admission;
pub use answer::{
    AttemptView, DeadLetterView, DeliveryView, EventFilter, EventStatus, EventView, JobCounts, JobView, NodeView, Page, ParentView,
    RequestFilter, RequestView, StepView,
};
pub use error::{AdmitError, Cause, SettleError, StoreError};
use postgres::Postgres;
use sqlite::Sqlite;

pub use postgres::PostgresUrl;
pub use rush::Rush;
pub use work::{Admitted, Backlog, Claimed, DeadFilter, Held, HeldPlace, NodeFacts, Rescued, Slots, Work, host_name};

/// Where the store is and what it is given to work with.
pub struct StoreSettings {
    /// Which database.
    pub database: Database,
    /// This process's id.
    pub node: NodeId,
    /// The wall clock.
    pub clock: Clock,
    /// Ids of further leases.
    pub random: Random,
    /// Whether opening brings the tables up to date; else it fails where they are not.
    pub migrates: bool,
    /// How long a node that falls silent keeps its jobs, where several share a database.
    pub lease: Duration,
    /// Where commits are measured.
    pub metrics: Arc<Metrics>,
    /// Free places of the worker: a new job is born running while there is one.
    pub slots: Slots,
    /// Whether more is sure to come at once.
    pub rush: Rush,
    /// So many dedupe keys are kept in memory, about 60 bytes each; the others cost a look into the database.
    pub dedupe_keys_max: usize,
}

/// The database that keeps everything.
#[derive(Debug, Clone)]
pub enum Database {
    /// An SQLite file; created with its directory's permissions if it is not there.
    Sqlite(PathBuf),
    /// A PostgreSQL database, by URL. Shared by any number of nodes.
    Postgres(PostgresUrl),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
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
pub struct Store(Arc<Driver>);

enum Driver {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// The same call on whichever driver it is.
macro_rules! on {
    // PostgreSQL's futures are large, and would make all that wait for a store as large.
    (async $store:expr, $driver:ident => $call:expr) => {
        match &*$store.0 {
            Driver::Sqlite($driver) => $call.await,
            Driver::Postgres($driver) => Box::pin($call).await,
        }
    };
    ($store:expr, $driver:ident => $call:expr) => {
        match &*$store.0 {
            Driver::Sqlite($driver) => $call,
            Driver::Postgres($driver) => $call,
        }
    };
}

/// Fails where the tables are not those that this version works on.
fn require_version(found: Option<i64>, migrations: &sqlx::migrate::Migrator) -> Result<(), StoreError> {
    let found = found.unwrap_or(0);
    let wanted = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found == wanted { Ok(()) } else { Err(StoreError::Outdated { found, wanted }) }
}

/// So many charges make a dead letter of a suspect.
const CHARGES_MAX: u32 = 3;
/// What such a dead letter says.
const CONDEMNED: &str = "the server process died three times while this job was running alone among its suspects";
/// A suspect that was charged waits until the process has lived so long for each charge. Where processes are killed by another hand,
/// that hand mostly strikes sooner, and what happened to run then is not taken for the cause.
const QUIET_FOR_EACH_CHARGE: Duration = Duration::from_secs(1);

/// What a driver found, and where new jobs are born.
struct Found {
    born: mpsc::UnboundedReceiver<Claimed>,
    rescued: Rescued,
    has_work: bool,
}

impl Store {
    /// Opens or creates the database, applies migrations, checks that it is durable, rescues what the last process left running.
    pub async fn open(settings: StoreSettings) -> Result<Opened, StoreError> {
        let (driver, found) = match settings.database.clone() {
            Database::Sqlite(path) => Sqlite::open(path, settings).await.map(|(sqlite, found)| (Driver::Sqlite(sqlite), found))?,
            Database::Postgres(url) => Postgres::open(&url, settings).await.map(|(postgres, found)| (Driver::Postgres(postgres), found))?,
        };
        let Found { born, rescued, has_work } = found;
        Ok(Opened { store: Self(Arc::new(driver)), born, rescued, has_work })
    }

    /// Brings the tables of a database up to date. Safe when several do it at once.
    pub async fn migrate(database: &Database) -> Result<(), StoreError> {
        match database {
            Database::Sqlite(path) => Sqlite::migrate(path).await,
            Database::Postgres(url) => Postgres::migrate(url).await,
        }
    }

    /// The id of an event that will be admitted. Unique; later ones mostly sort later.
    pub fn event_id(&self, received_at: Timestamp, random: [u8; 10]) -> EventId {
        on!(self, driver => driver.event_id(received_at, random))
    }

    /// Stores the events of a request and the jobs of their routes, all or none, and returns once they are synced; says of each whether
    /// it is new, or of which event it is a duplicate. Dropping the future does not undo it.
    pub async fn admit(&self, events: Vec<NewEvent>) -> Result<Vec<Admitted>, AdmitError> {
        let (admission, answer) = Admission::new(events);
        on!(self, driver => driver.admit(admission))?;
        answer.await.unwrap_or(Err(AdmitError::Saturated))
    }

    /// Commits an attempt's outcome, record and effects together, if the job is still this process's at this attempt.
    /// `record` is `None` where the plugin was not run.
    pub async fn settle(&self, job: &Job, outcome: Outcome, record: Option<AttemptRecord>, effects: Effects) -> Result<(), SettleError> {
        on!(async self, driver => driver.settle(job.clone(), outcome, record, effects))
    }

    /// Keeps a step of a running job, synced, if the job is still this process's at this attempt: its final response, or that its call
    /// comes next. What is recorded already stays as it is.
    pub async fn journal(&self, job: &Job, entry: JournalEntry) -> Result<(), SettleError> {
        on!(async self, driver => driver.journal(job.clone(), entry))
    }

    /// What is known of a job's steps.
    pub async fn steps(&self, lineage: &Lineage) -> Result<Vec<JournalEntry>, StoreError> {
        on!(async self, driver => driver.steps(lineage))
    }

    /// What is committed under a key of state and has not expired.
    pub async fn state(&self, scope: &StateScope, key: &str) -> Result<Option<StateItem>, StoreError> {
        on!(async self, driver => driver.state(scope, key))
    }

    /// The bytes that a scope's keys and values take together.
    pub async fn state_bytes(&self, scope: &StateScope) -> Result<u64, StoreError> {
        on!(async self, driver => driver.state_bytes(scope))
    }

    /// Makes up to `jobs_max` jobs that were parked for this upstream ready again, the oldest first; how many there were.
    pub async fn unpark_upstream(&self, upstream: &UpstreamName, jobs_max: u32) -> Result<u64, StoreError> {
        on!(async self, driver => driver.unpark_upstream(upstream.clone(), jobs_max))
    }

    /// The upstreams that jobs are parked for, with how many.
    pub async fn parked_upstreams(&self) -> Result<Vec<(UpstreamName, u64)>, StoreError> {
        on!(async self, driver => driver.parked_upstreams())
    }

    /// Takes as many due jobs as there are places, fairly over the sources that have any, and none of those that are left out.
    pub async fn claim(&self, places: Vec<OwnedSemaphorePermit>, but: Vec<SourceName>) -> Result<Vec<Claimed>, StoreError> {
        on!(async self, driver => driver.claim(places, but))
    }

    /// Whether some suspect may be waiting; cheap to ask.
    pub fn may_have_suspects(&self) -> bool {
        on!(self, driver => driver.may_have_suspects())
    }

    /// Takes the least-charged suspect, if there is one that may run already: one that was charged waits a second for each charge.
    pub async fn claim_suspect(&self, place: OwnedSemaphorePermit) -> Result<Option<Claimed>, StoreError> {
        on!(async self, driver => driver.claim_suspect(place))
    }

    /// Makes the jobs that were parked for this plugin ready again; how many there were.
    pub async fn unpark(&self, plugin: &PluginName) -> Result<u64, StoreError> {
        on!(async self, driver => driver.unpark(plugin.clone()))
    }

    /// Leaves this source to the other nodes for a while if one of them runs this plugin, which this one does not: whether it does.
    pub async fn leave_to_others(&self, source: &SourceName, plugin: &PluginName) -> Result<bool, StoreError> {
        match &*self.0 {
            // There are no others.
            Driver::Sqlite(_) => Ok(false),
            Driver::Postgres(driver) => driver.leave_to_others(source, plugin).await,
        }
    }

    /// Makes some jobs ready again that were parked for these plugins by nodes that do not run them; how many. There may be more.
    pub async fn unpark_some(&self, plugins: &[PluginName]) -> Result<u64, StoreError> {
        match &*self.0 {
            // There is one node, and what it parks it wakes itself.
            Driver::Sqlite(_) => Ok(0),
            Driver::Postgres(driver) => driver.unpark_some(plugins).await,
        }
    }

    /// Keeps refusals in their sources' rings, best effort.
    pub async fn record_refusals(&self, refusals: Vec<Refusal>) -> Result<(), StoreError> {
        on!(async self, driver => driver.record_refusals(refusals))
    }

    /// Keeps refused requests as they came; the oldest of a source go once they are too many or take too much.
    pub async fn quarantine(&self, requests: Vec<Quarantined>) -> Result<(), StoreError> {
        on!(async self, driver => driver.quarantine(requests))
    }

    /// Some requests in a source's quarantine behind this place, in order of receipt; none where there are no more.
    pub async fn quarantined(&self, source: &SourceName, after: HeldPlace) -> Result<Vec<Held>, StoreError> {
        on!(async self, driver => driver.quarantined(source, after))
    }

    /// Takes requests out of quarantine.
    pub async fn release(&self, places: &[HeldPlace]) -> Result<(), StoreError> {
        let seqs = places.iter().map(|place| place.seq).collect();
        on!(async self, driver => driver.release(seqs))
    }

    /// Forgets what is in quarantine since before `cutoff`. Run now and then.
    pub async fn expire_quarantine(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        on!(async self, driver => driver.expire_quarantine(cutoff))
    }

    /// Makes dead letters ready jobs again, with their lineage and a new retry budget; the lineages that were.
    pub async fn replay_dead(&self, filter: DeadFilter) -> Result<Vec<Lineage>, StoreError> {
        on!(async self, driver => driver.replay_dead(filter))
    }

    /// Gives dead letters up for good, keeping the reason; the lineages that were.
    pub async fn discard_dead(&self, filter: DeadFilter, reason: String) -> Result<Vec<Lineage>, StoreError> {
        on!(async self, driver => driver.discard_dead(filter, reason))
    }

    /// Makes a plugin's version known to all nodes. One that none has seen yet goes live on every node; the digest that is live.
    pub async fn publish_plugin(&self, name: &PluginName, digest: Digest, wasm: &[u8]) -> Result<Digest, StoreError> {
        match &*self.0 {
            // There is one node.
            Driver::Sqlite(_) => Ok(digest),
            Driver::Postgres(driver) => driver.publish_plugin(name, digest, wasm).await,
        }
    }

    /// What every node is to run, by name; nothing where there is one node.
    pub async fn live_plugins(&self) -> Result<Vec<(PluginName, Digest)>, StoreError> {
        match &*self.0 {
            Driver::Sqlite(_) => Ok(Vec::new()),
            Driver::Postgres(driver) => driver.live_plugins().await,
        }
    }

    /// The `.wasm` of a version that some node has published.
    pub async fn plugin_bytes(&self, name: &PluginName, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match &*self.0 {
            Driver::Sqlite(_) => Ok(None),
            Driver::Postgres(driver) => driver.plugin_bytes(name, digest).await,
        }
    }

    /// What this node says of itself to whoever looks at the nodes.
    pub fn tell(&self, facts: NodeFacts) {
        on!(self, driver => driver.tell(facts));
    }

    /// The processes that share the database.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, StoreError> {
        on!(async self, driver => driver.nodes())
    }

    /// Forgets dedupe keys whose window has passed; run now and then.
    pub async fn prune(&self) -> Result<(), StoreError> {
        on!(async self, driver => driver.prune())
    }

    /// Forgets events that arrived before `cutoff`, with all that is known of them; not those with a live job or a dead letter. Run now
    /// and then.
    pub async fn expire(&self, cutoff: Timestamp) -> Result<(), StoreError> {
        on!(async self, driver => driver.expire(cutoff))
    }

    /// Counts up with every commit: whoever waits for a change waits for this.
    pub fn commits(&self) -> watch::Receiver<u64> {
        on!(self, driver => driver.commits())
    }

    /// When work becomes due: whoever claims waits for this.
    pub fn backlog(&self) -> watch::Receiver<Backlog> {
        on!(self, driver => driver.backlog())
    }

    /// Whether the last write reached the disk.
    pub fn is_writable(&self) -> bool {
        on!(self, driver => driver.is_writable())
    }

    /// Events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Page<EventView>, StoreError> {
        on!(async self, driver => driver.events(filter))
    }

    /// One event with its jobs and attempts.
    pub async fn event(&self, id: EventId) -> Result<Option<EventView>, StoreError> {
        on!(async self, driver => driver.event(id))
    }

    /// Dead letters, newest first.
    pub async fn dead_letters(&self, filter: &DeadFilter, limit: u32) -> Result<Vec<DeadLetterView>, StoreError> {
        on!(async self, driver => driver.dead_letters(filter, limit))
    }

    /// How many dead letters there are.
    pub async fn dead_letter_count(&self, filter: &DeadFilter) -> Result<u64, StoreError> {
        on!(async self, driver => driver.dead_letter_count(filter))
    }

    /// Requests that did not become an event, newest first.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Page<RequestView>, StoreError> {
        on!(async self, driver => driver.requests(filter))
    }

    /// One request that did not become an event.
    pub async fn request(&self, id: RequestId) -> Result<Option<RequestView>, StoreError> {
        on!(async self, driver => driver.request(id))
    }

    /// Live jobs and dead letters by state, and the oldest due job.
    pub async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        on!(async self, driver => driver.job_counts())
    }

    /// Commits what waits and closes the database.
    pub async fn close(&self) {
        on!(async self, driver => driver.close());
    }
}
