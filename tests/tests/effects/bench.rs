//! A store on a manual clock, with nothing around it.

use std::sync::Arc;
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast::domain::{
    Answer, AttemptRecord, DedupeKey, Digest, Effects, Event, EventId, Headers, Job, JobState, NewEvent, NodeId, Outcome, Route,
    SourceName, Timestamp,
};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{
    Admitted, Claimed, Database, DeadFilter, EventFilter, EventView, Rush, SettleError, Slots, Store, StoreSettings, Work,
};
use hookfast_tests::directory::Directory;
use hookfast_tests::postgres;
use tokio::sync::Semaphore;

pub(super) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Keys are remembered so long.
pub(super) const WINDOW: Duration = Duration::from_mins(1);
const LEASE: Duration = Duration::from_secs(10);

/// An open store.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) clock: Clock,
    random: Random,
    database: Database,
    directory: Option<Directory>,
}

impl Bench {
    pub(super) async fn on_sqlite() -> Self {
        let directory = Directory::new();
        let database = Database::Sqlite(directory.path().join("hookfast.db"));
        Self { directory: Some(directory), ..Self::on(database).await }
    }

    pub(super) async fn on_postgres() -> Self {
        Self::on(Database::Postgres(postgres::database().await.parse().expect("a URL"))).await
    }

    async fn on(database: Database) -> Self {
        let (clock, random) = (Clock::manual(START), Random::seeded(1));
        let store = open(&database, &clock, &random).await;
        Self { store, clock, random, database, directory: None }
    }

    /// The process ends and another one starts: whatever ran is rescued.
    pub(super) async fn restarted(self) -> Self {
        let Self { store, clock, random, database, directory } = self;
        store.close().await;
        // Its lock goes with it.
        drop(store);
        let store = open(&database, &clock, &random).await;
        Self { store, clock, random, database, directory }
    }

    /// The same, by a clock that says something else.
    pub(super) async fn restarted_at(self, time: Timestamp) -> Self {
        Self { clock: Clock::manual(time), ..self }.restarted().await
    }

    /// The file, where the database is one.
    pub(super) fn file(&self) -> Option<std::path::PathBuf> {
        self.directory.as_ref().map(|directory| directory.path().join("hookfast.db"))
    }

    pub(super) async fn end(self) {
        self.store.close().await;
    }

    /// An event arrives.
    pub(super) async fn admit(&self, key: &str) -> EventId {
        let id = self.store.event_id(self.clock.now(), self.random.bytes());
        match self.store.admit(vec![event(id, key, self.clock.now())]).await.expect("admitted")[..] {
            [Admitted::New(id)] => id,
            ref other => panic!("{other:?}"),
        }
    }

    pub(super) fn event_id(&self) -> EventId {
        self.store.event_id(self.clock.now(), self.random.bytes())
    }

    /// What is due, at most so much.
    pub(super) async fn claim(&self, places: usize) -> Vec<Claimed> {
        self.store.claim(permits(places), Vec::new()).await.expect("claimed")
    }

    /// The only job that is due.
    pub(super) async fn claim_one(&self) -> Job {
        let [claimed] = <[Claimed; 1]>::try_from(self.claim(2).await).expect("one job that is due");
        claimed.job
    }

    /// An event arrives, and its job is taken.
    pub(super) async fn running(&self, key: &str) -> Job {
        let id = self.admit(key).await;
        let job = self.claim_one().await;
        assert_eq!(job.lineage.event, id);
        job
    }

    /// The suspect that may run.
    pub(super) async fn claim_suspect(&self) -> Job {
        let place = permits(1).pop().expect("a permit");
        self.store.claim_suspect(place).await.expect("claimed").expect("a suspect").job
    }

    pub(super) async fn done(&self, job: &Job, effects: Effects) -> Result<(), SettleError> {
        self.settle(job, Outcome::Done { note: None }, effects).await
    }

    pub(super) async fn settle(&self, job: &Job, outcome: Outcome, effects: Effects) -> Result<(), SettleError> {
        self.store.settle(job, outcome, Some(self.record()), effects).await
    }

    pub(super) async fn replay_all(&self) -> usize {
        self.store.replay_dead(DeadFilter { all: true, ..DeadFilter::default() }).await.expect("replayed").len()
    }

    pub(super) async fn event(&self, id: EventId) -> EventView {
        self.store.event(id).await.expect("read").expect("an event of this id")
    }

    /// Where an event's jobs stand, by route.
    pub(super) async fn jobs(&self, id: EventId) -> Vec<(String, JobState)> {
        self.event(id).await.jobs.into_iter().map(|job| (job.route, job.state)).collect()
    }

    /// How many events there are.
    pub(super) async fn event_count(&self) -> usize {
        self.store.events(&EventFilter { limit: 200, ..EventFilter::default() }).await.expect("a page").data.len()
    }

    fn record(&self) -> AttemptRecord {
        let (calls, log, failure) = (Vec::new(), Vec::new(), None);
        let digest = Digest::from_bytes([7; 32]);
        AttemptRecord { started_at: self.clock.now(), duration: Duration::from_millis(1), digest, failure, calls, log }
    }
}

async fn open(database: &Database, clock: &Clock, random: &Random) -> Store {
    let opened = Store::open(StoreSettings {
        database: database.clone(),
        node: NodeId::new(clock.now(), random.bytes()),
        clock: clock.clone(),
        random: random.clone(),
        migrates: true,
        lease: LEASE,
        metrics: Arc::new(Metrics::default()),
        // Nothing is born running: who wants a job takes it.
        slots: Slots::new(0),
        rush: Rush::default(),
        dedupe_keys_max: 1000,
    });
    opened.await.expect("a store").store
}

fn permits(count: usize) -> Vec<tokio::sync::OwnedSemaphorePermit> {
    let places = Arc::new(Semaphore::new(count));
    (0..count).map(|_| Arc::clone(&places).try_acquire_owned().expect("a free place")).collect()
}

pub(super) fn source() -> SourceName {
    "orders".parse().expect("a name")
}

pub(super) fn route() -> Route {
    Route { name: "crm".parse().expect("a name"), plugin: "crm".parse().expect("a name"), types: Vec::new() }
}

pub(super) fn event(id: EventId, key: &str, received_at: Timestamp) -> NewEvent {
    let event = Event {
        id,
        source: source(),
        event_type: Some("order.paid".into()),
        dedupe_key: Some(key.into()),
        received_at,
        headers: Headers::default(),
        body: key.to_owned().into(),
        parent: None,
    };
    let mut hash = [0; 16];
    hash[..key.len()].copy_from_slice(key.as_bytes());
    let key = DedupeKey { hash, body_hash: [0; 8], window: WINDOW };
    let (answer, routes, delay) = (Answer::default(), vec![route()], Duration::ZERO);
    NewEvent { event: event.into(), key: Some(key), ordering: None, answer, routes, delay }
}

/// The body of the event that a job is to handle.
pub(super) fn body(claimed: &Claimed) -> String {
    let Work::Handle(event) = &claimed.work else { panic!("{:?} handles no event", claimed.job) };
    String::from_utf8(event.body.to_vec()).expect("text")
}
