//! Everything that the store shows is what the model believes.

use futures_util::future::join_all;
use hookfast::domain::{EventId, StateItem};
use hookfast::store::{Claimed, EventFilter, EventView, JobView, ParentView, Work};

use super::effects::{delivery, scope, upstream};
use super::history::{History, body};
use super::model::{Believed, BelievedStep, ModelEvent, ModelJob, job_key};

impl History {
    pub(super) async fn compare(&mut self) {
        self.compare_counts().await;
        let store = self.store();
        let shown = join_all(self.events.keys().map(|id| store.event(*id))).await;
        for (event, expected) in shown.into_iter().zip(self.events.values()) {
            let event = event.expect("read");
            assert_eq!(event.is_some(), expected.is_kept, "{expected:?}");
            event.iter().for_each(|event| self.compare_event(event, expected));
        }
        self.compare_state().await;
    }

    async fn compare_counts(&self) {
        let count = |is_so: fn(&Believed) -> bool| self.jobs.values().filter(|job| is_so(&job.state)).count() as u64;
        let counts = self.store().job_counts().await.expect("counts");
        assert_eq!(counts.ready, count(|state| matches!(state, Believed::Ready { .. })));
        assert_eq!(counts.running, count(|state| *state == Believed::Running));
        assert_eq!(counts.waiting, count(|state| *state == Believed::Waiting));
        assert_eq!(counts.parked, count(|state| matches!(state, Believed::Parked | Believed::ParkedForUpstream(_))));
        assert_eq!(counts.dead, count(|state| *state == Believed::Dead));
        let parked = |number: u8| self.jobs.values().filter(|job| job.state == Believed::ParkedForUpstream(number)).count() as u64;
        let expected: Vec<_> = (0..2).map(|number| (upstream(number), parked(number))).filter(|(_, jobs)| *jobs > 0).collect();
        assert_eq!(self.store().parked_upstreams().await.expect("read"), expected);
        let kept = self.events.values().filter(|event| event.is_kept).count();
        let filter = EventFilter { limit: 200, ..EventFilter::default() };
        assert_eq!(self.store().events(&filter).await.expect("a page").data.len(), kept, "each event is there once, and no other");
    }

    fn compare_event(&self, event: &EventView, expected: &ModelEvent) {
        let parent = expected.parent.as_ref().map(|parent| ParentView { lineage: parent.lineage.to_string(), depth: parent.depth });
        assert_eq!((event.dedupe_key.as_deref(), &event.parent), (Some(&*format!("key:{}", expected.sent.key)), &parent));
        let mut emitted = event.emitted.clone();
        emitted.sort_unstable();
        assert_eq!(emitted, self.emitted_by(event.id));
        let jobs: Vec<_> = self.jobs.iter().filter(|((id, _), _)| *id == event.id).collect();
        let routes: Vec<_> = event.jobs.iter().map(|job| &*job.route).collect();
        assert_eq!(routes, jobs.iter().map(|((_, route), _)| route.as_str()).collect::<Vec<_>>());
        for (((_, route), expected), job) in jobs.into_iter().zip(&event.jobs) {
            let attempts = event.attempts.iter().filter(|attempt| attempt.route == route.as_str()).map(|attempt| attempt.attempt);
            assert_eq!(attempts.collect::<Vec<_>>(), expected.recorded.iter().copied().collect::<Vec<_>>(), "every run is on record once");
            assert_eq!(job.delivery.as_ref().map(|delivery| delivery.replays), route.is_delivery().then_some(expected.replays));
            compare_job(job, expected);
        }
    }

    fn emitted_by(&self, id: EventId) -> Vec<EventId> {
        let is_parent = |event: &ModelEvent| event.parent.as_ref().is_some_and(|parent| parent.lineage.event == id);
        self.events.iter().filter(|(_, event)| event.is_kept && is_parent(event)).map(|(id, _)| *id).collect()
    }

    async fn compare_state(&mut self) {
        let (now, store) = (self.clock.now(), self.store());
        for (key, item) in &mut self.state {
            let found = store.state(&scope(), key).await.expect("read");
            assert_eq!(found.is_some(), item.is_there(now), "{key}: {item:?}");
            let Some(StateItem { value, version }) = found else { continue };
            assert_eq!(value, item.value, "{key}");
            match item.version {
                None => assert!(self.versions.insert(version) && version > 0, "a version is given once"),
                before => assert_eq!(before, Some(version), "{key} was not written"),
            }
            item.version = Some(version);
        }
        let bytes = self.state.iter().map(|(key, item)| (key.len() + item.value.len()) as u64).sum::<u64>();
        assert_eq!(store.state_bytes(&scope()).await.expect("read"), bytes);
    }

    /// A job was given out with what is owed.
    pub(super) fn check_work(&self, claimed: &Claimed) {
        let Claimed { job, work, .. } = claimed;
        match work {
            Work::Handle(event) => {
                let expected = &self.events[&event.id];
                assert_eq!((event.id, &event.body[..], &event.parent), (job.lineage.event, &body(expected.sent)[..], &expected.parent));
            }
            Work::Deliver(sent) => {
                let (route, attempt) = job.lineage.route.as_str().split_once(':').expect("the route of a delivery");
                let mut asker = job.clone();
                asker.lineage.route = route.parse().expect("a route");
                asker.attempt = attempt.parse().expect("a number");
                let expected = delivery(&asker, 0);
                assert_eq!((&sent.lineage, &sent.body, &sent.headers), (&job.lineage, &expected.body, &expected.headers));
                assert_eq!((&sent.upstream, &sent.method, &sent.path), (&expected.upstream, &expected.method, &expected.path));
                assert_eq!((sent.digest, sent.replays), (expected.digest, self.jobs[&job_key(&job.lineage)].replays));
            }
        }
    }
}

fn compare_job(job: &JobView, expected: &ModelJob) {
    assert_eq!((job.state.as_str(), job.attempts), (expected.state.word(), expected.attempt), "{expected:?}");
    if let Believed::ParkedForUpstream(number) = expected.state {
        assert_eq!(job.reason, Some(format!("upstream_down: {}", upstream(number))));
    }
    let known = |state| match state {
        BelievedStep::Forgotten => (None, None),
        BelievedStep::Begun { attempt } => (Some(attempt), None),
        BelievedStep::Recorded { attempt, status } => (Some(attempt), Some(status)),
    };
    let steps = job.steps.iter().map(|step| (&*step.name, &*step.state, step.replays, (step.attempt, step.status)));
    let expected = expected.steps.iter().map(|(name, step)| (&**name, step.state.word(), step.replays, known(step.state)));
    assert_eq!(steps.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
