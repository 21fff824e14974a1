//! The gate of an upstream: every try of a call passes it, or is told why not and when to come again; what became of the try is told to
//! it. It keeps the breaker, the limits, and the marks of credentials and TLS that fail. Sends nothing itself.

mod window;
mod breaker;
mod marks;
mod history;
mod condition;
mod report;
mod limits;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{Auth, UpstreamSettings};
use crate::domain::{CallFault, CallFaultKind, OutboundAnswer, Timestamp, UpstreamName};
use crate::random::Random;
use breaker::{Breaker, Finding};
use condition::{Condition, Leave, Now, Refusal, Report};
use history::Change;
use limits::{Full, Limits, Place};

pub use condition::Refused;
pub(super) use history::Entered;
pub use history::{UpstreamChange, UpstreamState};

/// The gate of one upstream.
pub(super) struct Gate {
    name: UpstreamName,
    has_credentials: bool,
    limits: Limits,
    condition: Mutex<Condition>,
    random: Random,
}

/// Leave to make one try; dropped without [`Self::report`] it says no more of the upstream than that it was slow, if it was.
pub(super) struct Ticket<'g> {
    gate: &'g Gate,
    leave: Option<Leave>,
    entered: Now,
    _place: Place<'g>,
}

/// How the upstream is and was.
pub(super) struct Standing {
    pub(super) state: UpstreamState,
    pub(super) age: Duration,
    pub(super) why: Option<String>,
    pub(super) next_probe: Option<Duration>,
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
    pub(super) slow_after: Option<Duration>,
    pub(super) in_flight: u32,
    pub(super) refused: Refused,
    pub(super) repeated: u64,
    pub(super) entered: Entered,
    pub(super) changes: Vec<UpstreamChange>,
}

impl Gate {
    /// Open. Where the upstream had other settings `before`, what was counted goes on.
    pub(super) fn new(settings: &UpstreamSettings, before: Option<&Self>) -> Self {
        let now = Instant::now();
        let policies = &settings.policies;
        let breaker = policies.breaker.map(|policy| Breaker::new(policy, settings.timeouts.total / 2, now));
        let (condition, change) = match before {
            None => (Condition::new(breaker, now), None),
            Some(before) => Condition::continuing(&before.condition(), breaker, now),
        };
        let gate = Self {
            name: settings.name.clone(),
            has_credentials: settings.auth != Auth::None || settings.tls.identity.is_some(),
            limits: Limits::new(policies),
            condition: Mutex::new(condition),
            random: Random::system(),
        };
        gate.tell(change.as_ref());
        gate
    }

    /// Waits for leave to make one try, at most as long as the limits' wait and `patience` have it.
    ///
    /// # Errors
    /// A fault of a kind that [`CallFaultKind::is_upstream_down`] knows, with the time after which it makes sense to come again.
    pub(super) async fn enter(&self, patience: Duration, now: Timestamp) -> Result<Ticket<'_>, CallFault> {
        if self.limits.are_set() {
            let look = self.condition().look(at(now));
            look.map_err(|refusal| self.fault(&refusal))?;
        }
        let place = self.limits.take(patience).await.map_err(|full| self.overfull(&full))?;
        let now = at(now);
        let (leave, change) = self.condition().admit(now);
        self.tell(change.as_ref());
        let leave = leave.map_err(|refusal| self.fault(&refusal))?;
        Ok(Ticket { gate: self, leave: Some(leave), entered: now, _place: place })
    }

    /// One more call is made again within its attempt.
    pub(super) fn repeat(&self) {
        self.condition().repeated += 1;
    }

    /// A random number, uniform in 0..1.
    pub(super) fn draw(&self) -> f64 {
        self.random.draw()
    }

    /// Forgets all that is held against the upstream.
    pub(super) fn reset(&self) {
        let change = self.condition().reset(Instant::now());
        self.tell(change.as_ref());
    }

    /// How many calls more it is worth to let try now.
    pub(super) fn room(&self, now: Timestamp) -> u32 {
        let (room, change) = self.condition().room(at(now));
        self.tell(change.as_ref());
        room.min(self.limits.room())
    }

    /// How the upstream is and was.
    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        // Notices a pause that is over.
        self.room(now);
        let (wall, now) = (now, at(now));
        let mut condition = self.condition();
        let counts = condition.counts(now.monotonic);
        Standing {
            state: condition.history.state(),
            age: condition.history.age(now.monotonic),
            why: condition.history.why().map(Into::into),
            next_probe: condition.next_probe(now),
            calls: counts.calls,
            failed: counts.failed,
            slow: counts.slow,
            slow_after: condition.slow_after(),
            in_flight: condition.in_flight,
            refused: condition.refused,
            repeated: condition.repeated,
            entered: condition.history.entered(),
            changes: condition.history.changes((now.monotonic, wall)),
        }
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, refusal: &Refusal) -> CallFault {
        let Refusal { state, why, again_in } = refusal;
        let name = &self.name;
        let again = shown(*again_in);
        let (kind, message) = match state {
            UpstreamState::AuthFailed => (
                CallFaultKind::AuthFailed,
                format!("upstream `{name}` takes no calls: {why}; its operator has to mend `auth` under [upstreams.{name}]"),
            ),
            UpstreamState::TlsFailed => (
                CallFaultKind::TlsFailed,
                format!("upstream `{name}` takes no calls: {why}; its certificate, or the trust in it, has to be mended"),
            ),
            UpstreamState::Paused => (CallFaultKind::RateLimited, format!("upstream `{name}` takes no calls for {again}: {why}")),
            UpstreamState::Open => (CallFaultKind::BreakerOpen, format!("upstream `{name}` takes no calls for {again}: {why}")),
            UpstreamState::HalfOpen | UpstreamState::Closed => {
                (CallFaultKind::BreakerOpen, format!("upstream `{name}` takes few calls until it is seen to be well again"))
            }
        };
        CallFault { retry_after: Some(*again_in), ..CallFault::new(kind, message) }
    }

    fn overfull(&self, full: &Full) -> CallFault {
        self.condition().refuse(CallFaultKind::RateLimited);
        let message = format!("upstream `{}` has no room: {}", self.name, full.what);
        CallFault { retry_after: Some(full.again_in), ..CallFault::new(CallFaultKind::RateLimited, message) }
    }

    fn tell(&self, change: Option<&Change>) {
        let Some(Change { from, to, why, .. }) = change else { return };
        let (upstream, from, code) = (&self.name, from.code(), to.code());
        match to {
            UpstreamState::Open | UpstreamState::AuthFailed | UpstreamState::TlsFailed => {
                warn!(%upstream, from, to = code, why, "an upstream takes no calls");
            }
            UpstreamState::Closed | UpstreamState::HalfOpen | UpstreamState::Paused => {
                info!(%upstream, from, to = code, why, "an upstream's state changed");
            }
        }
    }
}

impl Ticket<'_> {
    /// Tells what became of the try.
    pub(super) fn report(mut self, result: &Result<OutboundAnswer, CallFault>) {
        let now = at(self.entered.wall);
        let took = now.monotonic - self.entered.monotonic;
        self.give_back(Report::of(result, took, self.gate.has_credentials, now.wall), now);
    }

    fn give_back(&mut self, report: Report, now: Now) {
        let Some(leave) = self.leave.take() else { return };
        let draw = self.gate.random.draw();
        let change = self.gate.condition().report(leave, report, now, draw);
        self.gate.tell(change.as_ref());
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.leave.is_none() {
            return;
        }
        let now = at(self.entered.wall);
        let took = now.monotonic - self.entered.monotonic;
        let slow_after = self.gate.condition().slow_after();
        let finding = slow_after.is_some_and(|limit| took >= limit).then_some(Finding { failed: false, took });
        self.give_back(Report { finding, ..Report::NOTHING }, now);
    }
}

fn at(wall: Timestamp) -> Now {
    Now { monotonic: Instant::now(), wall }
}

/// A time for people, by the tenth of a second.
fn shown(time: Duration) -> String {
    format!("{:.1}s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
