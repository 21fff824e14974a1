//! One job from claim to settle.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sha2::{Digest as _, Sha256};
use tracing::{error, info, warn};

use super::Crew;
use super::decide::decide;
use super::effects::effects;
use super::notice;
use super::report::report;
use super::surroundings::{Journal, Surroundings};
use crate::config::InForce;
use crate::domain::{
    AttemptRecord, Effects, Event, FailureKind, Job, LogLevel, LogLine, Outcome, ParkReason, PluginName, RetryPolicy, StateScope, Verdict,
    Wishes,
};
use crate::sandbox::{Plugin, Ran, Run};
use crate::store::{Claimed, SettleError, Work};

/// So often a job is run again at once, in one attempt, because state that it relied on has changed.
const CONFLICTS_MAX: u32 = 8;

/// What a run came to, for the commit.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) record: Option<AttemptRecord>,
    pub(super) effects: Effects,
}

impl Ended {
    fn unrun(outcome: Outcome) -> Self {
        Self { outcome, record: None, effects: Effects::default() }
    }
}

impl Crew {
    /// Does what a job owes and settles it. The place is given back when the plugin has ended: the next job runs while this one's outcome
    /// is on its way to the disk. As many outcomes may be on their way as there are places.
    pub(super) async fn attempt(&self, claimed: Claimed) {
        let Claimed { job, work, mut place, is_born } = claimed;
        let (mut conflicts, mut turn) = (0, None);
        loop {
            // Only its first run in this attempt can be its first at all.
            let run = self.run(&job, &work, is_born && conflicts == 0, conflicts);
            let Ended { outcome, record, effects } =
                self.aborting.run_until_cancelled(run).await.unwrap_or_else(|| Ended::unrun(Outcome::Release));
            let scope = effects.state.as_ref().map(|state| state.scope.clone());
            let on_its_way = self.outcomes.acquire().await.expect("the semaphore is never closed");
            drop(place);
            report(&job, &outcome, record.as_ref());
            let parked = if let Outcome::Park { reason } = &outcome { Some(reason.clone()) } else { None };
            let settled = self.workshop.store.settle(&job, outcome, record, effects).await;
            drop((on_its_way, turn.take()));
            match settled {
                Ok(()) => {
                    if let Some(reason) = parked {
                        self.look_again(&job.plugin, &reason).await;
                    }
                }
                Err(SettleError::Conflict) => {
                    conflicts += 1;
                    if let Some(scope) = scope {
                        turn = self.turns.take(scope).await;
                        if turn.is_none() {
                            // As many wait as may: the database is the place to wait for the rest.
                            return self.release(&job).await;
                        }
                    }
                    place = self.workshop.slots.take().await;
                    continue;
                }
                Err(SettleError::Stale) => {
                    warn!(event = %job.lineage.event, lineage = %job.lineage, attempt = job.attempt, "a stale outcome changed nothing");
                }
                Err(SettleError::Closed) => {
                    info!(event = %job.lineage.event, lineage = %job.lineage, "not settled before the store closed; it will be rescued");
                }
            }
            return;
        }
    }

    async fn run(&self, job: &Job, work: &Work, is_first: bool, conflicts: u32) -> Ended {
        let in_force = self.workshop.current.load();
        match work {
            Work::Deliver(delivery) => self.deliver(job, delivery, &in_force).await,
            Work::Handle(event) if notice::is_own(job, &in_force.settings) => {
                notice::handle(job, event, in_force.settings.alerts.as_deref(), self.workshop.clock.now())
            }
            Work::Handle(_) if conflicts > CONFLICTS_MAX => self.give_way(job, &in_force),
            Work::Handle(event) => match self.plugin(&job.plugin, &in_force) {
                Err(reason) => Ended::unrun(Outcome::Park { reason }),
                Ok(plugin) => self.handle(&plugin, job, event, is_first, &in_force).await,
            },
        }
    }

    /// Others have changed the state that it relies on all the time: it comes back later.
    fn give_way(&self, job: &Job, in_force: &InForce) -> Ended {
        let reason = format!("state that it relies on was changed by others {} times while it ran", CONFLICTS_MAX + 1);
        let verdict = Verdict::Retry { kind: FailureKind::StateConflict, reason, after: None };
        self.workshop.metrics.attempt(&job.plugin, &verdict, Duration::ZERO);
        Ended::unrun(self.decide(verdict, job, in_force))
    }

    /// The plugin that is to run; else what its jobs wait for. A grant that was taken away is felt at once, not at the next load.
    fn plugin(&self, name: &PluginName, in_force: &InForce) -> Result<Arc<Plugin>, ParkReason> {
        let plugin = self.workshop.plugins.get(name).ok_or(ParkReason::PluginMissing)?;
        if plugin.is_within(&in_force.settings.grant(name)) { Ok(plugin) } else { Err(ParkReason::GrantMissing) }
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

    async fn handle(&self, plugin: &Plugin, job: &Job, event: &Arc<Event>, is_first: bool, in_force: &InForce) -> Ended {
        let grant = in_force.settings.grant(&job.plugin);
        let scope =
            StateScope { plugin: job.plugin.clone(), source: grant.state.filter(|state| state.is_per_source).map(|_| job.source.clone()) };
        let default = RetryPolicy::default();
        let policy = in_force.settings.retry(&job.source).unwrap_or(&default);
        let max_attempts = policy.max_attempts;
        let now = self.workshop.clock.now();
        let around = Arc::new(Surroundings {
            store: self.workshop.store.clone(),
            upstreams: in_force.upstreams.clone(),
            metrics: Arc::clone(&self.workshop.metrics),
            job: job.clone(),
            scope: scope.clone(),
            now,
            journal: tokio::sync::Mutex::new(if is_first { Journal::empty() } else { Journal::default() }),
            down: Mutex::default(),
            has_sent: AtomicBool::new(false),
        });
        let run = Run {
            event: Arc::clone(event),
            lineage: job.lineage.clone(),
            attempt: job.attempt,
            max_attempts: job.attempts_before.saturating_add(max_attempts),
            now,
            seed: seed(job),
            grant: Arc::clone(&grant),
            outside: Arc::clone(&around) as _,
        };
        let started = Instant::now();
        let ran = AssertUnwindSafe(plugin.run(&self.workshop.engine, run)).catch_unwind().await;
        let Ran { verdict, mut record, wishes } = ran.unwrap_or_else(|_| host_failure(plugin, now, started.elapsed()));
        self.workshop.metrics.attempt(&job.plugin, &verdict, record.duration);
        let made = |wishes| effects(wishes, job, event, &scope, grant.state, &in_force.settings, now);
        if let Verdict::Done(_) = verdict {
            return match made(wishes) {
                Ok(effects) => Ended { outcome: self.decide(verdict, job, in_force), record: Some(record), effects },
                Err(error) => {
                    let outcome = self.decide(Verdict::DeadLetter(error.to_string()), job, in_force);
                    Ended { outcome, record: Some(record), effects: Effects::default() }
                }
            };
        }
        // Only the handler's own word: what went wrong otherwise had nothing to do with the upstream.
        let waits_for = if let Verdict::Retry { kind: FailureKind::Handler, .. } = verdict { around.waits_for() } else { None };
        let is_too_old = policy.max_age.is_some_and(|age| now.since(job.owed_since) >= age);
        if let Some(upstream) = waits_for.filter(|_| !is_too_old) {
            return Ended {
                outcome: Outcome::Park { reason: ParkReason::UpstreamDown(upstream) },
                record: Some(record),
                effects: Effects::default(),
            };
        }
        let outcome = self.decide(verdict, job, in_force);
        let mut effects = Effects::default();
        if let Outcome::Dead { reason, .. } = &outcome
            && plugin.can_compensate()
        {
            let run = Run {
                event: Arc::clone(event),
                lineage: job.lineage.clone(),
                attempt: job.attempt,
                max_attempts: job.attempt,
                now,
                seed: seed(job),
                grant: Arc::clone(&grant),
                outside: around,
            };
            let compensated = AssertUnwindSafe(plugin.compensate(&self.workshop.engine, run, reason)).catch_unwind().await;
            if let Some(compensation) = compensated.unwrap_or_else(|_| Some(host_failure(plugin, now, started.elapsed()))) {
                effects = self.compensated(compensation, &mut record, made);
            }
        }
        Ended { outcome, record: Some(record), effects }
    }

    /// Adds what a compensation did to the attempt's record; its effects, if it was done.
    fn compensated<E: std::fmt::Display>(
        &self,
        compensation: Ran,
        record: &mut AttemptRecord,
        made: impl FnOnce(Wishes) -> Result<Effects, E>,
    ) -> Effects {
        let Ran { verdict, record: own, wishes } = compensation;
        let (level, message, effects) = match verdict {
            Verdict::Done(note) => match made(wishes) {
                Ok(effects) => (LogLevel::Info, note.map_or_else(|| "compensated".into(), |note| format!("compensated: {note}")), effects),
                Err(error) => (LogLevel::Error, format!("compensation failed: {error}"), Effects::default()),
            },
            Verdict::Retry { reason, .. } | Verdict::Discard(reason) | Verdict::DeadLetter(reason) => {
                (LogLevel::Error, format!("compensation failed: {reason}"), Effects::default())
            }
        };
        record.duration += own.duration;
        record.calls.extend(own.calls);
        record.log.extend(own.log);
        record.log.push(LogLine { level, message, fields: Vec::new() });
        effects
    }

    /// Applies the policy of the job's source.
    pub(super) fn decide(&self, verdict: Verdict, job: &Job, in_force: &InForce) -> Outcome {
        let default = RetryPolicy::default();
        let policy = in_force.settings.retry(&job.source).unwrap_or(&default);
        decide(verdict, job, policy, self.workshop.clock.now(), self.workshop.random.draw())
    }
}

/// The host itself panicked: the job is kept, the failure has a name, and the log has the panic.
fn host_failure(plugin: &Plugin, started_at: crate::domain::Timestamp, duration: Duration) -> Ran {
    error!(plugin = %plugin.name, "the host panicked while running this plugin; please report it");
    let reason = "the host failed while running the plugin; see the server's log".to_owned();
    let verdict = Verdict::Retry { kind: FailureKind::Host, reason, after: None };
    let record =
        AttemptRecord { started_at, duration, digest: plugin.digest, failure: Some(FailureKind::Host), calls: Vec::new(), log: Vec::new() };
    Ran { verdict, record, wishes: Wishes::default() }
}

/// The guest's randomness hangs on lineage and attempt alone, so that a run can be repeated.
fn seed(job: &Job) -> u64 {
    let digest = Sha256::new().chain_update(job.lineage.to_string()).chain_update(job.attempt.to_le_bytes()).finalize();
    u64::from_le_bytes(*digest.first_chunk().expect("a SHA-256 has 32 bytes"))
}
