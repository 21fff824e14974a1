//! What operators do, and what is done now and then: waking what is parked, dead letters, forgetting.

use std::time::Duration;

use hookfast::domain::JobState;
use hookfast::store::DeadFilter;

use super::effects::{FLEETING, upstream};
use super::history::{History, route};
use super::model::{Believed, BelievedStep};

const RETENTION: Duration = Duration::from_secs(45);

impl History {
    pub(super) async fn unpark(&mut self) {
        let unparked = self.store().unpark(&route().plugin).await.expect("unparked");
        let parked: Vec<_> = self.jobs.values_mut().filter(|job| job.state == Believed::Parked).collect();
        assert_eq!(unparked, parked.len() as u64);
        parked.into_iter().for_each(|job| job.state = Believed::Ready { due: self.clock.now() });
    }

    /// Which of them wakes first is seen to elsewhere.
    pub(super) async fn unpark_upstream(&mut self, number: u8, jobs_max: u32) {
        let now = self.clock.now();
        let unparked = self.store().unpark_upstream(&upstream(number), jobs_max).await.expect("unparked");
        let mut awake = 0;
        let keys: Vec<_> =
            self.jobs.iter().filter(|(_, job)| job.state == Believed::ParkedForUpstream(number)).map(|(key, _)| key.clone()).collect();
        for (id, route) in &keys {
            let event = self.store().event(*id).await.expect("read").expect("it is kept");
            let job = event.jobs.iter().find(|job| job.route == route.as_str()).expect("a job of the model");
            if job.state == JobState::Ready {
                awake += 1;
                self.jobs.get_mut(&(*id, route.clone())).expect("a job of the model").state = Believed::Ready { due: now };
            }
        }
        assert_eq!((unparked, awake), (awake, keys.len().min(jobs_max as usize) as u64));
    }

    pub(super) async fn replay(&mut self) {
        let replayed = self.store().replay_dead(DeadFilter { all: true, ..DeadFilter::default() }).await.expect("replayed");
        let now = self.clock.now();
        let dead: Vec<_> = self.jobs.values_mut().filter(|job| job.state == Believed::Dead).collect();
        assert_eq!(replayed.len(), dead.len());
        for job in dead {
            job.state = Believed::Ready { due: now };
            (job.suspect, job.charges, job.attempts_before) = (false, 0, job.attempt);
            job.replays += u32::from(job.is_refused);
            for step in job.steps.values_mut().filter(|step| matches!(step.state, BelievedStep::Recorded { status: 400.., .. })) {
                (step.state, step.replays) = (BelievedStep::Forgotten, step.replays + 1);
            }
        }
    }

    pub(super) async fn discard(&mut self) {
        let filter = DeadFilter { all: true, ..DeadFilter::default() };
        let discarded = self.store().discard_dead(filter, "not wanted".into()).await.expect("discarded");
        let dead: Vec<_> = self.jobs.iter().filter(|(_, job)| job.state == Believed::Dead).map(|(key, _)| key.clone()).collect();
        assert_eq!(discarded.len(), dead.len());
        for key in dead {
            self.jobs.get_mut(&key).expect("a job of the model").state = Believed::Discarded;
            self.leave_line(&key, false);
        }
    }

    /// What is old and finished goes; what is old and owed or dead stays.
    pub(super) async fn expire(&mut self) {
        let cutoff = self.clock.now() - RETENTION;
        self.store().expire(cutoff).await.expect("expired");
        for (id, event) in &mut self.events {
            let is_owed = self.jobs.iter().any(|((of, _), job)| of == id && !job.is_finished());
            event.is_kept &= event.arrived >= cutoff || is_owed;
        }
    }

    pub(super) async fn prune(&mut self) {
        self.store().prune().await.expect("pruned");
        let now = self.clock.now();
        if self.state.get(FLEETING).is_some_and(|item| !item.is_there(now)) {
            self.state.remove(FLEETING);
        }
    }
}
