//! The condition of an upstream: its breaker, its mark, the pause that it asked for, and how they came about. It is told the time and
//! what became of calls; it waits for nothing and logs nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::breaker::{Breaker, Finding, Pass, Position};
use super::history::{Change, History, UpstreamState};
use super::marks::{Mark, Marks, Sign};
use super::window::Counts;
use crate::domain::{CallFaultKind, Timestamp};

/// The same moment on the monotonic and on the wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) monotonic: Instant,
    pub(super) wall: Timestamp,
}

/// A time for which the upstream wants no calls. It is over when it is so on either clock: one may be set, the other may sleep.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    until_wall: Timestamp,
}

impl Pause {
    fn is_over(self, now: Now) -> bool {
        now.monotonic >= self.until || now.wall >= self.until_wall
    }

    fn left(self, now: Now) -> Duration {
        self.until.saturating_duration_since(now.monotonic).min(self.until_wall.since(now.wall))
    }
}

/// Leave to make one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    pass: Option<Pass>,
    is_probe_of_mark: bool,
}

/// What one call says of its upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub(super) finding: Option<Finding>,
    pub(super) sign: Sign,
    /// For how long the upstream wants no calls.
    pub(super) pause: Option<Duration>,
}

impl Report {
    /// Of a call that was not made, or not to its end.
    pub(super) const NOTHING: Self = Self { finding: None, sign: Sign::Nothing, pause: None };
}

/// Why a call may not be made now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) state: UpstreamState,
    pub(super) why: String,
    /// Until the next probe, or the end of the pause.
    pub(super) again_in: Duration,
}

/// How often calls were refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// For want of a closed breaker.
    pub breaker_open: u64,
    /// For credentials that it refuses.
    pub auth_failed: u64,
    /// For TLS that fails.
    pub tls_failed: u64,
    /// For its pause, or its limits.
    pub rate_limited: u64,
}

/// All that decides whether a call may be made, but for the limits.
#[derive(Debug)]
pub(super) struct Condition {
    breaker: Option<Breaker>,
    marks: Marks,
    pause: Option<Pause>,
    pub(super) in_flight: u32,
    pub(super) refused: Refused,
    /// Calls that were made again within an attempt.
    pub(super) repeated: u64,
    pub(super) history: History,
}

impl Condition {
    /// Of an upstream of which nothing is known.
    pub(super) fn new(breaker: Option<Breaker>, now: Instant) -> Self {
        Self {
            breaker,
            marks: Marks::default(),
            pause: None,
            in_flight: 0,
            refused: Refused::default(),
            repeated: 0,
            history: History::new(now),
        }
    }

    /// Of an upstream whose settings changed: what was counted goes on, what was held against it is forgotten.
    pub(super) fn continuing(before: &Self, breaker: Option<Breaker>, now: Instant) -> (Self, Option<Change>) {
        let mut own =
            Self { refused: before.refused, repeated: before.repeated, history: before.history.clone(), ..Self::new(breaker, now) };
        let change = own.history.enter(UpstreamState::Closed, "its configuration changed", now);
        (own, change)
    }

    /// Whether a call may be made, without making it.
    pub(super) fn look(&mut self, now: Now) -> Result<(), Refusal> {
        self.end_pause(now);
        let refusal = self.refusal(now);
        if let Some(refusal) = &refusal {
            self.refuse(match refusal.state {
                UpstreamState::AuthFailed => CallFaultKind::AuthFailed,
                UpstreamState::TlsFailed => CallFaultKind::TlsFailed,
                UpstreamState::Paused => CallFaultKind::RateLimited,
                UpstreamState::Open | UpstreamState::HalfOpen | UpstreamState::Closed => CallFaultKind::BreakerOpen,
            });
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Gives leave to make a call, which has to be reported once.
    pub(super) fn admit(&mut self, now: Now) -> (Result<Leave, Refusal>, Option<Change>) {
        if let Err(refusal) = self.look(now) {
            return (Err(refusal), self.changed(now));
        }
        let is_probe_of_mark = self.marks.look(now.monotonic) == Some(true);
        if is_probe_of_mark {
            self.marks.probe(now.monotonic);
        }
        // What `look` let through the breaker admits; a marked upstream is probed whatever its breaker says.
        let in_flight = self.in_flight;
        let pass = self.breaker.as_mut().and_then(|breaker| breaker.admit(now.monotonic, in_flight).ok());
        self.in_flight += 1;
        (Ok(Leave { pass, is_probe_of_mark }), self.changed(now))
    }

    /// Takes in what became of a call. `draw` is uniform in 0..1.
    pub(super) fn report(&mut self, leave: Leave, report: Report, now: Now, draw: f64) -> Option<Change> {
        self.in_flight -= 1;
        if let (Some(breaker), Some(pass)) = (&mut self.breaker, leave.pass) {
            breaker.record(pass, report.finding, now.monotonic, draw);
        }
        self.marks.note(report.sign, leave.is_probe_of_mark, now.monotonic);
        if let Some(pause) = report.pause {
            let asked = Pause { until: now.monotonic + pause, until_wall: now.wall + pause };
            self.pause = Some(self.pause.filter(|pause| pause.until > asked.until).unwrap_or(asked));
        }
        self.end_pause(now);
        self.changed(now)
    }

    /// Forgets all that is held against the upstream.
    pub(super) fn reset(&mut self, now: Instant) -> Option<Change> {
        self.marks = Marks::default();
        self.pause = None;
        if let Some(breaker) = &mut self.breaker {
            breaker.reset(now);
        }
        self.history.enter(UpstreamState::Closed, "an operator has reset it", now)
    }

    /// How many calls more would be let through now.
    pub(super) fn room(&mut self, now: Now) -> (u32, Option<Change>) {
        self.end_pause(now);
        let in_flight = self.in_flight;
        let room = match (self.marks.look(now.monotonic), self.pause) {
            (None, _) | (Some(false), Some(_)) => 0,
            (Some(true), _) => 1,
            (Some(false), None) => self.breaker.as_mut().map_or(u32::MAX, |breaker| breaker.room(now.monotonic, in_flight)),
        };
        (room, self.changed(now))
    }

    /// How long until a call is let through, where none is now.
    pub(super) fn next_probe(&self, now: Now) -> Option<Duration> {
        let marked = self.marks.mark(now.monotonic).map(|(_, wait)| wait);
        let opened = || self.breaker.as_ref().and_then(|breaker| breaker.next_probe(now.monotonic));
        let paused = || self.pause.map(|pause| pause.left(now));
        marked.or_else(opened).or_else(paused)
    }

    /// What the breaker counts.
    pub(super) fn counts(&mut self, now: Instant) -> Counts {
        self.breaker.as_mut().map(|breaker| breaker.counts(now)).unwrap_or_default()
    }

    /// What a slow call takes at least, where that matters.
    pub(super) fn slow_after(&self) -> Option<Duration> {
        self.breaker.as_ref().map(Breaker::slow_after)
    }

    /// One more call was refused so.
    pub(super) fn refuse(&mut self, kind: CallFaultKind) {
        match kind {
            CallFaultKind::BreakerOpen => self.refused.breaker_open += 1,
            CallFaultKind::AuthFailed => self.refused.auth_failed += 1,
            CallFaultKind::TlsFailed => self.refused.tls_failed += 1,
            _ => self.refused.rate_limited += 1,
        }
    }

    fn refusal(&mut self, now: Now) -> Option<Refusal> {
        if let Some((mark, again_in)) = self.marks.mark(now.monotonic) {
            let is_refused = self.marks.look(now.monotonic).is_none();
            return is_refused.then(|| Refusal { state: marked(mark), why: mark.why().into(), again_in });
        }
        if let Some(pause) = self.pause {
            return Some(Refusal { state: UpstreamState::Paused, why: PAUSED.into(), again_in: pause.left(now) });
        }
        let in_flight = self.in_flight;
        let breaker = self.breaker.as_mut()?;
        let again_in = breaker.look(now.monotonic, in_flight).err()?;
        Some(Refusal { state: position(breaker), why: breaker.why().into(), again_in })
    }

    fn end_pause(&mut self, now: Now) {
        self.pause = self.pause.filter(|pause| !pause.is_over(now));
    }

    /// The change since the last look, if there is one: the gravest thing counts.
    fn changed(&mut self, now: Now) -> Option<Change> {
        let breaker = self.breaker.as_ref().map(|breaker| (position(breaker), breaker.why()));
        let opened = breaker.filter(|(state, _)| *state != UpstreamState::Closed);
        let (state, why) = match (self.marks.mark(now.monotonic), opened, self.pause) {
            (Some((mark, _)), _, _) => (marked(mark), mark.why()),
            (None, Some(opened), _) => opened,
            (None, None, Some(_)) => (UpstreamState::Paused, PAUSED),
            (None, None, None) => (UpstreamState::Closed, self.recovery(breaker.map_or("", |(_, why)| why))),
        };
        self.history.enter(state, why, now.monotonic)
    }

    /// Why it takes calls again.
    fn recovery<'s>(&self, of_breaker: &'s str) -> &'s str {
        match self.history.state() {
            UpstreamState::AuthFailed => "a probe was let in",
            UpstreamState::TlsFailed => "a probe was answered",
            UpstreamState::Paused => "the pause is over",
            UpstreamState::Closed | UpstreamState::Open | UpstreamState::HalfOpen => of_breaker,
        }
    }
}

const PAUSED: &str = "it answered 429 and asked for a pause";

fn marked(mark: Mark) -> UpstreamState {
    match mark {
        Mark::Auth => UpstreamState::AuthFailed,
        Mark::Tls => UpstreamState::TlsFailed,
    }
}

fn position(breaker: &Breaker) -> UpstreamState {
    match breaker.position() {
        Position::Closed => UpstreamState::Closed,
        Position::Open => UpstreamState::Open,
        Position::HalfOpen => UpstreamState::HalfOpen,
    }
}
