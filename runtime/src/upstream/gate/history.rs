//! The latest changes of an upstream's state: a bounded list, from which log, metrics and API tell what happened.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::domain::Timestamp;

/// So many changes are kept.
const KEPT_MAX: usize = 20;

/// Whether an upstream takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// It takes calls.
    Closed,
    /// Its breaker is open: it failed too often, or was too slow.
    Open,
    /// A few calls probe whether it is well again.
    HalfOpen,
    /// It refuses its credentials; the operator has to mend them.
    AuthFailed,
    /// TLS with it fails; somebody has to mend that.
    TlsFailed,
    /// It has asked to be left alone for a time, by 429 and `Retry-After`.
    Paused,
}

impl UpstreamState {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Closed, Self::Open, Self::HalfOpen, Self::AuthFailed, Self::TlsFailed, Self::Paused];

    /// The word of log, metrics and API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::AuthFailed => "auth_failed",
            Self::TlsFailed => "tls_failed",
            Self::Paused => "paused",
        }
    }
}

/// A change of an upstream's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamChange {
    /// Counts the changes of this upstream since the node started, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What it was before.
    pub from: UpstreamState,
    /// What it is since.
    pub to: UpstreamState,
    /// Why, in a few words for people.
    pub why: String,
}

/// One change on the monotonic clock.
#[derive(Debug, Clone)]
pub(super) struct Change {
    number: u64,
    at: Instant,
    pub(super) from: UpstreamState,
    pub(super) to: UpstreamState,
    pub(super) why: String,
}

/// How often each state was entered.
pub(in crate::upstream) type Entered = [u64; UpstreamState::ALL.len()];

/// The latest changes, and how many there were.
#[derive(Debug, Clone)]
pub(super) struct History {
    changes: VecDeque<Change>,
    entered: Entered,
    state: UpstreamState,
    since: Instant,
}

impl History {
    /// Nothing has happened to an upstream that takes calls.
    pub(super) fn new(now: Instant) -> Self {
        Self { changes: VecDeque::new(), entered: Entered::default(), state: UpstreamState::Closed, since: now }
    }

    /// The state is now this; a change only if it was another.
    pub(super) fn enter(&mut self, state: UpstreamState, why: &str, now: Instant) -> Option<Change> {
        if state == self.state {
            return None;
        }
        let number = self.entered.iter().sum::<u64>() + 1;
        let change = Change { number, at: now, from: self.state, to: state, why: why.to_owned() };
        self.entered[state as usize] += 1;
        (self.state, self.since) = (state, now);
        self.changes.truncate(KEPT_MAX - 1);
        self.changes.push_front(change.clone());
        Some(change)
    }

    /// The state.
    pub(super) fn state(&self) -> UpstreamState {
        self.state
    }

    /// How long it has been so.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Why it is so; nothing where it has never been otherwise.
    pub(super) fn why(&self) -> Option<&str> {
        self.changes.front().map(|change| &*change.why)
    }

    /// How often each state was entered, in the order of [`UpstreamState::ALL`].
    pub(super) fn entered(&self) -> Entered {
        self.entered
    }

    /// The latest changes, newest first. `now` is the same moment on both clocks.
    pub(super) fn changes(&self, now: (Instant, Timestamp)) -> Vec<UpstreamChange> {
        let told = |change: &Change| UpstreamChange {
            number: change.number,
            at: now.1 - now.0.saturating_duration_since(change.at),
            from: change.from,
            to: change.to,
            why: change.why.clone(),
        };
        self.changes.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_twenty_changes_are_kept_with_their_times() {
        let start = Instant::now();
        let mut history = History::new(start);
        assert!(history.enter(UpstreamState::Closed, "", start).is_none(), "no change");
        let at = |second| start + Duration::from_secs(second);
        for second in 1..=25 {
            let state = if second % 2 == 1 { UpstreamState::Open } else { UpstreamState::Closed };
            history.enter(state, &second.to_string(), at(second)).expect("a change");
        }
        let changes = history.changes((at(30), Timestamp::from_millis(30_000)));
        assert_eq!(changes.len(), 20);
        let expected = UpstreamChange {
            number: 25,
            at: Timestamp::from_millis(25_000),
            from: UpstreamState::Closed,
            to: UpstreamState::Open,
            why: "25".into(),
        };
        assert_eq!((&changes[0], changes[19].number), (&expected, 6));
        assert_eq!((history.entered(), history.age(at(30))), ([12, 13, 0, 0, 0, 0], Duration::from_secs(5)));
    }
}
