//! One job from claim to settle.

use std::pin::pin;
use std::sync::Arc;

use tracing::{error, info, warn};

use super::Crew;
use super::decide::decide;
use super::handle::{Progress, Task};
use super::notice;
use super::report::report;
use crate::config::InForce;
use crate::domain::{AttemptRecord, Effects, Job, Outcome, ParkReason, PluginName, RetryPolicy, Verdict};
use crate::sandbox::Plugin;
use crate::store::{Claimed, SettleError, Work};

/// What a run came to, for the commit.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) record: Option<AttemptRecord>,
    pub(super) effects: Effects,
}

impl Ended {
    /// Without effects.
    pub(super) fn plain(outcome: Outcome, record: Option<AttemptRecord>) -> Self {
        Self { outcome, record, effects: Effects::default() }
    }
}

impl Crew {
    /// Does what a job owes and settles it. The place is given back when the plugin has ended: the next job runs while this one's outcome
    /// is on its way to the disk. As many outcomes may be on their way as there are places.
    pub(super) async fn attempt(&self, claimed: Claimed) {
        let Claimed { job, work, mut place, has_steps } = claimed;
        let (mut progress, mut turn) = (Progress::new(has_steps), None);
        loop {
            let ended = {
                // Pinned here, or the future of this attempt would hold that of its run twice, and be moved with both.
                let run = pin!(self.run(&job, &work, &mut progress));
                self.aborting.run_until_cancelled(run).await
            };
            let Ended { outcome, record, effects } = ended.unwrap_or_else(|| Ended::plain(Outcome::Release, None));
            let scope = effects.state.as_ref().map(|state| state.scope.clone());
            let on_its_way = self.outcomes.acquire().await.expect("the semaphore is never closed");
            // Where it stands again if it has to: a place that is kept for newcomers stays one.
            let places = Arc::clone(place.semaphore());
            drop(place);
            report(&job, &outcome, record.as_ref());
            let parked = if let Outcome::Park { reason } = &outcome { Some(reason.clone()) } else { None };
            let settled = self.workshop.store.settle(&job, outcome, record, effects).await;
            drop((on_its_way, turn.take()));
            match settled {
                Err(SettleError::Conflict) => {
                    progress.conflicts += 1;
                    if let Some(scope) = scope {
                        turn = self.turns.take(scope).await;
                        if turn.is_none() {
                            // As many wait as may: the database is the place to wait for the rest.
                            return self.release(&job).await;
                        }
                    }
                    place = places.acquire_owned().await.expect("the semaphore is never closed");
                }
                settled => return self.settled(&job, settled, parked.as_ref()).await,
            }
        }
    }

    async fn settled(&self, job: &Job, settled: Result<(), SettleError>, parked: Option<&ParkReason>) {
        match (settled, parked) {
            // A box, as for a delivery below: what few attempts come to is no part of the future that each of them is.
            (Ok(()), Some(reason)) => Box::pin(self.look_again(&job.plugin, reason)).await,
            (Ok(()), None) => {}
            (Err(SettleError::Closed), _) => {
                info!(event = %job.lineage.event, lineage = %job.lineage, "not settled before the store closed; it will be rescued");
            }
            (Err(SettleError::Stale | SettleError::Conflict), _) => {
                warn!(event = %job.lineage.event, lineage = %job.lineage, attempt = job.attempt, "a stale outcome changed nothing");
            }
        }
    }

    async fn run(&self, job: &Job, work: &Work, progress: &mut Progress) -> Ended {
        let in_force = self.workshop.current.load();
        match work {
            Work::Deliver(delivery) => Box::pin(self.deliver(job, delivery, &in_force)).await,
            Work::Handle(event) if notice::is_own(job, &in_force.settings) => {
                notice::handle(job, event, in_force.settings.alerts.as_deref(), self.workshop.clock.now())
            }
            Work::Handle(event) => match self.plugin(&job.plugin, &in_force) {
                Err(reason) => Box::pin(self.without_plugin(job, reason, &in_force)).await,
                Ok(plugin) => Task::new(self, &plugin, job, event, &in_force).run(progress).await,
            },
        }
    }

    /// The plugin that is to run; else what its jobs wait for. A grant that was taken away is felt at once, not at the next load.
    fn plugin(&self, name: &PluginName, in_force: &InForce) -> Result<Arc<Plugin>, ParkReason> {
        let plugin = self.workshop.plugins.get(name).ok_or(ParkReason::PluginMissing)?;
        if plugin.is_within(&in_force.settings.grant(name)) { Ok(plugin) } else { Err(ParkReason::GrantMissing) }
    }

    /// Others that run the plugin may have the job, and with it all that comes from its source, if this node runs nothing of that; else it
    /// waits.
    async fn without_plugin(&self, job: &Job, reason: ParkReason, in_force: &InForce) -> Ended {
        let target = in_force.settings.target(&job.source);
        if target.is_some_and(|target| target.routes.iter().any(|route| self.plugin(&route.plugin, in_force).is_ok())) {
            return Ended::plain(Outcome::Park { reason }, None);
        }
        let is_left = self.workshop.store.leave_to_others(&job.source, &job.plugin).await.unwrap_or_else(|error| {
            warn!(%error, plugin = %job.plugin, "whether another node runs this plugin could not be found out");
            false
        });
        Ended::plain(if is_left { Outcome::Release } else { Outcome::Park { reason } }, None)
    }

    /// What was waited for may have come between the look and the park: then nobody else would wake the plugin's jobs. Upstreams are
    /// looked at all the time.
    async fn look_again(&self, plugin: &PluginName, reason: &ParkReason) {
        if reason.upstream().is_none()
            && self.plugin(plugin, &self.workshop.current.load()).is_ok()
            && let Err(error) = self.workshop.store.unpark(plugin).await
        {
            error!(%plugin, %error, "jobs that wait for this plugin could not be made ready");
        }
    }

    /// Applies the policy of the job's source.
    pub(super) fn decide(&self, verdict: Verdict, job: &Job, in_force: &InForce) -> Outcome {
        let default = RetryPolicy::default();
        let policy = in_force.settings.retry(&job.source).unwrap_or(&default);
        decide(verdict, job, policy, self.workshop.clock.steady(), self.workshop.random.draw())
    }
}
