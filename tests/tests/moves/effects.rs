//! What a run asks for, as the store takes it and as the model has it afterwards.

use std::time::Duration;

use bytes::Bytes;
use hookfast::domain::{
    Delivery, Digest, Effects, EventId, Headers, Job, NewEvent, Parent, StateChange, StateChanges, StateScope, StateWrite, UpstreamName,
};

use super::history::{History, event, route};
use super::model::{Believed, ModelItem, ModelJob};
use super::step::{Asked, End, Sent};

/// Counts the runs that asked for it.
pub(super) const COUNTER: &str = "counter";
/// Is written only over the value that was read.
pub(super) const LAST: &str = "last";
/// Is there for a while.
pub(super) const FLEETING: &str = "fleeting";

pub(super) fn scope() -> StateScope {
    StateScope { plugin: route().plugin, source: None }
}

pub(super) fn upstream(number: u8) -> UpstreamName {
    format!("upstream-{number}").parse().expect("a name")
}

/// What the run of a job that ended so asks for.
pub(super) fn asked(job: &Job, end: End) -> Asked {
    match end {
        End::Done(asked) | End::Dead(asked) if !job.lineage.route.is_delivery() => asked,
        _ => Asked::default(),
    }
}

impl History {
    pub(super) fn effects(&self, job: &Job, asked: Asked) -> Effects {
        let mut changes = Vec::new();
        if asked.counts {
            changes.push(StateChange { key: COUNTER.into(), expect: None, write: Some(StateWrite::Add { by: 1, to_present: false }) });
        }
        if let Some(seconds) = asked.leaves_for {
            let write = StateWrite::Set { value: text(job), ttl: Some(Duration::from_secs(seconds)) };
            changes.push(StateChange { key: FLEETING.into(), expect: None, write: Some(write) });
        }
        if asked.replaces {
            let write = StateWrite::Set { value: text(job), ttl: None };
            changes.push(StateChange { key: LAST.into(), expect: Some(self.read), write: Some(write) });
        }
        let state = (!changes.is_empty()).then(|| StateChanges { scope: scope(), changes, quota_bytes: 1 << 20 });
        let events = asked.emits.map(|(key, delay)| self.emitted(job, key, delay)).into_iter().collect();
        Effects { state, events, deliveries: asked.delivers.map(|delay| delivery(job, delay)).into_iter().collect() }
    }

    /// Whether another run has replaced what this one has read.
    pub(super) fn must_conflict(&self, asked: Asked) -> bool {
        asked.replaces && self.read != self.version(LAST)
    }

    pub(super) fn version(&self, key: &str) -> Option<u64> {
        self.state.get(key).map(|item| item.version.expect("it was looked up after the last step"))
    }

    /// What a run asked for is committed.
    pub(super) fn fulfilled(&mut self, job: &Job, asked: Asked) {
        let now = self.clock.now();
        let value = String::from_utf8(text(job).to_vec()).expect("text");
        if asked.counts {
            self.counted += 1;
            self.state.insert(COUNTER, ModelItem { value: self.counted.to_string(), expires: None, version: None });
        }
        if let Some(seconds) = asked.leaves_for {
            let expires = Some(now + Duration::from_secs(seconds));
            self.state.insert(FLEETING, ModelItem { value: value.clone(), expires, version: None });
        }
        if asked.replaces {
            self.state.insert(LAST, ModelItem { value, expires: None, version: None });
        }
        if let Some((key, delay)) = asked.emits
            && self.known(key).is_none()
        {
            let NewEvent { event, .. } = self.emitted(job, key, delay);
            self.stored(event.id, Sent { key, body: 0 }, event.parent.clone(), Duration::from_secs(delay));
        }
        if let Some(delay) = asked.delivers {
            let due = now + Duration::from_secs(delay);
            let route = job.lineage.route.of_delivery(job.attempt as usize);
            let model = ModelJob::new(Believed::Ready { due }, self.jobs.len(), due, None);
            assert!(self.jobs.insert((job.lineage.event, route), model).is_none(), "a run that ended asks once");
        }
    }

    fn emitted(&self, job: &Job, key: u8, delay: u64) -> NewEvent {
        let depth = self.events[&job.lineage.event].parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        // Each run has ids of its own: what a run that is repeated emits is seen to elsewhere.
        let id = EventId::derived(&job.lineage, job.attempt as usize);
        let mut new = event(id, Sent { key, body: 0 }, self.clock.now());
        let event = std::sync::Arc::get_mut(&mut new.event).expect("nobody else has it");
        event.parent = Some(Parent { lineage: job.lineage.clone(), depth });
        NewEvent { delay: Duration::from_secs(delay), ..new }
    }
}

/// What a run writes.
fn text(job: &Job) -> Bytes {
    format!("{} {}", job.lineage, job.attempt).into()
}

/// What a run hands over: the only delivery of its number.
pub(super) fn delivery(job: &Job, delay: u64) -> Delivery {
    let mut lineage = job.lineage.clone();
    lineage.route = lineage.route.of_delivery(job.attempt as usize);
    let mut headers = Headers::default();
    headers.push("x-attempt", job.attempt.to_string());
    Delivery {
        lineage,
        digest: Digest::from_bytes([7; 32]),
        upstream: upstream(0),
        method: "POST".into(),
        path: "/orders?key=1".into(),
        headers,
        body: text(job),
        delay: Duration::from_secs(delay),
        replays: 0,
    }
}
