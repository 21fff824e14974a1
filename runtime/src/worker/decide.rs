//! From what a handler said to what becomes of the job. Pure.

use crate::domain::{DeadReason, Job, Outcome, RetryDecision, RetryPolicy, Timestamp, Verdict};

/// Applies the source's retry policy to a verdict. `draw` is uniform in 0..1.
pub(super) fn decide(verdict: Verdict, job: &Job, policy: &RetryPolicy, now: Timestamp, draw: f64) -> Outcome {
    let (reason, after) = match verdict {
        Verdict::Done(note) => return Outcome::Done { note },
        Verdict::Discard(reason) => return Outcome::Discard { reason },
        Verdict::DeadLetter(reason) => return Outcome::Dead { cause: DeadReason::Permanent, reason },
        Verdict::Retry { reason, after, .. } => (reason, after),
    };
    let failures = job.attempt.saturating_sub(job.attempts_before).max(1);
    match policy.decide(failures, now.since(job.owed_since), after, draw) {
        RetryDecision::Again(delay) => Outcome::Retry { at: now + delay, reason },
        RetryDecision::GiveUp(cause) => Outcome::Dead { cause, reason },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{EventId, FailureKind, JobId, Lineage, NodeId, RetryStrategy};

    fn job(attempt: u32, attempts_before: u32) -> Job {
        let event = EventId::new(Timestamp::from_millis(0), [0; 10]);
        Job {
            id: JobId(1),
            owner: NodeId::new(Timestamp::from_millis(0), [0; 10]),
            lineage: Lineage { event, route: "crm".parse().expect("a name") },
            source: "stripe".parse().expect("a name"),
            plugin: "crm".parse().expect("a name"),
            attempt,
            attempts_before,
            owed_since: Timestamp::from_millis(0),
            is_suspect: false,
            line: None,
        }
    }

    #[test]
    fn attempts_before_a_replay_do_not_use_up_its_budget() {
        let strategy = RetryStrategy::Schedule(vec![Duration::from_secs(1)]);
        let policy = RetryPolicy { strategy, max_attempts: 2, max_age: None };
        let failed = || Verdict::Retry { kind: FailureKind::Handler, reason: "503".into(), after: None };
        let now = Timestamp::from_millis(5000);
        let again = Outcome::Retry { at: Timestamp::from_millis(6000), reason: "503".into() };
        let dead = Outcome::Dead { cause: DeadReason::MaxAttempts, reason: "503".into() };
        assert_eq!(decide(failed(), &job(1, 0), &policy, now, 0.0), again);
        assert_eq!(decide(failed(), &job(2, 0), &policy, now, 0.0), dead);
        assert_eq!(decide(failed(), &job(3, 2), &policy, now, 0.0), again);
        assert_eq!(decide(failed(), &job(4, 2), &policy, now, 0.0), dead);
    }
}
