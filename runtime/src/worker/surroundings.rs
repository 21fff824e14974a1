//! What a handler reaches outside the sandbox while its job runs: upstreams, the journal of its steps, its state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tracing::error;

use crate::domain::{
    CallFault, CallFaultKind, CallRecord, Job, JournalEntry, OutboundAnswer, OutboundRequest, RecordedStep, StateItem, StateScope, Step,
    StepState, Timestamp, UpstreamName,
};
use crate::metrics::Metrics;
use crate::sandbox::{Called, Outside, Soon, Standing, Unavailable};
use crate::store::{Store, StoreError};
use crate::upstream::{CallContext, Upstreams, opened_record};

/// The way out of one run of a job.
pub(super) struct Surroundings {
    pub(super) store: Store,
    pub(super) upstreams: Upstreams,
    pub(super) metrics: Arc<Metrics>,
    pub(super) job: Job,
    pub(super) scope: StateScope,
    pub(super) now: Timestamp,
    pub(super) journal: tokio::sync::Mutex<Journal>,
    /// The upstream that took no call of this run, if one did not.
    pub(super) down: Mutex<Option<Down>>,
    /// Whether a call that is no step was sent.
    pub(super) has_sent: AtomicBool,
}

/// An upstream that took no call of a run.
#[derive(Clone)]
pub(super) struct Down {
    pub(super) upstream: UpstreamName,
    /// Its limits left no room; it is not that it fails.
    is_busy: bool,
    /// Whether the run had sent something by then that another run sends again.
    has_sent: bool,
}

/// So many steps a job may have.
const STEPS_MAX: usize = 256;
/// So many bytes their responses may have together; the last one may be larger.
const JOURNAL_BYTES_MAX: usize = 16 << 20;

/// What is known of a job's steps.
#[derive(Default)]
pub(super) struct Journal {
    /// `None` until it is read.
    known: Option<BTreeMap<Step, JournalEntry>>,
    /// What this run has said comes next and not called yet.
    announced: BTreeSet<Step>,
    /// The steps that this run has called.
    called: BTreeSet<Step>,
}

impl Journal {
    /// That of a job which has had no run before.
    pub(super) fn empty() -> Self {
        Self { known: Some(BTreeMap::new()), ..Self::default() }
    }

    /// Whether another step has room.
    fn has_room(&self, step: &Step) -> Result<(), CallFault> {
        let Some(known) = &self.known else { return Ok(()) };
        let bytes = |entry: &JournalEntry| if let StepState::Recorded(recorded) = &entry.state { recorded.answer.body.len() } else { 0 };
        if known.contains_key(step) || known.len() < STEPS_MAX && known.values().map(bytes).sum::<usize>() < JOURNAL_BYTES_MAX {
            return Ok(());
        }
        let message = format!("a job has at most {STEPS_MAX} steps, with responses of {} MiB together", JOURNAL_BYTES_MAX >> 20);
        Err(CallFault::new(CallFaultKind::TooManyCalls, message))
    }

    async fn known(&mut self, around: &Surroundings) -> Result<&mut BTreeMap<Step, JournalEntry>, CallFault> {
        if self.known.is_none() {
            let entries = around.store.steps(&around.job.lineage).await.map_err(|error| around.unreadable(&error))?;
            self.known = Some(entries.into_iter().map(|entry| (entry.step.clone(), entry)).collect());
        }
        Ok(self.known.as_mut().expect("read above"))
    }
}

impl Outside for Surroundings {
    fn call(&self, request: OutboundRequest) -> Soon<'_, Called> {
        Box::pin(async move {
            match request.step.clone() {
                None => self.send(request, 0).await,
                Some(step) => self.step(step, request).await,
            }
        })
    }

    fn upstream_at(&self, url: &http::Uri, of: &BTreeSet<UpstreamName>) -> Option<(String, String)> {
        self.upstreams.at(url, of)
    }

    fn begin(&self, step: Step) -> Soon<'_, Result<Standing, CallFault>> {
        Box::pin(async move {
            let mut journal = self.journal.lock().await;
            let entry = journal.known(self).await?.get(&step).cloned();
            match entry.as_ref().map(|entry| &entry.state) {
                Some(StepState::Recorded(_)) => return Ok(Standing::Recorded),
                Some(StepState::Begun { .. }) if journal.announced.contains(&step) => return Ok(Standing::Fresh),
                Some(StepState::Begun { .. }) => return Ok(Standing::Uncertain),
                Some(StepState::Forgotten) | None => {}
            }
            journal.has_room(&step)?;
            let replays = entry.map_or(0, |entry| entry.replays);
            self.keep(&mut journal, JournalEntry { step: step.clone(), state: StepState::Begun { attempt: self.job.attempt }, replays })
                .await?;
            journal.announced.insert(step);
            Ok(Standing::Fresh)
        })
    }

    fn state<'a>(&'a self, key: &'a str) -> Soon<'a, Result<Option<StateItem>, Unavailable>> {
        Box::pin(async move { self.store.state(&self.scope, key).await.map_err(|error| self.unavailable(&error)) })
    }

    fn state_bytes(&self) -> Soon<'_, Result<u64, Unavailable>> {
        Box::pin(async move { self.store.state_bytes(&self.scope).await.map_err(|error| self.unavailable(&error)) })
    }
}

impl Surroundings {
    /// The recorded response of a step, or that of a call which is recorded before the handler sees it.
    async fn step(&self, step: Step, request: OutboundRequest) -> Called {
        let mut journal = self.journal.lock().await;
        if !journal.called.insert(step.clone()) {
            let message = format!("step `{step}` is used twice in one attempt; give each call a step name of its own");
            return self.refused(&request, CallFault::new(CallFaultKind::InvalidRequest, message));
        }
        let digest = digest(&request);
        let entry = match journal.known(self).await {
            Ok(known) => known.get(&step).cloned(),
            Err(fault) => return self.refused(&request, fault),
        };
        let replays = entry.as_ref().map_or(0, |entry| entry.replays);
        if let Some(StepState::Recorded(recorded)) = entry.map(|entry| entry.state) {
            return if recorded.request == digest {
                self.replayed(&request, replays, recorded)
            } else {
                self.refused(&request, changed(&step, &recorded, &request))
            };
        }
        if let Err(fault) = journal.has_room(&step) {
            return self.refused(&request, fault);
        }
        journal.announced.remove(&step);
        let accepted = request.headers.clone();
        let summary = summary(&request);
        let (answer, record) = self.send(request, replays).await;
        let answer = match answer {
            Ok(answer) if answer.is_final() && answer.is_as_promised(&accepted) => {
                let latency = Duration::from_millis(record.ms);
                let recorded = RecordedStep { request: digest, summary, answer: answer.clone(), attempt: self.job.attempt, latency };
                let entry = JournalEntry { step, state: StepState::Recorded(recorded), replays };
                self.keep(&mut journal, entry).await.map(|()| answer)
            }
            answer => answer,
        };
        (answer, record)
    }

    /// Keeps an entry durably. Where that fails the job is no longer this node's, or will be given back: the run is of no use any more.
    async fn keep(&self, journal: &mut Journal, entry: JournalEntry) -> Result<(), CallFault> {
        let kept = self.store.journal(&self.job, entry.clone()).await;
        kept.map_err(|_| CallFault {
            may_have_happened: true,
            ..CallFault::new(CallFaultKind::Reset, "this node can record no step of this job any more")
        })?;
        journal.known(self).await?.insert(entry.step.clone(), entry);
        Ok(())
    }

    /// Makes one call, and notes an upstream that takes none.
    async fn send(&self, request: OutboundRequest, replays: u32) -> Called {
        let context = self.context(replays);
        let is_step = request.step.is_some();
        let called = call(&self.upstreams, &self.metrics, request, &context).await;
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        match &called {
            (Err(fault), record) if fault.kind.is_upstream_down() => {
                let is_busy = fault.kind == CallFaultKind::RateLimited;
                let has_sent = self.has_sent.load(Ordering::Relaxed);
                *down = record.upstream.parse().ok().map(|upstream| Down { upstream, is_busy, has_sent });
            }
            (answer, record) => {
                // It does take calls.
                if down.as_ref().is_some_and(|down| down.upstream.as_str() == record.upstream) {
                    *down = None;
                }
                if !is_step && answer.as_ref().map_or_else(|fault| fault.may_have_happened, |_| true) {
                    self.has_sent.store(true, Ordering::Relaxed);
                }
            }
        }
        drop(down);
        called
    }

    /// The upstream that the run's job is to wait for. Not one that was only busy if calls were made by then that the next run would make
    /// again: they would use up what room there is, over and over.
    pub(super) fn waits_for(&self) -> Option<UpstreamName> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        down.filter(|down| !(down.is_busy && down.has_sent)).map(|down| down.upstream)
    }

    fn replayed(&self, request: &OutboundRequest, replays: u32, recorded: RecordedStep) -> Called {
        let record = CallRecord { status: Some(recorded.answer.status), recorded: true, ..self.opened(request, replays) };
        (Ok(recorded.answer), record)
    }

    fn refused(&self, request: &OutboundRequest, fault: CallFault) -> Called {
        let record = CallRecord { fault: Some(fault.kind.code().into()), idempotency_key: None, ..self.opened(request, 0) };
        (Err(fault), record)
    }

    fn opened(&self, request: &OutboundRequest, replays: u32) -> CallRecord {
        opened_record(request, &self.context(replays))
    }

    fn context(&self, replays: u32) -> CallContext {
        CallContext { plugin: self.job.plugin.clone(), lineage: self.job.lineage.clone(), replays, now: self.now }
    }

    fn unreadable(&self, error: &StoreError) -> CallFault {
        error!(%error, lineage = %self.job.lineage, "the journal of a job cannot be read");
        CallFault::new(CallFaultKind::Reset, "the journal of this job cannot be read now")
    }

    fn unavailable(&self, error: &StoreError) -> Unavailable {
        error!(%error, plugin = %self.scope.plugin, "a plugin's state cannot be read");
        Unavailable
    }
}

/// Makes one call and measures it.
pub(super) async fn call(upstreams: &Upstreams, metrics: &Metrics, request: OutboundRequest, context: &CallContext) -> Called {
    let (answer, record) = upstreams.call(request, context).await;
    let result = match &answer {
        Ok(OutboundAnswer { stale_for: Some(_), .. }) => "stale",
        Ok(answer) => ["1xx", "2xx", "3xx", "4xx", "5xx"].get(usize::from(answer.status / 100).wrapping_sub(1)).unwrap_or(&"other"),
        Err(fault) => fault.kind.code(),
    };
    metrics.upstream_call(&record.upstream, result, Duration::from_millis(record.ms));
    (answer, record)
}

/// What a step's request is known by. Not its headers: a timestamp of this attempt in one of them makes no other request.
fn digest(request: &OutboundRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    let texts = [&request.upstream, &request.method, &request.path].map(|text| text.as_bytes());
    for part in texts.into_iter().chain([&*request.body]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Method, upstream and path for people, without the values of a query.
fn summary(request: &OutboundRequest) -> String {
    let path = request.path.split('?').next().unwrap_or_default();
    format!("{} {} {}", request.method, request.upstream, path.chars().take(512).collect::<String>())
}

fn changed(step: &Step, recorded: &RecordedStep, request: &OutboundRequest) -> CallFault {
    let now = summary(request);
    let which = if recorded.summary == now { "the same with another query or body".to_owned() } else { format!("`{now}`") };
    let message = format!(
        "step `{step}` is recorded for `{}` in attempt {}, and this run asks for {which}; a step's request must not change between attempts: \
         make it of the event alone, or give this call another step name",
        recorded.summary, recorded.attempt
    );
    CallFault::new(CallFaultKind::StepChanged, message)
}
