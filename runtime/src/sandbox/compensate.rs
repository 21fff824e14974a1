//! One call of `compensation.exhausted`: a plugin takes back what attempts have done, before their event becomes a dead letter.

use std::time::Instant;

use super::engine::Engine;
use super::failure::classify;
use super::guest;
use super::plugin::Plugin;
use super::run::{Ran, Run, failed, guest_event, kept, powers};
use crate::domain::{AttemptRecord, EFFECTS_MAX, FailureKind, Verdict};

impl Plugin {
    /// Whether it is to be asked before an event becomes a dead letter.
    pub fn can_compensate(&self) -> bool {
        self.description.compensates && self.exports.compensating.is_some()
    }

    /// Lets it take back what was done, within the grant's limits; `None` where it cannot. Done: its wishes are to be committed with the
    /// dead letter.
    pub async fn compensate(&self, engine: &Engine, run: Run, last_error: &str) -> Option<Ran> {
        let pre = self.exports.compensating.as_ref().filter(|_| self.can_compensate())?;
        let started = Instant::now();
        let limits = run.grant.limits;
        // A handler's own come before these, and so do those of a compensation before a replay.
        let positions_before = run.attempt as usize * EFFECTS_MAX;
        let powers = powers(&run, self.digest, positions_before);
        let mut store = guest::store(engine, &limits, Some(powers));
        let asked = tokio::time::timeout(limits.wall, async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.hookfast_plugin_compensation().call_exhausted(&mut store, &guest_event(&run), last_error).await
        });
        let verdict = match asked.await {
            Ok(Ok(Ok(note))) => Verdict::Done(note.map(kept)),
            Ok(Ok(Err(fault))) => failed((FailureKind::Handler, format!("{}: {}", fault.code, fault.message))),
            Ok(Err(error)) => failed(classify(&error, store.data())),
            Err(_) => failed((FailureKind::WallTimeout, format!("took longer than {} ms", limits.wall.as_millis()))),
        };
        let failure = if let Verdict::Retry { kind, .. } = &verdict { Some(*kind) } else { None };
        let guest = store.data_mut();
        let (calls, log, wishes) = (guest.finished_calls(), guest.finished_log(), guest.wishes());
        let record = AttemptRecord { started_at: run.now, duration: started.elapsed(), digest: self.digest, failure, calls, log };
        Some(Ran { verdict, record, wishes })
    }
}
