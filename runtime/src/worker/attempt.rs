//! One job from claim to settle.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sha2::{Digest as _, Sha256};
use tracing::{error, info, warn};

use super::Crew;
use super::decide::decide;
use super::report::report;
use crate::config::InForce;
use crate::domain::{AttemptRecord, FailureKind, Job, Outcome, ParkReason, PluginName, RetryPolicy, Verdict};
use crate::sandbox::{Caller, Plugin, Ran, Run};
use crate::store::{Claimed, SettleError};
use crate::upstream::CallContext;

impl Crew {
    /// Runs a job's plugin and settles the job. The place is given back when the plugin has ended: the next job runs while this
    /// one's outcome is on its way to the disk. As many outcomes may be on their way as there are places.
    pub(super) async fn attempt(&self, claimed: Claimed) {
        let in_force = self.workshop.current.load();
        let (outcome, record) = match self.plugin(&claimed.job.plugin, &in_force) {
            Err(reason) => (Outcome::Park { reason }, None),
            Ok(plugin) => {
                let ran = self.aborting.run_until_cancelled(self.run(&plugin, &claimed, &in_force)).await;
                ran.map_or((Outcome::Release, None), |(outcome, record)| (outcome, Some(record)))
            }
        };
        let Claimed { job, place, event } = claimed;
        let _on_its_way = self.outcomes.acquire().await.expect("the semaphore is never closed");
        drop((place, event));
        report(&job, &outcome, record.as_ref());
        let was_parked = matches!(outcome, Outcome::Park { .. });
        match self.workshop.store.settle(&job, outcome, record).await {
            Ok(()) if was_parked => self.look_again(&job.plugin).await,
            Ok(()) => {}
            Err(SettleError::Stale) => {
                warn!(event = %job.lineage.event, lineage = %job.lineage, attempt = job.attempt, "a stale outcome changed nothing");
            }
            Err(SettleError::Closed) => {
                info!(event = %job.lineage.event, lineage = %job.lineage, "not settled before the store closed; it will be rescued");
            }
        }
    }

    /// The plugin that is to run; else what its jobs wait for. A grant that was taken away is felt at once, not at the next load.
    fn plugin(&self, name: &PluginName, in_force: &InForce) -> Result<Arc<Plugin>, ParkReason> {
        let plugin = self.workshop.plugins.get(name).ok_or(ParkReason::PluginMissing)?;
        if plugin.is_within(&in_force.settings.grant(name)) { Ok(plugin) } else { Err(ParkReason::GrantMissing) }
    }

    /// What was waited for may have come between the look and the park: then nobody else would wake the plugin's jobs.
    async fn look_again(&self, plugin: &PluginName) {
        if self.plugin(plugin, &self.workshop.current.load()).is_ok()
            && let Err(error) = self.workshop.store.unpark(plugin).await
        {
            error!(%plugin, %error, "jobs that wait for this plugin could not be made ready");
        }
    }

    async fn run(&self, plugin: &Plugin, claimed: &Claimed, in_force: &InForce) -> (Outcome, AttemptRecord) {
        let job = &claimed.job;
        let default = RetryPolicy::default();
        // A source that was taken out of the configuration still owes its jobs, under the default policy.
        let policy = in_force.settings.sources.get(&job.source).map_or(&default, |source| &source.retry);
        let now = self.workshop.clock.now();
        let started = Instant::now();
        let run = Run {
            event: Arc::clone(&claimed.event),
            attempt: job.attempt,
            max_attempts: job.attempts_before.saturating_add(policy.max_attempts),
            now,
            seed: seed(job),
            grant: in_force.settings.grant(&job.plugin),
            caller: self.caller(job, in_force),
        };
        let ran = AssertUnwindSafe(plugin.run(&self.workshop.engine, run)).catch_unwind().await;
        let Ran { verdict, record } = ran.unwrap_or_else(|_| host_failure(plugin, now, started.elapsed()));
        self.workshop.metrics.attempt(&job.plugin, verdict_word(&verdict), record.duration);
        (decide(verdict, job, policy, self.workshop.clock.now(), self.workshop.random.draw()), record)
    }

    fn caller(&self, job: &Job, in_force: &InForce) -> Caller {
        let upstreams = in_force.upstreams.clone();
        let context = Arc::new(CallContext { lineage: job.lineage.clone(), now: self.workshop.clock.now() });
        let metrics = Arc::clone(&self.workshop.metrics);
        Arc::new(move |request| {
            let (upstreams, context, metrics) = (upstreams.clone(), Arc::clone(&context), Arc::clone(&metrics));
            Box::pin(async move {
                let (answer, record) = upstreams.call(request, &context).await;
                let result = match &answer {
                    Ok(answer) => {
                        ["1xx", "2xx", "3xx", "4xx", "5xx"].get(usize::from(answer.status / 100).wrapping_sub(1)).unwrap_or(&"other")
                    }
                    Err(fault) => fault.kind.code(),
                };
                metrics.upstream_call(&record.upstream, result, Duration::from_millis(record.ms));
                (answer, record)
            })
        })
    }
}

/// The host itself panicked: the job is kept, the failure has a name, and the log has the panic.
fn host_failure(plugin: &Plugin, started_at: crate::domain::Timestamp, duration: Duration) -> Ran {
    error!(plugin = %plugin.name, "the host panicked while running this plugin; please report it");
    let reason = "the host failed while running the plugin; see the server's log".to_owned();
    let verdict = Verdict::Retry { kind: FailureKind::Host, reason, after: None };
    let record =
        AttemptRecord { started_at, duration, digest: plugin.digest, failure: Some(FailureKind::Host), calls: Vec::new(), log: Vec::new() };
    Ran { verdict, record }
}

fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Done(_) => "done",
        Verdict::Retry { kind, .. } => kind.code(),
        Verdict::Discard(_) => "discard",
        Verdict::DeadLetter(_) => "dead_letter",
    }
}

/// The guest's randomness hangs on lineage and attempt alone, so that a run can be repeated.
fn seed(job: &Job) -> u64 {
    let digest = Sha256::new().chain_update(job.lineage.to_string()).chain_update(job.attempt.to_le_bytes()).finalize();
    u64::from_le_bytes(*digest.first_chunk().expect("a SHA-256 has 32 bytes"))
}
