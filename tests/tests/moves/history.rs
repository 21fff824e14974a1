//! The store, and beside it a model of what it must hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookfast::clock::Clock;
use hookfast::domain::{
    Answer, AttemptRecord, DeadReason, DedupeKey, Digest, Event, EventId, Headers, Job, Line, NewEvent, NodeId, OrderingKey, Outcome,
    ParkReason, Route, Timestamp,
};
use hookfast::metrics::Metrics;
use hookfast::random::Random;
use hookfast::store::{Admitted, Claimed, Database, DeadFilter, Rush, SettleError, Slots, Store, StoreSettings};
use tokio::sync::{Semaphore, mpsc};

use super::model::{Believed, ModelJob};
use super::step::{End, Step};

const WINDOW: Duration = Duration::from_mins(1);
const RETENTION: Duration = Duration::from_secs(45);
const CHARGES_MAX: u32 = 3;

/// The store, and what it must hold.
pub(super) struct History {
    pub(super) database: Database,
    pub(super) clock: Clock,
    opened_at: Timestamp,
    pub(super) random: Random,
    /// `None` only while it is opened again: its lock goes with it.
    store: Option<Store>,
    born: mpsc::UnboundedReceiver<Claimed>,
    jobs: BTreeMap<EventId, ModelJob>,
    keys: BTreeMap<u8, (EventId, Timestamp)>,
    pub(super) held: Vec<Job>,
    lost: Vec<Job>,
}

async fn open(database: &Database, clock: &Clock, random: &Random) -> (Store, mpsc::UnboundedReceiver<Claimed>) {
    // With free places, a job is born running where nothing else is due.
    let opened = Store::open(StoreSettings {
        database: database.clone(),
        node: NodeId::new(clock.now(), random.bytes()),
        clock: clock.clone(),
        random: random.clone(),
        migrates: true,
        lease: Duration::from_secs(10),
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
        let (jobs, keys, held, lost) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), Vec::new());
        Self { database, opened_at: clock.now(), clock, random, store: Some(store), born, jobs, keys, held, lost }
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
            Step::Admit { key } => self.admit(key).await,
            Step::AdmitTogether { keys, bad } => self.admit_together(&keys, bad).await,
            Step::SettleTogether { ends, bad } => self.settle_together(&ends, bad).await,
            Step::Claim { places } => self.claim(places).await,
            Step::ClaimSuspect => self.claim_suspect().await,
            Step::Settle { which, end } if !self.held.is_empty() => {
                let job = self.held.remove(which.index(self.held.len()));
                self.settle(job, end).await;
            }
            Step::SettleStale { which, end } if !self.lost.is_empty() => {
                let job = &self.lost[which.index(self.lost.len())];
                // What was given back unrun keeps its number, so that the same process may hold it at that attempt again.
                if self.held.iter().any(|held| (held.id, held.attempt) == (job.id, job.attempt)) {
                    return;
                }
                let settled = self.store().settle(job, self.outcome(end), Some(record(self.clock.now()))).await;
                assert!(matches!(settled, Err(SettleError::Stale)), "{settled:?}");
            }
            Step::Settle { .. } | Step::SettleStale { .. } => {}
            Step::Crash => self.crash().await,
            Step::CrashBySuspect => {
                self.claim_suspect().await;
                self.crash().await;
            }
            Step::Advance { seconds } => self.clock.advance(Duration::from_secs(seconds)),
            Step::Unpark => self.unpark().await,
            Step::Replay => self.replay().await,
            Step::Discard => self.discard().await,
            Step::Expire => self.expire().await,
            Step::Prune => self.store().prune().await.expect("pruned"),
        }
    }

    async fn admit(&mut self, key: u8) {
        let now = self.clock.now();
        let id = self.store().event_id(now, self.random.bytes());
        let admitted = self.store().admit(vec![event(id, key, now)]).await.expect("admitted");
        self.admitted(key, id, &admitted[0]);
        self.hold_born();
    }

    /// An event was answered so.
    pub(super) fn admitted(&mut self, key: u8, id: EventId, admitted: &Admitted) {
        let now = self.clock.now();
        let known = self.keys.get(&key).filter(|(_, expires)| *expires > now).map(|(first, _)| *first);
        if let Some(of) = known {
            return assert_eq!(*admitted, Admitted::Duplicate { of, key_reused: false, answer: Answer::default() });
        }
        assert_eq!(*admitted, Admitted::New(id));
        self.keys.insert(key, (id, now + WINDOW));
        let line = line(key);
        let state = if self.line_of(line).next().is_some() { Believed::Waiting } else { Believed::Ready { due: now } };
        let job = ModelJob::new(state, self.jobs.len(), now, line);
        self.jobs.insert(id, job);
    }

    /// A job may have been born running: then it is handed over, and counts as claimed.
    pub(super) fn hold_born(&mut self) {
        while let Ok(claimed) = self.born.try_recv() {
            self.hold(&claimed, false);
        }
    }

    async fn claim(&mut self, places: usize) {
        let now = self.clock.now();
        let due = |job: &&ModelJob| !job.suspect && matches!(job.state, Believed::Ready { due } if due <= now);
        let expected = self.jobs.values().filter(due).count().min(places);
        let claimed = self.store().claim(permits(places)).await.expect("claimed");
        assert_eq!(claimed.len(), expected);
        claimed.iter().for_each(|claimed| self.hold(claimed, false));
    }

    async fn claim_suspect(&mut self) {
        // One that was charged waits a second for each charge.
        let quiet = self.clock.now().since(self.opened_at).as_secs();
        let ready = |job: &&ModelJob| job.suspect && u64::from(job.charges) <= quiet && matches!(job.state, Believed::Ready { .. });
        let least = self.jobs.values().filter(ready).map(|job| job.charges).min();
        let place = permits(1).pop().expect("a permit");
        let claimed = self.store().claim_suspect(place).await.expect("claimed");
        let found = claimed.as_ref().map(|claimed| self.jobs[&claimed.job.lineage.event].charges);
        assert_eq!(found, least, "the least charged suspect comes first");
        claimed.iter().for_each(|claimed| self.hold(claimed, true));
    }

    /// A job was given to the worker: it was there to be had, and its attempt counts on.
    fn hold(&mut self, claimed: &Claimed, suspect: bool) {
        let job = self.jobs.get_mut(&claimed.job.lineage.event).expect("a job that was admitted");
        assert!(matches!(job.state, Believed::Ready { due } if suspect || due <= self.clock.now()), "{job:?}");
        assert_eq!(job.suspect, suspect);
        job.state = Believed::Running;
        job.attempt += 1;
        assert_eq!((claimed.job.attempt, claimed.job.attempts_before), (job.attempt, job.attempts_before));
        self.held.push(claimed.job.clone());
    }

    async fn settle(&mut self, job: Job, end: End) {
        let record = was_run(end).then(|| record(self.clock.now()));
        self.store().settle(&job, self.outcome(end), record).await.expect("settled: it is still ours");
        self.settled(job, end);
    }

    /// A job of ours ended so.
    pub(super) fn settled(&mut self, job: Job, end: End) {
        let now = self.clock.now();
        let model = self.jobs.get_mut(&job.lineage.event).expect("a job that was admitted");
        if was_run(end) {
            model.recorded.push(job.attempt);
            model.suspect = false;
        } else {
            model.attempt -= 1;
        }
        model.state = match end {
            End::Done => Believed::Done,
            End::Retry { seconds } => Believed::Ready { due: now + Duration::from_secs(seconds) },
            End::Discard => Believed::Discarded,
            End::Dead => Believed::Dead,
            End::Park => Believed::Parked,
            // Its due time is what it was: in the past.
            End::Release => Believed::Ready { due: now },
        };
        if matches!(end, End::Park) {
            model.suspect = false;
        }
        self.leave_line(&job.lineage.event, matches!(end, End::Retry { .. }));
        self.lost.push(job);
    }

    /// A job of ours ended in words that the database does not take.
    pub(super) fn buried(&mut self, job: Job) {
        let model = self.jobs.get_mut(&job.lineage.event).expect("a job that was admitted");
        (model.state, model.suspect) = (Believed::Dead, false);
        self.leave_line(&job.lineage.event, false);
        self.lost.push(job);
    }

    pub(super) fn outcome(&self, end: End) -> Outcome {
        match end {
            End::Done => Outcome::Done { note: None },
            End::Retry { seconds } => Outcome::Retry { at: self.clock.now() + Duration::from_secs(seconds), reason: "later".into() },
            End::Discard => Outcome::Discard { reason: "unwanted".into() },
            End::Dead => Outcome::Dead { cause: DeadReason::Permanent, reason: "hopeless".into() },
            End::Park => Outcome::Park { reason: ParkReason::PluginMissing },
            End::Release => Outcome::Release,
        }
    }

    /// Whatever ran is ready again as a suspect; a suspect that ran is charged.
    pub(super) async fn crash(&mut self) {
        // Closing commits what was asked for and settles nothing: to the database it is a death.
        self.store.take().expect("an open store").close().await;
        let (store, born) = open(&self.database, &self.clock, &self.random).await;
        (self.store, self.born) = (Some(store), born);
        let now = self.clock.now();
        self.opened_at = now;
        let mut condemned = Vec::new();
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.state == Believed::Running) {
            job.charges += u32::from(job.suspect);
            if job.charges >= CHARGES_MAX {
                job.state = Believed::Dead;
                condemned.push(*id);
            } else {
                (job.state, job.suspect) = (Believed::Ready { due: now }, true);
                job.attempts_before += 1;
            }
        }
        condemned.iter().for_each(|id| self.leave_line(id, false));
        self.lost.append(&mut self.held);
    }

    /// Whoever stands in this line, unfinished.
    fn line_of(&self, line: Option<Line>) -> impl Iterator<Item = (&EventId, &ModelJob)> {
        let stands = |job: &ModelJob| job.is_in_line && !matches!(job.state, Believed::Done | Believed::Discarded);
        self.jobs.iter().filter(move |(_, job)| line.is_some() && job.line == line && stands(job))
    }

    /// After a job has ended or failed: whether it still holds its line up, and if not, who is next.
    fn leave_line(&mut self, id: &EventId, was_retried: bool) {
        let now = self.clock.now();
        let job = self.jobs.get_mut(id).expect("a job of the model");
        let skip_after = job.line.and_then(|line| line.skip_after);
        let has_failed_enough = was_retried && skip_after.is_some_and(|failures| job.attempt - job.attempts_before >= failures);
        let is_dead_to_it = job.state == Believed::Dead && skip_after.is_some();
        if has_failed_enough || is_dead_to_it {
            job.is_in_line = false;
        }
        let line = job.line;
        let next = self.line_of(line).min_by_key(|(_, job)| (job.state == Believed::Waiting, job.number));
        let next = next.filter(|(_, job)| job.state == Believed::Waiting).map(|(id, _)| *id);
        if let Some(next) = next {
            self.jobs.get_mut(&next).expect("a job of the model").state = Believed::Ready { due: now };
        }
    }

    async fn unpark(&mut self) {
        let unparked = self.store().unpark(&route().plugin).await.expect("unparked");
        let parked: Vec<_> = self.jobs.values_mut().filter(|job| job.state == Believed::Parked).collect();
        assert_eq!(unparked, parked.len() as u64);
        parked.into_iter().for_each(|job| job.state = Believed::Ready { due: self.clock.now() });
    }

    async fn replay(&mut self) {
        let replayed = self.store().replay_dead(DeadFilter { all: true, ..DeadFilter::default() }).await.expect("replayed");
        let now = self.clock.now();
        let dead: Vec<_> = self.jobs.values_mut().filter(|job| job.state == Believed::Dead).collect();
        assert_eq!(replayed.len(), dead.len());
        for job in dead {
            job.state = Believed::Ready { due: now };
            (job.suspect, job.charges, job.attempts_before) = (false, 0, job.attempt);
        }
    }

    async fn discard(&mut self) {
        let filter = DeadFilter { all: true, ..DeadFilter::default() };
        let discarded = self.store().discard_dead(filter, "not wanted".into()).await.expect("discarded");
        let dead: Vec<_> = self.jobs.iter().filter(|(_, job)| job.state == Believed::Dead).map(|(id, _)| *id).collect();
        assert_eq!(discarded.len(), dead.len());
        for id in dead {
            self.jobs.get_mut(&id).expect("a job of the model").state = Believed::Discarded;
            self.leave_line(&id, false);
        }
    }

    /// What is old and finished goes; what is old and owed or dead stays.
    async fn expire(&mut self) {
        let cutoff = self.clock.now() - RETENTION;
        self.store().expire(cutoff).await.expect("expired");
        for job in self.jobs.values_mut() {
            job.is_kept &= job.arrived >= cutoff || !matches!(job.state, Believed::Done | Believed::Discarded);
        }
    }

    /// Everything that the store shows is what the model believes.
    pub(super) async fn compare(&self) {
        let count = |is_so: fn(&Believed) -> bool| self.jobs.values().filter(|job| is_so(&job.state)).count() as u64;
        let counts = self.store().job_counts().await.expect("counts");
        assert_eq!(counts.ready, count(|state| matches!(state, Believed::Ready { .. })));
        assert_eq!(counts.running, count(|state| *state == Believed::Running));
        assert_eq!(counts.waiting, count(|state| *state == Believed::Waiting));
        assert_eq!(counts.parked, count(|state| *state == Believed::Parked));
        assert_eq!(counts.dead, count(|state| *state == Believed::Dead));
        for (id, expected) in &self.jobs {
            if !expected.is_kept {
                assert!(self.store().event(*id).await.expect("read").is_none(), "{expected:?}");
                continue;
            }
            let event = self.store().event(*id).await.expect("read").expect("nothing is lost");
            let attempts: Vec<_> = event.attempts.iter().map(|attempt| attempt.attempt).collect();
            assert_eq!(attempts, expected.recorded, "every run is on record once");
            let [job] = &event.jobs[..] else { panic!("{:?} for {expected:?}", event.jobs) };
            assert_eq!((job.state.as_str(), job.attempts), (expected.state.word(), expected.attempt), "{expected:?}");
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

pub(super) fn event(id: EventId, key: u8, received_at: Timestamp) -> NewEvent {
    let source = if key.is_multiple_of(2) { "even" } else { "odd" };
    let event = Event {
        id,
        source: source.parse().expect("a name"),
        event_type: None,
        dedupe_key: Some(format!("key:{key}")),
        received_at,
        headers: Headers::default(),
        body: Bytes::from(vec![key; 8]),
    };
    let number = key;
    let key = DedupeKey { hash: [key; 16], body_hash: [key; 8], window: WINDOW };
    let ordering = line(number).map(|line| OrderingKey { text: "customer".into(), line });
    NewEvent { event: event.into(), key: Some(key), ordering, answer: Answer::default(), routes: vec![route()] }
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
