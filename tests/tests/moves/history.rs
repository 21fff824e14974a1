//! The store, and beside it a model of what it must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookfast::clock::Clock;
use hookfast::domain::{
    Answer, AttemptRecord, DeadReason, DedupeKey, Digest, Event, EventId, Headers, Job, Line, NewEvent, NodeId, OrderingKey, Outcome,
    Parent, ParkReason, Route, Timestamp,
};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Admitted, Claimed, Database, Rush, SettleError, Slots, Store, StoreSettings};
use proptest::sample::Index;
use tokio::sync::{Semaphore, mpsc};

use super::effects::{LAST, asked, upstream};
use super::model::{Believed, JobKey, ModelEvent, ModelItem, ModelJob, job_key};
use super::step::{End, Sent, Step};

const WINDOW: Duration = Duration::from_mins(1);
/// Of every other key: windows of both lengths meet in one transaction.
const LONGER_WINDOW: Duration = Duration::from_mins(3);
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// The store, and what it must hold.
pub(super) struct History {
    pub(super) database: Database,
    pub(super) clock: Clock,
    pub(super) opened_at: Timestamp,
    pub(super) random: Random,
    /// `None` only while it is opened again: its lock goes with it.
    pub(super) store: Option<Store>,
    pub(super) born: mpsc::UnboundedReceiver<Claimed>,
    pub(super) events: BTreeMap<EventId, ModelEvent>,
    pub(super) jobs: BTreeMap<JobKey, ModelJob>,
    keys: BTreeMap<u8, (EventId, Timestamp)>,
    pub(super) held: Vec<Job>,
    pub(super) lost: Vec<Job>,
    pub(super) state: BTreeMap<&'static str, ModelItem>,
    /// All versions that were ever seen.
    pub(super) versions: BTreeSet<u64>,
    /// How many runs that count were committed.
    pub(super) counted: u64,
    /// The version that runs have read.
    pub(super) read: Option<u64>,
}

fn window(key: u8) -> Duration {
    if key.is_multiple_of(2) { WINDOW } else { LONGER_WINDOW }
}

pub(super) async fn open(database: &Database, clock: &Clock, random: &Random) -> (Store, mpsc::UnboundedReceiver<Claimed>) {
    // With free places, a job is born running where nothing else is due.
    let opened = Store::open(StoreSettings {
        database: database.clone(),
        node: NodeId::new(clock.now(), random.bytes()),
        clock: clock.clone(),
        random: random.clone(),
        migrates: true,
        lease: LEASE,
        metrics: Arc::new(Metrics::default()),
        slots: Slots::new(2),
        // So few that keys are looked up on both sides of the bound.
        rush: Rush::default(),
        dedupe_keys_max: 3,
    });
    let opened = opened.await.expect("a store");
    (opened.store, opened.born)
}

impl History {
    pub(super) async fn of(database: Database) -> Self {
        let (clock, random) = (Clock::manual(Timestamp::from_millis(1_767_225_600_000)), Random::seeded(1));
        let (store, born) = open(&database, &clock, &random).await;
        Self {
            database,
            opened_at: clock.now(),
            clock,
            random,
            store: Some(store),
            born,
            events: BTreeMap::new(),
            jobs: BTreeMap::new(),
            keys: BTreeMap::new(),
            held: Vec::new(),
            lost: Vec::new(),
            state: BTreeMap::new(),
            versions: BTreeSet::new(),
            counted: 0,
            read: None,
        }
    }

    /// Closes the store.
    pub(super) async fn end(self) {
        self.store().close().await;
    }

    pub(super) fn store(&self) -> Store {
        self.store.clone().expect("an open store")
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Admit(sent) => self.admit(sent).await,
            Step::AdmitTogether { sent, bad } => self.admit_together(sent, bad).await,
            Step::SettleTogether { ends, bad, how } => self.settle_together(&ends, bad, how).await,
            Step::Claim { places } => self.claim(places).await,
            Step::ClaimSuspect => self.claim_suspect().await,
            Step::Settle { which, end } if !self.held.is_empty() => {
                let job = self.held.remove(which.index(self.held.len()));
                self.settle(job, end).await;
            }
            Step::SettleStale { which, end } => {
                if let Some(job) = self.lost(which) {
                    let effects = self.effects(job, asked(job, end));
                    let settled = self.store().settle(job, self.outcome(end), Some(record(self.clock.now())), effects).await;
                    assert!(matches!(settled, Err(SettleError::Stale)), "{settled:?}");
                }
            }
            Step::Read => self.read = self.version(LAST),
            Step::Journal { which, step, noted } if !self.held.is_empty() => {
                let job = self.held[which.index(self.held.len())].clone();
                self.journal(&job, step, noted).await;
            }
            Step::JournalStale { which, step, noted } => {
                if let Some(job) = self.lost(which) {
                    self.journal_stale(&self.store(), job, step, noted).await;
                }
            }
            Step::Settle { .. } | Step::Journal { .. } => {}
            Step::Crash => self.crash().await,
            Step::CrashBySuspect => {
                self.claim_suspect().await;
                self.crash().await;
            }
            Step::Outlive { end, noted } => self.outlive(end, noted).await,
            Step::Advance { seconds } => self.clock.advance(Duration::from_secs(seconds)),
            Step::Unpark => self.unpark().await,
            Step::UnparkUpstream { upstream, jobs_max } => self.unpark_upstream(upstream, jobs_max).await,
            Step::Replay => self.replay().await,
            Step::Discard => self.discard().await,
            Step::Expire => self.expire().await,
            Step::Prune => self.prune().await,
        }
    }

    /// A job that was given up for lost. What was given back unrun keeps its number: then the same process may hold it at that attempt again.
    fn lost(&self, which: Index) -> Option<&Job> {
        let job = (!self.lost.is_empty()).then(|| &self.lost[which.index(self.lost.len())])?;
        let is_held = self.held.iter().any(|held| (held.id, held.attempt) == (job.id, job.attempt));
        (!is_held).then_some(job)
    }

    async fn admit(&mut self, sent: Sent) {
        let now = self.clock.now();
        let id = self.store().event_id(now, self.random.bytes());
        let admitted = self.store().admit(vec![event(id, sent, now)]).await.expect("admitted");
        self.admitted(sent, id, &admitted[0]);
        self.hold_born();
    }

    /// An event was answered so.
    pub(super) fn admitted(&mut self, sent: Sent, id: EventId, admitted: &Admitted) {
        if let Some(of) = self.known(sent.key) {
            let first = &self.events[&of];
            let duplicate = |answer| Admitted::Duplicate { of, key_reused: first.sent != sent, answer };
            // Where the first one is kept no longer, what its sender was told may not be known either.
            let is_forgotten = !first.is_kept && *admitted == duplicate(answer(sent));
            assert!(*admitted == duplicate(answer(first.sent)) || is_forgotten, "{admitted:?} and not of {first:?}");
            return;
        }
        assert_eq!(*admitted, Admitted::New(id));
        self.stored(id, sent, None, Duration::ZERO);
    }

    /// The event that is known under a key.
    pub(super) fn known(&self, key: u8) -> Option<EventId> {
        self.keys.get(&key).filter(|(_, expires)| *expires > self.clock.now()).map(|(first, _)| *first)
    }

    /// A new event is there, and its job.
    pub(super) fn stored(&mut self, id: EventId, sent: Sent, parent: Option<Parent>, delay: Duration) {
        let now = self.clock.now();
        self.keys.insert(sent.key, (id, now + window(sent.key)));
        self.events.insert(id, ModelEvent { sent, arrived: now, is_kept: true, parent });
        let (line, due) = (line(sent.key), now + delay);
        let state = if self.line_of(line).next().is_some() { Believed::Waiting } else { Believed::Ready { due } };
        let job = ModelJob::new(state, self.jobs.len(), due, line);
        self.jobs.insert((id, route().name), job);
    }

    /// A job may have been born running: then it is handed over, and counts as claimed.
    pub(super) fn hold_born(&mut self) {
        while let Ok(claimed) = self.born.try_recv() {
            assert_eq!(claimed.job.attempt, 1);
            self.hold(&claimed, false);
        }
    }

    pub(super) async fn claim(&mut self, places: usize) {
        let now = self.clock.now();
        let due = |job: &&ModelJob| !job.suspect && matches!(job.state, Believed::Ready { due } if due <= now);
        let expected = self.jobs.values().filter(due).count().min(places);
        let claimed = self.store().claim(permits(places), Vec::new()).await.expect("claimed");
        assert_eq!(claimed.len(), expected);
        for claimed in &claimed {
            self.hold(claimed, false);
        }
    }

    pub(super) async fn claim_suspect(&mut self) {
        // One that was charged waits a second for each charge.
        let quiet = self.clock.now().since(self.opened_at).as_secs();
        let ready = |job: &&ModelJob| job.suspect && u64::from(job.charges) <= quiet && matches!(job.state, Believed::Ready { .. });
        let least = self.jobs.values().filter(ready).map(|job| job.charges).min();
        let place = permits(1).pop().expect("a permit");
        let claimed = self.store().claim_suspect(place).await.expect("claimed");
        let found = claimed.as_ref().map(|claimed| self.jobs[&job_key(&claimed.job.lineage)].charges);
        assert_eq!(found, least, "the least charged suspect comes first");
        claimed.iter().for_each(|claimed| self.hold(claimed, true));
    }

    /// A job was given to the worker: it was there to be had, and its attempt counts on.
    fn hold(&mut self, claimed: &Claimed, suspect: bool) {
        self.check_work(claimed);
        let job = self.jobs.get_mut(&job_key(&claimed.job.lineage)).expect("a job that was admitted");
        assert!(matches!(job.state, Believed::Ready { due } if suspect || due <= self.clock.now()), "{job:?}");
        assert_eq!(job.suspect, suspect);
        job.state = Believed::Running;
        job.attempt += 1;
        assert_eq!((claimed.job.attempt, claimed.job.attempts_before), (job.attempt, job.attempts_before));
        assert_eq!(claimed.has_steps, !job.steps.is_empty());
        self.held.push(claimed.job.clone());
    }

    async fn settle(&mut self, job: Job, end: End) {
        let record = was_run(end).then(|| record(self.clock.now()));
        let asked = asked(&job, end);
        let settled = self.store().settle(&job, self.outcome(end), record, self.effects(&job, asked)).await;
        if self.must_conflict(asked) {
            assert!(matches!(settled, Err(SettleError::Conflict)), "{settled:?}");
            // It is still ours, and may be run again.
            self.held.push(job);
        } else {
            settled.expect("settled: it is still ours");
            self.settled(job, end);
        }
        self.hold_born();
    }

    /// A job of ours ended so.
    pub(super) fn settled(&mut self, job: Job, end: End) {
        let now = self.clock.now();
        let key = job_key(&job.lineage);
        let model = self.jobs.get_mut(&key).expect("a job that was admitted");
        if was_run(end) {
            model.recorded.insert(job.attempt);
        }
        if matches!(end, End::Park | End::ParkForUpstream { .. } | End::Release) {
            model.attempt -= 1;
        }
        if !matches!(end, End::Release) {
            model.suspect = false;
        }
        model.state = match end {
            End::Done(_) => Believed::Done,
            End::Retry { seconds } => Believed::Ready { due: now + Duration::from_secs(seconds) },
            End::Discard => Believed::Discarded,
            End::Dead(_) => Believed::Dead,
            End::Park => Believed::Parked,
            End::ParkForUpstream { upstream } => Believed::ParkedForUpstream(upstream),
            // Its due time is what it was: in the past.
            End::Release => Believed::Ready { due: now },
        };
        model.is_refused = matches!(end, End::Dead(_));
        self.leave_line(&key, matches!(end, End::Retry { .. }));
        self.fulfilled(&job, asked(&job, end));
        self.lost.push(job);
    }

    /// A job of ours ended in a way that the database does not take: nothing that its run asked for is there.
    pub(super) fn buried(&mut self, job: Job) {
        let key = job_key(&job.lineage);
        let model = self.jobs.get_mut(&key).expect("a job that was admitted");
        (model.state, model.suspect, model.is_refused) = (Believed::Dead, false, false);
        self.leave_line(&key, false);
        self.lost.push(job);
    }

    pub(super) fn outcome(&self, end: End) -> Outcome {
        match end {
            End::Done(_) => Outcome::Done { note: None },
            End::Retry { seconds } => Outcome::Retry { at: self.clock.now() + Duration::from_secs(seconds), reason: "later".into() },
            End::Discard => Outcome::Discard { reason: "unwanted".into() },
            End::Dead(_) => Outcome::Dead { cause: DeadReason::Permanent, reason: "hopeless".into() },
            End::Park => Outcome::Park { reason: ParkReason::PluginMissing },
            End::ParkForUpstream { upstream: number } => Outcome::Park { reason: ParkReason::UpstreamDown(upstream(number)) },
            End::Release => Outcome::Release,
        }
    }

    /// Whoever stands in this line, unfinished.
    fn line_of(&self, line: Option<Line>) -> impl Iterator<Item = (&JobKey, &ModelJob)> {
        let stands = |job: &ModelJob| job.is_in_line && !job.is_finished();
        self.jobs.iter().filter(move |(_, job)| line.is_some() && job.line == line && stands(job))
    }

    /// After a job has ended or failed: whether it still holds its line up, and if not, who is next.
    pub(super) fn leave_line(&mut self, key: &JobKey, was_retried: bool) {
        let now = self.clock.now();
        let job = self.jobs.get_mut(key).expect("a job of the model");
        let skip_after = job.line.and_then(|line| line.skip_after);
        let has_failed_enough = was_retried && skip_after.is_some_and(|failures| job.attempt - job.attempts_before >= failures);
        let is_dead_to_it = job.state == Believed::Dead && skip_after.is_some();
        if has_failed_enough || is_dead_to_it {
            job.is_in_line = false;
        }
        let line = job.line;
        let next = self.line_of(line).min_by_key(|(_, job)| (job.state == Believed::Waiting, job.number));
        let next = next.filter(|(_, job)| job.state == Believed::Waiting).map(|(key, _)| key.clone());
        if let Some(next) = next {
            let next = self.jobs.get_mut(&next).expect("a job of the model");
            next.state = Believed::Ready { due: now.max(next.not_before) };
        }
    }
}

pub(super) fn was_run(end: End) -> bool {
    !matches!(end, End::Park | End::Release)
}

fn permits(count: usize) -> Vec<tokio::sync::OwnedSemaphorePermit> {
    let places = Arc::new(Semaphore::new(count));
    (0..count).map(|_| Arc::clone(&places).try_acquire_owned().expect("a free place")).collect()
}

pub(super) fn route() -> Route {
    let plugin: hookfast::domain::PluginName = "crm".parse().expect("a name");
    Route { name: plugin.clone().into(), plugin, types: Vec::new() }
}

pub(super) fn event(id: EventId, sent: Sent, received_at: Timestamp) -> NewEvent {
    let key = sent.key;
    let source = if key.is_multiple_of(2) { "even" } else { "odd" };
    let event = Event {
        id,
        source: source.parse().expect("a name"),
        event_type: None,
        dedupe_key: Some(format!("key:{key}")),
        received_at,
        headers: Headers::default(),
        body: Bytes::copy_from_slice(&body(sent)),
        parent: None,
    };
    let ordering = line(key).map(|line| OrderingKey { text: "customer".into(), line });
    let key = DedupeKey { hash: [key; 16], body_hash: body(sent), window: window(key) };
    NewEvent { event: event.into(), key: Some(key), ordering, answer: answer(sent), routes: vec![route()], delay: Duration::ZERO }
}

/// So short that it is its own hash.
pub(super) fn body(sent: Sent) -> [u8; 8] {
    [sent.key, sent.body, 0, 0, 0, 0, 0, 0]
}

fn answer(sent: Sent) -> Answer {
    if sent.body == 0 { Answer::default() } else { Answer { status: 200, body: Some(Bytes::from_static(b"taken")) } }
}

/// Two thirds of the events are ordered: by two keys, one of which waits for its head as long as it takes.
pub(super) fn line(key: u8) -> Option<Line> {
    match key % 3 {
        0 => Some(Line { hash: [1; 16], skip_after: None }),
        1 => Some(Line { hash: [2; 16], skip_after: Some(2) }),
        _ => None,
    }
}

pub(super) fn record(now: Timestamp) -> AttemptRecord {
    let (calls, log, failure) = (Vec::new(), Vec::new(), None);
    AttemptRecord { started_at: now, duration: Duration::from_millis(1), digest: Digest::from_bytes([7; 32]), failure, calls, log }
}
