//! The last good answer of each GET, which stands in for one that does not come (after RFC 5861 §4, `stale-if-error`). In memory, one for
//! each upstream, bounded. Must never give one plugin what another was answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::CallContext;
use super::trace_context::is_trace_context;
use crate::domain::{CallFault, CallFaultClass, OutboundAnswer, OutboundRequest};

/// All that is remembered of one upstream, bytes.
const BYTES_MAX: usize = 8 << 20;

/// What an answer takes beside its headers and body.
const BYTES_EACH: usize = 256;

/// The remembered answers of one upstream.
pub(super) struct Remembered {
    age_max: Duration,
    kept: Mutex<Kept>,
}

/// What an answer is remembered by: who asked, and all that it said.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

#[derive(Default)]
struct Kept {
    answers: HashMap<Key, Answer>,
    /// The keys from the one that was longest of no use to the latest.
    order: BTreeMap<u64, Key>,
    bytes: usize,
    /// Counts on with each use.
    uses: u64,
}

struct Answer {
    answer: OutboundAnswer,
    since: Instant,
    used: u64,
}

impl Remembered {
    /// Remembers answers for this long.
    pub(super) fn new(age_max: Duration) -> Self {
        Self { age_max, kept: Mutex::default() }
    }

    /// What the answer to this call would be remembered by; `None` where it is no GET.
    pub(super) fn key(request: &OutboundRequest, context: &CallContext) -> Option<Key> {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(context.plugin.as_str().as_bytes());
        add(request.path.as_bytes());
        add(&request.body);
        for (name, value) in request.headers.iter().filter(|(name, _)| !is_trace_context(name)) {
            add(name.as_bytes());
            add(value);
        }
        (request.method == "GET").then(|| Key(hash.finalize().into()))
    }

    /// The outcome of a call, remembered if it is good; where it is not, what is remembered, if that is young enough.
    pub(super) fn settle(&self, key: Key, outcome: Result<OutboundAnswer, CallFault>) -> Result<OutboundAnswer, CallFault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(answer) if answer.status == 200 => {
                kept.forget(key);
                if !forbids_storing(answer) {
                    kept.keep(key, answer.clone());
                }
            }
            outcome if is_passing(outcome) => {
                if let Some((answer, age)) = kept.find(key).filter(|(_, age)| *age <= self.age_max) {
                    return Ok(OutboundAnswer { stale_for: Some(age), ..answer });
                }
            }
            _ => {}
        }
        outcome
    }
}

/// Whether the upstream may well answer this again another time. What it answers on purpose, if only "no longer here", is the truth.
fn is_passing(outcome: &Result<OutboundAnswer, CallFault>) -> bool {
    match outcome {
        Ok(answer) => matches!(answer.status, 429 | 500..),
        Err(fault) => fault.class() != CallFaultClass::Permanent,
    }
}

/// RFC 9111 §5.2.2.5.
fn forbids_storing(answer: &OutboundAnswer) -> bool {
    let mut directives = answer.headers.all("cache-control").flat_map(|list| list.split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-store"))
}

impl Kept {
    fn keep(&mut self, key: Key, answer: OutboundAnswer) {
        let bytes = size(&answer);
        if bytes > BYTES_MAX {
            return;
        }
        self.uses += 1;
        self.bytes += bytes;
        self.order.insert(self.uses, key);
        self.answers.insert(key, Answer { answer, since: Instant::now(), used: self.uses });
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(old) = self.answers.remove(&key) {
            self.order.remove(&old.used);
            self.bytes -= size(&old.answer);
        }
    }

    fn find(&mut self, key: Key) -> Option<(OutboundAnswer, Duration)> {
        let found = self.answers.get_mut(&key)?;
        self.uses += 1;
        self.order.remove(&found.used);
        self.order.insert(self.uses, key);
        found.used = self.uses;
        Some((found.answer.clone(), found.since.elapsed()))
    }
}

fn size(answer: &OutboundAnswer) -> usize {
    BYTES_EACH + answer.headers.as_bytes().len() + answer.body.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::{CallFaultKind, Headers};

    fn key(number: u8) -> Key {
        Key([number; 32])
    }

    fn good(bytes: usize) -> Result<OutboundAnswer, CallFault> {
        Ok(OutboundAnswer { status: 200, headers: Headers::default(), body: Bytes::from(vec![b'x'; bytes]), stale_for: None })
    }

    fn status(status: u16) -> Result<OutboundAnswer, CallFault> {
        good(1).map(|answer| OutboundAnswer { status, ..answer })
    }

    fn fault(kind: CallFaultKind) -> Result<OutboundAnswer, CallFault> {
        Err(CallFault::new(kind, "no answer"))
    }

    fn is_stale(outcome: &Result<OutboundAnswer, CallFault>) -> bool {
        outcome.as_ref().is_ok_and(|answer| answer.stale_for.is_some())
    }

    #[test]
    fn what_may_pass_is_stood_in_for_and_what_is_meant_is_told() {
        let remembered = Remembered::new(Duration::from_mins(1));
        let passing = [
            fault(CallFaultKind::Timeout),
            fault(CallFaultKind::Connect),
            fault(CallFaultKind::RateLimited),
            fault(CallFaultKind::BreakerOpen),
            fault(CallFaultKind::AuthFailed),
            status(429),
            status(500),
            status(503),
        ];
        for outcome in &passing {
            assert!(!is_stale(&remembered.settle(key(1), outcome.clone())), "{outcome:?}: there is nothing to stand in");
        }
        remembered.settle(key(1), good(1)).expect("it is good");
        for outcome in passing {
            assert!(is_stale(&remembered.settle(key(1), outcome.clone())), "{outcome:?}");
            assert!(!is_stale(&remembered.settle(key(2), outcome)), "another request");
        }
        for outcome in [status(404), status(401), status(304), fault(CallFaultKind::NotGranted), fault(CallFaultKind::InvalidRequest)] {
            assert!(!is_stale(&remembered.settle(key(1), outcome.clone())), "{outcome:?}");
        }
    }

    #[test]
    fn the_age_has_a_limit() {
        let remembered = Remembered::new(Duration::ZERO);
        remembered.settle(key(1), good(1)).expect("it is good");
        assert!(!is_stale(&remembered.settle(key(1), status(503))));
    }

    #[test]
    fn an_answer_that_must_not_be_stored_takes_the_one_before_with_it() {
        let remembered = Remembered::new(Duration::from_mins(1));
        remembered.settle(key(1), good(1)).expect("it is good");
        let headers = [("cache-control", Bytes::from_static(b"private, No-Store"))].into_iter().collect();
        remembered.settle(key(1), good(1).map(|answer| OutboundAnswer { headers, ..answer })).expect("it is good");
        assert!(!is_stale(&remembered.settle(key(1), status(503))));
    }

    #[test]
    fn eight_mebibytes_are_remembered_and_what_was_longest_of_no_use_goes_first() {
        let remembered = Remembered::new(Duration::from_mins(1));
        let quarter = BYTES_MAX / 4 - BYTES_EACH;
        for number in 1..=4 {
            remembered.settle(key(number), good(quarter)).expect("it is good");
        }
        assert!(is_stale(&remembered.settle(key(1), status(503))), "all four fit");
        remembered.settle(key(5), good(quarter)).expect("it is good");
        let left = (1..=5).filter(|number| is_stale(&remembered.settle(key(*number), status(503))));
        assert_eq!(left.collect::<Vec<_>>(), [1, 3, 4, 5]);

        remembered.settle(key(6), good(BYTES_MAX)).expect("it is good");
        assert!(!is_stale(&remembered.settle(key(6), status(503))), "larger than all that is remembered");
        let kept = remembered.kept.lock().expect("no panic");
        assert_eq!((kept.answers.len(), kept.order.len(), kept.bytes), (4, 4, BYTES_MAX));
    }
}
