//! A job's handler: one run of it, and of its compensation where the job is given up. Both are done with what they ask for; what
//! commits is the caller's to say.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sha2::{Digest as _, Sha256};
use tracing::error;

use super::Crew;
use super::attempt::Ended;
use super::effects::{Unfulfillable, effects};
use super::journal::Journal;
use super::surroundings::Surroundings;
use crate::config::InForce;
use crate::domain::{
    AttemptRecord, Effects, Event, FailureKind, Grant, Job, LogLevel, LogLine, Outcome, ParkReason, StateScope, Timestamp, UpstreamName,
    Verdict, Wishes,
};
use crate::sandbox::{Plugin, Ran, Run};

/// So often a job is run again at once, in one attempt, because state that it relied on has changed.
const CONFLICTS_MAX: u32 = 8;

/// What is known of an attempt from one of its runs to the next.
pub(super) struct Progress {
    /// Whether there may be steps in the job's journal.
    has_steps: bool,
    /// How often state had changed by the commit; of the compensation, once it has come to that.
    pub(super) conflicts: u32,
    /// What the handler came to, once its compensation is all that is left to run.
    given_up: Option<(Outcome, AttemptRecord)>,
}

impl Progress {
    /// Of an attempt that begins.
    pub(super) fn new(has_steps: bool) -> Self {
        Self { has_steps, conflicts: 0, given_up: None }
    }

    fn has_run_out(&self) -> bool {
        self.conflicts > CONFLICTS_MAX
    }
}

/// A handler and its event.
pub(super) struct Task<'t> {
    crew: &'t Crew,
    plugin: &'t Plugin,
    job: &'t Job,
    event: &'t Arc<Event>,
    in_force: &'t InForce,
    grant: Arc<Grant>,
    scope: StateScope,
    now: Timestamp,
}

impl<'t> Task<'t> {
    pub(super) fn new(crew: &'t Crew, plugin: &'t Plugin, job: &'t Job, event: &'t Arc<Event>, in_force: &'t InForce) -> Self {
        let grant = in_force.settings.grant(&job.plugin);
        let source = grant.state.filter(|state| state.is_per_source).map(|_| job.source.clone());
        let scope = StateScope { plugin: job.plugin.clone(), source };
        Self { crew, plugin, job, event, in_force, grant, scope, now: crew.workshop.clock.now() }
    }

    /// The next run of the attempt.
    pub(super) async fn run(&self, progress: &mut Progress) -> Ended {
        if progress.given_up.is_none() {
            let ended = if progress.has_run_out() { self.give_way() } else { self.handle(progress).await };
            match ended {
                Ended { outcome: outcome @ Outcome::Dead { .. }, record: Some(record), .. } if self.plugin.can_compensate() => {
                    progress.given_up = Some((outcome, record));
                    progress.conflicts = 0;
                }
                ended => return ended,
            }
        }
        let (outcome, record) = progress.given_up.clone().expect("given up above, or before");
        self.compensate(outcome, record, progress).await
    }

    async fn handle(&self, progress: &mut Progress) -> Ended {
        let around = self.surroundings(std::mem::replace(&mut progress.has_steps, true));
        let started = Instant::now();
        let ran = AssertUnwindSafe(self.plugin.run(&self.crew.workshop.engine, self.guest_run(&around))).catch_unwind().await;
        let Ran { verdict, record, wishes } = ran.unwrap_or_else(|_| self.host_failure(started.elapsed()));
        self.crew.workshop.metrics.attempt(&self.job.plugin, &verdict, record.duration);
        if let Some(upstream) = self.waits_for(&verdict, &around) {
            return Ended::plain(Outcome::Park { reason: ParkReason::UpstreamDown(upstream) }, Some(record));
        }
        let fulfilled = if let Verdict::Done(_) = verdict { self.effects(wishes) } else { Ok(Effects::default()) };
        match fulfilled {
            Ok(effects) => Ended { outcome: self.decide(verdict), record: Some(record), effects },
            Err(error) => Ended::plain(self.decide(Verdict::DeadLetter(error.to_string())), Some(record)),
        }
    }

    /// The upstream whose return is better waited for than tried again. Only by the handler's own word: what went wrong otherwise had
    /// nothing to do with an upstream; and no longer than its policy lets a job grow old.
    fn waits_for(&self, verdict: &Verdict, around: &Surroundings) -> Option<UpstreamName> {
        let Verdict::Retry { kind: FailureKind::Handler, .. } = verdict else { return None };
        let max_age = self.in_force.settings.retry(&self.job.source).and_then(|policy| policy.max_age);
        around.waits_for().filter(|_| max_age.is_none_or(|age| self.crew.workshop.clock.steady().since(self.job.owed_since) < age))
    }

    /// Others have changed the state that it relies on all the time: it comes back later.
    fn give_way(&self) -> Ended {
        let reason = format!("state that it relies on was changed by others {} times while it ran", CONFLICTS_MAX + 1);
        let verdict = Verdict::Retry { kind: FailureKind::StateConflict, reason, after: None };
        self.crew.workshop.metrics.attempt(&self.job.plugin, &verdict, Duration::ZERO);
        let record = self.record(Duration::ZERO, FailureKind::StateConflict);
        Ended::plain(self.decide(verdict), Some(record))
    }

    /// Lets the plugin take back what attempts have done. Its effects commit with the dead letter. That it is in any case, unless others
    /// were in the way of it all the time and the job has attempts left.
    async fn compensate(&self, outcome: Outcome, mut record: AttemptRecord, progress: &Progress) -> Ended {
        if progress.has_run_out() {
            let ended = self.give_way();
            if matches!(ended.outcome, Outcome::Retry { .. }) {
                let record = AttemptRecord { failure: Some(FailureKind::StateConflict), ..record };
                return Ended { record: Some(record), ..ended };
            }
        }
        let (level, message, effects) = if progress.has_run_out() {
            not_taken_back("state that it relies on was changed by others all the time")
        } else {
            self.take_back(outcome.detail().unwrap_or_default(), &mut record).await
        };
        record.log.push(LogLine { level, message, fields: Vec::new() });
        Ended { outcome, record: Some(record), effects }
    }

    /// What the record says of a compensation, and what is to be committed of it.
    async fn take_back(&self, reason: &str, record: &mut AttemptRecord) -> (LogLevel, String, Effects) {
        let started = Instant::now();
        // It knows the job's steps, and is no second use of those that the handler called.
        let run = self.guest_run(&self.surroundings(true));
        let ran = AssertUnwindSafe(self.plugin.compensate(&self.crew.workshop.engine, run, reason)).catch_unwind().await;
        let Some(Ran { verdict, record: own, wishes }) = ran.unwrap_or_else(|_| Some(self.host_failure(started.elapsed()))) else {
            return not_taken_back("the version that is live by now has none");
        };
        record.duration += own.duration;
        record.calls.extend(own.calls);
        record.log.extend(own.log);
        match verdict {
            Verdict::Done(note) => match self.effects(wishes) {
                Ok(effects) => (LogLevel::Info, note.map_or_else(|| "compensated".into(), |note| format!("compensated: {note}")), effects),
                Err(error) => not_taken_back(&error.to_string()),
            },
            Verdict::Retry { reason, .. } | Verdict::Discard(reason) | Verdict::DeadLetter(reason) => not_taken_back(&reason),
        }
    }

    fn surroundings(&self, has_steps: bool) -> Arc<Surroundings> {
        let store = self.crew.workshop.store.clone();
        let journal = Journal::new(store.clone(), self.job.clone(), has_steps);
        Arc::new(Surroundings {
            store,
            upstreams: self.in_force.upstreams.clone(),
            metrics: Arc::clone(&self.crew.workshop.metrics),
            job: self.job.clone(),
            scope: self.scope.clone(),
            now: self.now,
            journal: tokio::sync::Mutex::new(journal),
            down: Mutex::default(),
            has_sent: AtomicBool::new(false),
        })
    }

    fn guest_run(&self, around: &Arc<Surroundings>) -> Run {
        let policy = self.in_force.settings.retry(&self.job.source).cloned().unwrap_or_default();
        Run {
            event: Arc::clone(self.event),
            lineage: self.job.lineage.clone(),
            attempt: self.job.attempt,
            max_attempts: self.job.attempts_before.saturating_add(policy.max_attempts),
            now: self.now,
            seed: seed(self.job),
            grant: Arc::clone(&self.grant),
            outside: Arc::clone(around) as _,
        }
    }

    fn effects(&self, wishes: Wishes) -> Result<Effects, Unfulfillable> {
        effects(wishes, self.job, self.event, &self.scope, self.grant.state, &self.in_force.settings, self.now)
    }

    fn decide(&self, verdict: Verdict) -> Outcome {
        self.crew.decide(verdict, self.job, self.in_force)
    }

    /// The host itself panicked: the job is kept, the failure has a name, and the log has the panic.
    fn host_failure(&self, duration: Duration) -> Ran {
        error!(plugin = %self.plugin.name, "the host panicked while running this plugin; please report it");
        let reason = "the host failed while running the plugin; see the server's log".to_owned();
        let verdict = Verdict::Retry { kind: FailureKind::Host, reason, after: None };
        Ran { verdict, record: self.record(duration, FailureKind::Host), wishes: Wishes::default() }
    }

    /// Of a run that has left nothing but its failure.
    fn record(&self, duration: Duration, failure: FailureKind) -> AttemptRecord {
        let digest = self.plugin.digest;
        AttemptRecord { started_at: self.now, duration, digest, failure: Some(failure), calls: Vec::new(), log: Vec::new() }
    }
}

fn not_taken_back(reason: &str) -> (LogLevel, String, Effects) {
    (LogLevel::Error, format!("compensation failed: {reason}"), Effects::default())
}

/// The guest's randomness hangs on lineage and attempt alone, so that a run can be repeated.
fn seed(job: &Job) -> u64 {
    let digest = Sha256::new().chain_update(job.lineage.to_string()).chain_update(job.attempt.to_le_bytes()).finalize();
    u64::from_le_bytes(*digest.first_chunk().expect("a SHA-256 has 32 bytes"))
}
