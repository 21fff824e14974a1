//! What a handler reaches outside the sandbox while its job runs: upstreams, by way of the journal of its steps, and its state.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::error;

use super::journal::{Asked, Journal, Known};
use crate::domain::{
    CallFault, CallFaultKind, CallRecord, Job, OutboundAnswer, OutboundRequest, StateItem, StateScope, Step, Timestamp, UpstreamName,
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
        Box::pin(async move { self.journal.lock().await.begin(step).await })
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
        let asked = Asked::of(&request);
        let replays = match journal.look(&step, &asked).await {
            Ok(Known::Answered { answer, replays }) => return self.replayed(&request, replays, answer),
            Ok(Known::Unanswered { replays }) => replays,
            Err(fault) => return self.refused(&request, fault),
        };
        let (answer, record) = self.send(request, replays).await;
        let latency = Duration::from_millis(record.ms);
        let answer = match answer {
            Ok(answer) => journal.keep_if_final(step, asked, &answer, replays, latency).await.map(|()| answer),
            Err(fault) => Err(fault),
        };
        (answer, record)
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

    fn replayed(&self, request: &OutboundRequest, replays: u32, answer: OutboundAnswer) -> Called {
        let record = CallRecord { status: Some(answer.status), recorded: true, ..self.opened(request, replays) };
        (Ok(answer), record)
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
