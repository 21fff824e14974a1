//! What becomes of running jobs when their process dies, or is taken for dead while it lives.

use std::time::Duration;

use futures_util::future::join_all;
use hookfast::clock::Clock;
use hookfast::store::{Database, SettleError};
use hookfast_tests::wait::eventually;

use super::effects::asked;
use super::history::{History, LEASE, open, record};
use super::model::Believed;
use super::step::{End, Noted};

const CHARGES_MAX: u32 = 3;

impl History {
    pub(super) async fn crash(&mut self) {
        // Closing commits what was asked for and settles nothing: to the database it is a death.
        self.store.take().expect("an open store").close().await;
        self.take_over().await;
    }

    /// What ran is another process's by the time that its owner says what came of it, and that changes nothing.
    pub(super) async fn outlive(&mut self, end: End, noted: Noted) {
        self.claim(2).await;
        let late = self.held.clone();
        // The owner keeps its own, which stands still from here on: what it renews its lease to is past.
        self.clock = Clock::manual(self.clock.now() + LEASE + Duration::from_secs(1));
        let owner = match self.database {
            Database::Postgres(_) => {
                let owner = self.store.take();
                self.take_over().await;
                let store = self.store();
                // Whose lease is locked at that very moment, by its renewal, is passed over until the next look.
                eventually("what ran to be rescued", async || store.job_counts().await.expect("counts").running == 0).await;
                owner.expect("an open store")
            }
            // Nobody takes a file over from a process that lives: what is late was on its way when it died.
            Database::Sqlite(_) => {
                self.crash().await;
                self.store()
            }
        };
        // One of them runs again by now.
        self.claim_suspect().await;
        let settle =
            async |job| owner.settle(job, self.outcome(end), Some(record(self.clock.now())), self.effects(job, asked(job, end))).await;
        for settled in join_all(late.iter().map(settle)).await {
            assert!(matches!(settled, Err(SettleError::Stale)), "{settled:?}");
        }
        for job in &late {
            self.journal_stale(&owner, job, 0, noted).await;
        }
        if let Database::Postgres(_) = self.database {
            owner.close().await;
        }
    }

    /// Whatever ran is ready again as a suspect; a suspect that ran is charged.
    async fn take_over(&mut self) {
        let (store, born) = open(&self.database, &self.clock, &self.random).await;
        (self.store, self.born) = (Some(store), born);
        let now = self.clock.now();
        self.opened_at = now;
        let mut condemned = Vec::new();
        for (key, job) in self.jobs.iter_mut().filter(|(_, job)| job.state == Believed::Running) {
            job.charges += u32::from(job.suspect);
            if job.charges >= CHARGES_MAX {
                (job.state, job.is_refused) = (Believed::Dead, false);
                condemned.push(key.clone());
            } else {
                (job.state, job.suspect) = (Believed::Ready { due: now }, true);
                job.attempts_before += 1;
            }
        }
        condemned.iter().for_each(|key| self.leave_line(key, false));
        self.lost.append(&mut self.held);
    }
}
