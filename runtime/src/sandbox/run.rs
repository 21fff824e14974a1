//! One attempt: an instance, the handler, and what it came to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bindings::handling::exports::hookfast::plugin::handler::{Event as GuestEvent, Failure};
use super::bindings::imports::types::Header;
use super::draft::Draft;
use super::engine::Engine;
use super::failure::classify;
use super::guest::{Handling, Powers, Work};
use super::host::without_nul;
use super::outside::Outside;
use super::plugin::Plugin;
use crate::domain::{AttemptRecord, Digest, Event, FailureKind, Grant, Lineage, Timestamp, Verdict, Wishes};

/// The longest reason or note that is kept.
const REASON_CHARS: usize = 1000;

/// What one attempt is given.
pub struct Run {
    /// The event to handle.
    pub event: Arc<Event>,
    /// What the ids of its effects hang on.
    pub lineage: Lineage,
    /// From 1.
    pub attempt: u32,
    /// What the retry policy allows.
    pub max_attempts: u32,
    /// The time that the guest sees.
    pub now: Timestamp,
    /// What the guest's randomness is seeded with.
    pub seed: u64,
    /// What the operator allows.
    pub grant: Arc<Grant>,
    /// The way out.
    pub outside: Arc<dyn Outside>,
}

/// What an attempt came to.
pub struct Ran {
    /// The handler's word, or the host's where it failed.
    pub verdict: Verdict,
    /// What is kept of the attempt.
    pub record: AttemptRecord,
    /// What it wants to be true, if it is done.
    pub wishes: Wishes,
}

impl Plugin {
    /// Runs the handler for one event within the grant's limits.
    pub async fn run(&self, engine: &Engine, run: Run) -> Ran {
        let started = Instant::now();
        let started_at = run.now;
        let limits = run.grant.limits;
        let Some(handling) = &self.exports.handling else { return self.handles_nothing(&run) };
        let powers = powers(&run, self.digest, 0);
        let mut instance = self.waiting.take(engine, &run.grant, powers);
        let handled = tokio::time::timeout(limits.wall, instance.handle(handling, &guest_event(&run))).await;
        let has_returned = matches!(handled, Ok(Ok(_)));
        let verdict = match handled {
            Ok(Ok(answer)) => verdict(answer),
            Ok(Err(error)) => failed(classify(&error, instance.store.data())),
            Err(_) => {
                failed((FailureKind::WallTimeout, format!("took longer than its wall-clock limit of {} ms", limits.wall.as_millis())))
            }
        };
        let failure = if let Verdict::Retry { kind, .. } = &verdict { Some(*kind) } else { None };
        let guest = instance.store.data_mut();
        let (calls, log, wishes) = (guest.finished_calls(), guest.finished_log(), guest.wishes());
        let record = AttemptRecord { started_at, duration: started.elapsed(), digest: self.digest, failure, calls, log };
        // What trapped or was stopped in the middle never sees another event.
        if has_returned {
            self.waiting.keep(engine, instance);
        }
        Ran { verdict, record, wishes }
    }

    /// A route leads to a plugin that only proves requests.
    pub(super) fn handles_nothing(&self, run: &Run) -> Ran {
        let reason = "exports no `handler`: it only proves requests".to_owned();
        let (started_at, digest) = (run.now, self.digest);
        let record = AttemptRecord { started_at, duration: Duration::ZERO, digest, failure: None, calls: Vec::new(), log: Vec::new() };
        Ran { verdict: Verdict::DeadLetter(reason), record, wishes: Wishes::default() }
    }
}

/// What a handler may use.
pub(super) fn powers(run: &Run, digest: Digest, positions_before: usize) -> Powers {
    let depth = run.event.parent.as_ref().map_or(0, |parent| parent.depth);
    let handling = Handling { outside: Arc::clone(&run.outside), draft: Draft::new(run.lineage.clone(), digest, positions_before), depth };
    Powers::new(Arc::clone(&run.grant), Work::Handle(handling), run.now, run.grant.limits.wall, run.seed)
}

pub(super) fn guest_event(run: &Run) -> GuestEvent {
    let event = &run.event;
    GuestEvent {
        id: event.id.to_string(),
        source: event.source.to_string(),
        event_type: event.event_type.clone(),
        dedupe_key: event.dedupe_key.clone(),
        attempt: run.attempt,
        max_attempts: run.max_attempts,
        received_at: event.received_at.as_millis().unsigned_abs(),
        headers: event.headers.iter().map(|(name, value)| Header { name: name.into(), value: value.into() }).collect(),
        body: event.body.to_vec(),
        attributes: attributes(event),
    }
}

/// What is said of an event that a handler emitted.
fn attributes(event: &Event) -> Vec<(String, String)> {
    let Some(parent) = &event.parent else { return Vec::new() };
    vec![("parent".into(), parent.lineage.to_string()), ("depth".into(), parent.depth.to_string())]
}

fn verdict(answer: Result<Option<String>, Failure>) -> Verdict {
    match answer {
        Ok(note) => Verdict::Done(note.map(kept)),
        Err(Failure::Discard(reason)) => Verdict::Discard(kept(reason)),
        Err(Failure::DeadLetter(reason)) => Verdict::DeadLetter(kept(reason)),
        Err(Failure::Retry(hint)) => {
            let after = hint.after_ms.map(Duration::from_millis);
            Verdict::Retry { kind: FailureKind::Handler, reason: kept(hint.reason), after }
        }
    }
}

pub(super) fn failed((kind, reason): (FailureKind, String)) -> Verdict {
    Verdict::Retry { kind, reason: kept(reason), after: None }
}

pub(super) fn kept(text: String) -> String {
    without_nul(if text.chars().nth(REASON_CHARS).is_some() { text.chars().take(REASON_CHARS).collect() } else { text })
}
