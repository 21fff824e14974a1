//! What is written in one group, with one row in it that the database refuses: that one bears it alone.

use futures_util::future::join_all;
use hookfast::domain::{Answer, EventId, Outcome};
use hookfast::store::{AdmitError, Database};
use proptest::sample::Index;

use super::history::{History, event, line, record, was_run};
use super::step::End;

/// Of no other event.
const BAD_KEY: u8 = 200;

impl History {
    pub(super) async fn admit_together(&mut self, keys: &[u8], bad: Index) {
        let (now, store) = (self.clock.now(), self.store());
        // Of one line at most one: a database that takes groups side by side may take either of two first.
        let is_first = |number: usize| {
            let mut before = keys[..number].iter().filter(|key| line(**key).is_some() && line(**key) == line(keys[number]));
            before.all(|key| *key == keys[number])
        };
        let mut keys: Vec<u8> = (0..keys.len()).filter(|number| is_first(*number)).map(|number| keys[number]).collect();
        keys.insert(bad.index(keys.len() + 1), BAD_KEY);
        let sent: Vec<_> = keys.iter().map(|key| (*key, store.event_id(now, self.random.bytes()))).collect();
        let new = |(key, id): &(u8, EventId)| {
            let mut event = event(*id, *key, now);
            if *key == BAD_KEY {
                // The tables hold answers of success only.
                event.answer = Answer { status: 500, body: None };
            }
            event
        };
        // Two and two, as of requests that bring several events: all of one are stored, or none.
        let requests: Vec<_> = sent.chunks(2).collect();
        let admitted = join_all(requests.iter().map(|request| store.admit(request.iter().map(new).collect()))).await;
        for (request, admitted) in requests.into_iter().zip(admitted) {
            match admitted {
                Err(AdmitError::Unstorable(_)) => assert!(request.iter().any(|(key, _)| *key == BAD_KEY), "an innocent one is refused"),
                admitted => {
                    let admitted = admitted.expect("admitted");
                    assert!(request.len() == admitted.len() && request.iter().all(|(key, _)| *key != BAD_KEY));
                    request.iter().zip(&admitted).for_each(|((key, id), admitted)| self.admitted(*key, *id, admitted));
                }
            }
        }
        self.hold_born();
    }

    pub(super) async fn settle_together(&mut self, ends: &[End], bad: Index) {
        let (now, store) = (self.clock.now(), self.store());
        let jobs: Vec<_> = self.held.drain(..self.held.len().min(ends.len())).zip(ends.iter().copied()).collect();
        if jobs.is_empty() {
            return;
        }
        let bad = bad.index(jobs.len());
        let settled = join_all(jobs.iter().enumerate().map(|(number, (job, end))| {
            // Text of PostgreSQL has no NUL.
            let outcome = if number == bad { Outcome::Discard { reason: "\0".into() } } else { self.outcome(*end) };
            let record = (number == bad || was_run(*end)).then(|| record(now));
            let store = &store;
            async move { store.settle(job, outcome, record).await }
        }));
        for settled in settled.await {
            settled.expect("settled: it is still ours");
        }
        let is_refused = matches!(self.database, Database::Postgres(_));
        for (number, (job, end)) in jobs.into_iter().enumerate() {
            match number == bad {
                true if is_refused => self.buried(job),
                true => self.settled(job, End::Discard),
                false => self.settled(job, end),
            }
        }
    }
}
