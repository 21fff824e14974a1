//! What runs ask for.

use std::time::Duration;

use hookfast::domain::{
    Delivery, Digest, Effects, EventId, Headers, Job, NewEvent, Parent, StateChange, StateChanges, StateScope, StateWrite, Timestamp,
};

use super::bench::{self, Bench};

pub(super) const COUNTER: &str = "counter";
const QUOTA: u64 = 1 << 20;

pub(super) fn scope() -> StateScope {
    StateScope { plugin: bench::route().plugin, source: None }
}

/// One more in the counter, an event and a delivery.
pub(super) fn all(job: &Job, now: Timestamp) -> Effects {
    Effects { state: Some(changes(vec![one_more()])), events: vec![emitted(job, "emitted", now)], deliveries: vec![delivery(job)] }
}

pub(super) fn state(changes: Vec<StateChange>) -> Effects {
    Effects { state: Some(self::changes(changes)), ..Effects::default() }
}

pub(super) fn changes(changes: Vec<StateChange>) -> StateChanges {
    StateChanges { scope: scope(), changes, quota_bytes: QUOTA }
}

pub(super) fn one_more() -> StateChange {
    StateChange { key: COUNTER.into(), expect: None, write: Some(StateWrite::Add { by: 1, to_present: false }) }
}

/// This value under a key, where it has this version.
pub(super) fn set(key: &str, value: &'static str, expect: Option<Option<u64>>) -> StateChange {
    StateChange { key: key.into(), expect, write: Some(StateWrite::Set { value: value.into(), ttl: None }) }
}

/// The first event that a job emits.
pub(super) fn emitted(job: &Job, key: &str, now: Timestamp) -> NewEvent {
    let mut new = bench::event(EventId::derived(&job.lineage, 0), key, now);
    let event = std::sync::Arc::get_mut(&mut new.event).expect("nobody else has it");
    event.parent = Some(Parent { lineage: job.lineage.clone(), depth: 1 });
    new
}

/// The first delivery that a job asks for.
pub(super) fn delivery(job: &Job) -> Delivery {
    let mut lineage = job.lineage.clone();
    lineage.route = lineage.route.of_delivery(1);
    let mut headers = Headers::default();
    headers.push("content-type", "text/plain");
    Delivery {
        lineage,
        digest: Digest::from_bytes([9; 32]),
        upstream: "crm".parse().expect("a name"),
        method: "POST".into(),
        path: "/orders?secret=1".into(),
        headers,
        body: "paid".into(),
        delay: Duration::ZERO,
        replays: 0,
    }
}

impl Bench {
    /// What is under a key.
    pub(super) async fn value(&self, key: &str) -> Option<String> {
        let item = self.store.state(&scope(), key).await.expect("read")?;
        Some(String::from_utf8(item.value.to_vec()).expect("text"))
    }

    /// Its version.
    pub(super) async fn version(&self, key: &str) -> Option<u64> {
        self.store.state(&scope(), key).await.expect("read").map(|item| item.version)
    }

    pub(super) async fn bytes(&self) -> u64 {
        self.store.state_bytes(&scope()).await.expect("read")
    }

    /// Nothing of [`all`] is there.
    pub(super) async fn check_nothing(&self, job: &Job) {
        assert_eq!((self.value(COUNTER).await, self.bytes().await), (None, 0));
        assert!(self.store.event(EventId::derived(&job.lineage, 0)).await.expect("read").is_none());
        assert_eq!(self.jobs(job.lineage.event).await.len(), 1, "no delivery");
    }
}
