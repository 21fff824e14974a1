//! Nodes without anything around them, and handlers that ask for something.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookfast::clock::Clock;
use hookfast::domain::{
    Answer, AttemptRecord, DedupeKey, Delivery, Digest, Effects, Event, EventId, Headers, Job, Line, Lineage, NewEvent, NodeId,
    OrderingKey, Outcome, Parent, Route, StateChange, StateChanges, StateScope, StateWrite, Timestamp,
};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Claimed, Database, Rush, SettleError, Slots, Store, StoreSettings};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(super) const LEASE: Duration = Duration::from_secs(10);

pub(super) async fn open(database: &str, clock: &Clock, seed: u64) -> Store {
    let random = Random::seeded(seed);
    let opened = Store::open(StoreSettings {
        database: Database::Postgres(database.parse().expect("a URL")),
        node: NodeId::new(clock.now(), random.bytes()),
        clock: clock.clone(),
        random,
        migrates: true,
        lease: LEASE,
        metrics: Arc::new(Metrics::default()),
        // Nothing is born running: either node takes what there is.
        slots: Slots::new(0),
        rush: Rush::default(),
        dedupe_keys_max: 3,
    });
    opened.await.expect("a store").store
}

pub(super) fn new_event(id: EventId, key: u8, line: Option<u8>) -> NewEvent {
    let plugin: hookfast::domain::PluginName = "crm".parse().expect("a name");
    let event = Event {
        id,
        source: "orders".parse().expect("a name"),
        event_type: None,
        dedupe_key: Some(format!("key:{key}")),
        received_at: Timestamp::from_millis(1_767_225_600_000),
        headers: Headers::default(),
        body: Bytes::from_static(b"{}"),
        parent: None,
    };
    let line = line.map(|line| Line { hash: [line; 16], skip_after: None });
    NewEvent {
        event: event.into(),
        key: Some(DedupeKey { hash: [key; 16], body_hash: [0; 8], window: Duration::from_hours(1) }),
        ordering: line.map(|line| OrderingKey { text: "customer".into(), line }),
        answer: Answer::default(),
        routes: vec![Route { name: plugin.clone().into(), plugin, types: Vec::new() }],
        delay: Duration::ZERO,
    }
}

/// The same as a job emits it.
pub(super) fn emitted(job: &Job, nth: usize, key: u8, line: Option<u8>) -> NewEvent {
    let new = new_event(EventId::derived(&job.lineage, nth), key, line);
    let parent = Some(Parent { lineage: job.lineage.clone(), depth: 1 });
    NewEvent { event: Event { parent, ..(*new.event).clone() }.into(), ..new }
}

pub(super) fn delivery(job: &Job, path: &str) -> Delivery {
    Delivery {
        lineage: Lineage { route: job.lineage.route.of_delivery(1), ..job.lineage.clone() },
        digest: Digest::from_bytes([7; 32]),
        upstream: "crm".parse().expect("a name"),
        method: "POST".into(),
        path: path.into(),
        headers: Headers::default(),
        body: Bytes::from_static(b"hello"),
        delay: Duration::ZERO,
        replays: 0,
    }
}

pub(super) fn scope(plugin: &str) -> StateScope {
    StateScope { plugin: plugin.parse().expect("a name"), source: None }
}

pub(super) fn add(key: &str) -> StateChange {
    StateChange { key: key.into(), expect: None, write: Some(StateWrite::Add { by: 1, to_present: false }) }
}

pub(super) fn changes(scope: StateScope, changes: Vec<StateChange>) -> Effects {
    Effects { state: Some(StateChanges { scope, changes, quota_bytes: 1 << 20 }), ..Effects::default() }
}

pub(super) fn done() -> Outcome {
    Outcome::Done { note: None }
}

pub(super) fn record() -> Option<AttemptRecord> {
    Some(AttemptRecord {
        started_at: Timestamp::from_millis(0),
        duration: Duration::from_millis(1),
        digest: Digest::from_bytes([7; 32]),
        failure: None,
        calls: Vec::new(),
        log: Vec::new(),
    })
}

pub(super) async fn admit(store: &Store, event: NewEvent) -> EventId {
    let id = event.event.id;
    store.admit(vec![event]).await.expect("admitted");
    id
}

pub(super) async fn claim(store: &Store, places: usize) -> Vec<Claimed> {
    let semaphore = Arc::new(Semaphore::new(places));
    let places = (0..places).map(|_| Arc::clone(&semaphore).try_acquire_owned().expect("a free place")).collect();
    store.claim(places, Vec::new()).await.expect("claimed")
}

pub(super) async fn number(store: &Store, key: &str) -> i64 {
    let item = store.state(&scope("crm"), key).await.expect("read");
    item.map_or(0, |item| String::from_utf8(item.value.to_vec()).expect("text").parse().expect("a number"))
}

/// Does what is owed until there is nothing left, several jobs at a time; how many there were.
pub(super) async fn work<R: Future<Output = ()> + Send + 'static>(store: Store, handler: impl Fn(Store, Claimed) -> R) -> usize {
    let mut count = 0;
    loop {
        let claimed = claim(&store, 6).await;
        if claimed.is_empty() {
            return count;
        }
        count += claimed.len();
        claimed.into_iter().map(|claimed| handler(store.clone(), claimed)).collect::<JoinSet<()>>().join_all().await;
    }
}

/// A handler that counts in two ways: by an addition, and by writing what it has read plus one.
pub(super) async fn count(store: Store, claimed: Claimed) {
    loop {
        let before = store.state(&scope("crm"), "read and written").await.expect("read");
        let version = before.as_ref().map(|item| item.version);
        let number: i64 = before.map_or(0, |item| str::from_utf8(&item.value).expect("text").parse().expect("a number"));
        let write = Some(StateWrite::Set { value: (number + 1).to_string().into(), ttl: None });
        let set = StateChange { key: "read and written".into(), expect: Some(version), write };
        match store.settle(&claimed.job, done(), record(), changes(scope("crm"), vec![add("added"), set])).await {
            Ok(()) => return,
            // Nothing of it was committed: the job is still ours, and runs again.
            Err(SettleError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
