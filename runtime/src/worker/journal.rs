//! The journal of a job's steps as one run of it knows it: read once, when it is first asked, and written durably.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tracing::error;

use crate::domain::{
    CallFault, CallFaultKind, Headers, Job, JournalEntry, OutboundAnswer, OutboundRequest, RecordedStep, Step, StepState, shown_path,
};
use crate::sandbox::Standing;
use crate::store::{Store, StoreError};

/// So many steps a job may have.
const STEPS_MAX: usize = 256;
/// So many bytes their responses may have together; the last one may be larger.
const BYTES_MAX: usize = 16 << 20;

/// The journal of a job, for one run of it.
pub(super) struct Journal {
    store: Store,
    job: Job,
    /// `None` until it is read.
    known: Option<BTreeMap<Step, JournalEntry>>,
    /// What this run has said comes next and not called yet.
    announced: BTreeSet<Step>,
    /// The steps that this run has called.
    called: BTreeSet<Step>,
}

/// What is known of a step that is about to be called.
pub(super) enum Known {
    /// Its final response.
    Answered { answer: OutboundAnswer, replays: u32 },
    /// None, after so many replays of a recorded failure.
    Unanswered { replays: u32 },
}

/// A step's request as the journal knows it. Headers count for what is asked for and not for what it is: a timestamp of this attempt in
/// one of them makes no other request.
pub(super) struct Asked {
    digest: [u8; 32],
    /// Method, upstream and path for people, without the values of a query.
    summary: String,
    headers: Headers,
}

impl Asked {
    pub(super) fn of(request: &OutboundRequest) -> Self {
        let mut hash = Sha256::new();
        let texts = [&request.upstream, &request.method, &request.path].map(|text| text.as_bytes());
        for part in texts.into_iter().chain([&*request.body]) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let summary = format!("{} {} {}", request.method, request.upstream, shown_path(&request.path));
        Self { digest: hash.finalize().into(), summary, headers: request.headers.clone() }
    }
}

impl Journal {
    /// Without steps of an earlier run there is nothing to read.
    pub(super) fn new(store: Store, job: Job, has_steps: bool) -> Self {
        let known = (!has_steps).then(BTreeMap::new);
        Self { store, job, known, announced: BTreeSet::new(), called: BTreeSet::new() }
    }

    /// Writes down that a step's call comes next; what was known of it before.
    pub(super) async fn begin(&mut self, step: Step) -> Result<Standing, CallFault> {
        let entry = self.known().await?.get(&step).cloned();
        match entry.as_ref().map(|entry| &entry.state) {
            Some(StepState::Recorded(_)) => return Ok(Standing::Recorded),
            Some(StepState::Begun { .. }) if self.announced.contains(&step) => return Ok(Standing::Fresh),
            Some(StepState::Begun { .. }) => return Ok(Standing::Uncertain),
            Some(StepState::Forgotten) | None => {}
        }
        self.has_room(&step)?;
        let replays = entry.map_or(0, |entry| entry.replays);
        self.keep(JournalEntry { step: step.clone(), state: StepState::Begun { attempt: self.job.attempt }, replays }).await?;
        self.announced.insert(step);
        Ok(Standing::Fresh)
    }

    /// What is known of a step that is called now, for the first time in this run.
    pub(super) async fn look(&mut self, step: &Step, asked: &Asked) -> Result<Known, CallFault> {
        if !self.called.insert(step.clone()) {
            let message = format!("step `{step}` is used twice in one attempt; give each call a step name of its own");
            return Err(CallFault::new(CallFaultKind::InvalidRequest, message));
        }
        let entry = self.known().await?.get(step);
        let replays = entry.map_or(0, |entry| entry.replays);
        match entry.map(|entry| &entry.state) {
            Some(StepState::Recorded(recorded)) if recorded.request == asked.digest => {
                Ok(Known::Answered { answer: recorded.answer.clone(), replays })
            }
            Some(StepState::Recorded(recorded)) => Err(changed(step, recorded, asked)),
            _ => {
                self.has_room(step)?;
                self.announced.remove(step);
                Ok(Known::Unanswered { replays })
            }
        }
    }

    /// Keeps a step's response, if it is its final one.
    pub(super) async fn keep_if_final(
        &mut self,
        step: Step,
        asked: Asked,
        answer: &OutboundAnswer,
        replays: u32,
        latency: Duration,
    ) -> Result<(), CallFault> {
        if !answer.is_final() || !answer.is_as_promised(&asked.headers) {
            return Ok(());
        }
        let Asked { digest, summary, .. } = asked;
        let recorded = RecordedStep { request: digest, summary, answer: answer.clone(), attempt: self.job.attempt, latency };
        self.keep(JournalEntry { step, state: StepState::Recorded(recorded), replays }).await
    }

    /// Keeps an entry durably. Where that fails the job is no longer this node's, or will be given back: the run is of no use any more.
    async fn keep(&mut self, entry: JournalEntry) -> Result<(), CallFault> {
        let kept = self.store.journal(&self.job, entry.clone()).await;
        kept.map_err(|_| CallFault {
            may_have_happened: true,
            ..CallFault::new(CallFaultKind::Reset, "this node can record no step of this job any more")
        })?;
        self.known().await?.insert(entry.step.clone(), entry);
        Ok(())
    }

    /// Whether another step has room.
    fn has_room(&self, step: &Step) -> Result<(), CallFault> {
        let Some(known) = &self.known else { return Ok(()) };
        let bytes = |entry: &JournalEntry| if let StepState::Recorded(recorded) = &entry.state { recorded.answer.body.len() } else { 0 };
        if known.contains_key(step) || known.len() < STEPS_MAX && known.values().map(bytes).sum::<usize>() < BYTES_MAX {
            return Ok(());
        }
        let message = format!("a job has at most {STEPS_MAX} steps, with responses of {} MiB together", BYTES_MAX >> 20);
        Err(CallFault::new(CallFaultKind::TooManyCalls, message))
    }

    async fn known(&mut self) -> Result<&mut BTreeMap<Step, JournalEntry>, CallFault> {
        if self.known.is_none() {
            let entries = self.store.steps(&self.job.lineage).await.map_err(|error| self.unreadable(&error))?;
            self.known = Some(entries.into_iter().map(|entry| (entry.step.clone(), entry)).collect());
        }
        Ok(self.known.as_mut().expect("read above"))
    }

    fn unreadable(&self, error: &StoreError) -> CallFault {
        error!(%error, lineage = %self.job.lineage, "the journal of a job cannot be read");
        CallFault::new(CallFaultKind::Reset, "the journal of this job cannot be read now")
    }
}

fn changed(step: &Step, recorded: &RecordedStep, asked: &Asked) -> CallFault {
    let is_alike = recorded.summary == asked.summary;
    let which = if is_alike { "the same with another query or body".to_owned() } else { format!("`{}`", asked.summary) };
    let message = format!(
        "step `{step}` is recorded for `{}` in attempt {}, and this run asks for {which}; a step's request must not change between attempts: \
         make it of the event alone, or give this call another step name",
        recorded.summary, recorded.attempt
    );
    CallFault::new(CallFaultKind::StepChanged, message)
}
