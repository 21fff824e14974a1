//! What is written in one group, with one row in it that the database refuses: that one bears it alone. Of events under one key one is new.

use futures_util::future::join_all;
use hookfast::domain::{Answer, Effects, EventId, Job, Outcome};
use hookfast::store::{AdmitError, Admitted, Database, SettleError};
use proptest::sample::Index;

use super::effects::asked;
use super::history::{History, event, record, was_run};
use super::step::{Asked, Bad, End, Sent};

/// Of no other event.
const BAD_KEY: u8 = 200;

impl History {
    pub(super) async fn admit_together(&mut self, mut sent: Vec<Sent>, bad: Index) {
        let (now, store) = (self.clock.now(), self.store());
        sent.insert(bad.index(sent.len() + 1), Sent { key: BAD_KEY, body: 0 });
        let sent: Vec<_> = sent.into_iter().map(|sent| (sent, store.event_id(now, self.random.bytes()))).collect();
        let is_bad = |(sent, _): &(Sent, EventId)| sent.key == BAD_KEY;
        let new = |one: &(Sent, EventId)| {
            let mut event = event(one.1, one.0, now);
            if is_bad(one) {
                // The tables hold answers of success only.
                event.answer = Answer { status: 500, body: None };
            }
            event
        };
        // Two and two, as of requests that bring several events: all of one are stored, or none.
        let requests: Vec<_> = sent.chunks(2).collect();
        let admit = |request: &[(Sent, EventId)]| {
            let (store, events) = (store.clone(), request.iter().map(new).collect());
            // By itself, so that any may come first.
            tokio::spawn(async move { store.admit(events).await })
        };
        let admitted = join_all(requests.iter().map(|request| admit(request))).await;
        let mut answered = Vec::new();
        for (request, admitted) in requests.into_iter().zip(admitted) {
            let admitted = admitted.expect("no panic");
            if request.iter().any(is_bad) {
                assert!(matches!(admitted, Err(AdmitError::Unstorable(_))), "{admitted:?}");
                continue;
            }
            let admitted = admitted.expect("admitted: an innocent one");
            assert_eq!(admitted.len(), request.len());
            answered.extend(request.iter().zip(admitted));
        }
        // Which of one key comes first is not known: one says that it was, and the others are its duplicates.
        answered.sort_by_key(|(_, admitted)| !matches!(admitted, Admitted::New(_)));
        answered.into_iter().for_each(|((sent, id), admitted)| self.admitted(*sent, *id, &admitted));
        self.hold_born();
    }

    pub(super) async fn settle_together(&mut self, ends: &[End], bad: Index, how: Bad) {
        let (now, store) = (self.clock.now(), self.store());
        let mut jobs: Vec<_> = self.held.drain(..self.held.len().min(ends.len())).zip(ends.iter().copied()).collect();
        if jobs.is_empty() {
            return;
        }
        let bad = bad.index(jobs.len());
        only_one_at_a_time(&mut jobs);
        let settled = join_all(jobs.iter().enumerate().map(|(number, (job, end))| {
            let mut effects = self.effects(job, asked(job, *end));
            let outcome = match how {
                _ if number != bad => self.outcome(*end),
                Bad::Words => {
                    effects = Effects::default();
                    // Text of PostgreSQL has no NUL.
                    Outcome::Discard { reason: "\0".into() }
                }
                Bad::Event => {
                    effects = self.effects(job, Asked { replaces: false, ..ALL });
                    // The tables hold answers of success only.
                    effects.events.iter_mut().for_each(|event| event.answer = Answer { status: 500, body: None });
                    Outcome::Done { note: None }
                }
            };
            let record = (number == bad || was_run(*end)).then(|| record(now));
            let store = &store;
            async move { store.settle(job, outcome, record, effects).await }
        }));
        let settled = settled.await;
        // SQLite refuses nothing that an end without effects can say. PostgreSQL refuses a NUL, and groups such ends apart from the others.
        let is_refused = matches!((how, &self.database), (Bad::Event, _) | (_, Database::Postgres(_)));
        for (number, ((job, end), settled)) in jobs.into_iter().zip(settled).enumerate() {
            if number != bad && self.must_conflict(asked(&job, end)) {
                assert!(matches!(settled, Err(SettleError::Conflict)), "{settled:?}");
                self.held.push(job);
                continue;
            }
            settled.expect("settled: it is still ours");
            match number == bad {
                true if is_refused => self.buried(job),
                true => self.settled(job, End::Discard),
                false => self.settled(job, end),
            }
        }
        self.hold_born();
    }
}

/// All that a run can ask for.
const ALL: Asked = Asked { counts: true, replaces: true, leaves_for: Some(9), emits: Some((BAD_KEY, 0)), delivers: Some(0) };

/// Of a database that takes groups side by side it is not known which of two comes first: only one of those that end together replaces what was
/// read, leaves something behind, or emits.
fn only_one_at_a_time(jobs: &mut [(Job, End)]) {
    let (mut replaces, mut leaves, mut emits) = (false, false, false);
    for (_, end) in jobs {
        if let End::Done(asked) | End::Dead(asked) = end {
            asked.replaces = is_first(&mut replaces, asked.replaces);
            asked.leaves_for = asked.leaves_for.filter(|_| is_first(&mut leaves, true));
            asked.emits = asked.emits.filter(|_| is_first(&mut emits, true));
        }
    }
}

fn is_first(is_taken: &mut bool, wants: bool) -> bool {
    let is_first = wants && !*is_taken;
    *is_taken |= wants;
    is_first
}
