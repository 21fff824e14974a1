//! Steps: what the journal of a job keeps.

use std::time::Duration;

use hookfast::domain::{Headers, Job, JournalEntry, OutboundAnswer, RecordedStep, StepState};
use hookfast::store::{SettleError, Store};

use super::history::History;
use super::model::{BelievedStep, ModelStep, job_key};
use super::step::Noted;

impl History {
    /// A running job's step is kept, unless more is known of it already.
    pub(super) async fn journal(&mut self, job: &Job, step: u8, noted: Noted) {
        let model = self.jobs.get_mut(&job_key(&job.lineage)).expect("a job of the model");
        let replays = model.steps.get(&name(step)).map_or(0, |step| step.replays);
        let state = match noted {
            Noted::Begun => BelievedStep::Begun { attempt: job.attempt },
            Noted::Answered { status } => BelievedStep::Recorded { attempt: job.attempt, status },
        };
        let known = model.steps.entry(name(step)).or_insert(ModelStep { state: BelievedStep::Forgotten, replays });
        match (known.state, state) {
            (BelievedStep::Recorded { .. }, _) | (BelievedStep::Begun { .. }, BelievedStep::Begun { .. }) => {}
            _ => known.state = state,
        }
        let expected: Vec<_> = model.steps.clone().into_iter().collect();
        self.store().journal(job, entry(job, step, noted, replays)).await.expect("journalled: it is still ours");
        let kept = self.store().steps(&job.lineage).await.expect("steps");
        let mut kept: Vec<_> = kept.iter().map(believed).collect();
        kept.sort_by(|(one, _), (other, _)| one.cmp(other));
        assert_eq!(kept, expected);
    }

    pub(super) async fn journal_stale(&self, store: &Store, job: &Job, step: u8, noted: Noted) {
        let kept = store.journal(job, entry(job, step, noted, 0)).await;
        assert!(matches!(kept, Err(SettleError::Stale)), "{kept:?}");
    }
}

fn name(step: u8) -> String {
    format!("step-{step}")
}

fn entry(job: &Job, step: u8, noted: Noted, replays: u32) -> JournalEntry {
    let state = match noted {
        Noted::Begun => StepState::Begun { attempt: job.attempt },
        Noted::Answered { status } => {
            let mut headers = Headers::default();
            headers.push("content-type", "text/plain");
            let answer = OutboundAnswer { status, headers, body: body(job.attempt, status).into(), stale_for: None };
            let summary = "POST crm /orders".into();
            let latency = Duration::from_millis(status.into());
            StepState::Recorded(RecordedStep { request: [step; 32], summary, answer, attempt: job.attempt, latency })
        }
    };
    JournalEntry { step: name(step).parse().expect("a step"), state, replays }
}

fn body(attempt: u32, status: u16) -> String {
    format!("{status} in {attempt}")
}

/// What an entry says, and that nothing of it is another entry's.
fn believed(entry: &JournalEntry) -> (String, ModelStep) {
    let state = match &entry.state {
        StepState::Forgotten => BelievedStep::Forgotten,
        StepState::Begun { attempt } => BelievedStep::Begun { attempt: *attempt },
        StepState::Recorded(recorded) => {
            let RecordedStep { answer, attempt, latency, .. } = recorded;
            assert_eq!(answer.body, body(*attempt, answer.status));
            assert_eq!((answer.headers.text("content-type"), latency.as_millis()), (Some("text/plain"), answer.status.into()));
            BelievedStep::Recorded { attempt: *attempt, status: answer.status }
        }
    };
    (entry.step.to_string(), ModelStep { state, replays: entry.replays })
}
