//! Claims 4 and 5: an upstream that breaks costs retries and then a dead letter; once it has healed, a replay finishes the job.

use std::time::Duration;

use anyhow::Context;

use super::admin::Attempt;
use super::folder::DELAYS_MS;
use super::story::Story;
use super::{Stage, key, ms};
use crate::domain::{RetryDecision, RetryPolicy};

/// How far a planned delay may look from its schedule: attempts are recorded in whole milliseconds, and this machine is busy.
const PLAN_SLACK: Duration = Duration::from_millis(100);
/// How late an attempt may begin.
const START_SLACK: Duration = Duration::from_secs(1);

/// A job that was given up.
pub(super) struct Dead {
    event: String,
    letter: String,
    key: String,
}

pub(super) async fn dead_letter(stage: &Stage, story: &mut Story) -> anyhow::Result<Dead> {
    story.claim(
        "A broken upstream costs retries, then a dead letter; the event is never dropped",
        &["The CRM now answers 503. The schedule is compressed for this demo: 200 ms, 400 ms, 800 ms.", &default_policy()],
    );
    stage.upstream.answer(503);
    let answer = stage.stripe.send(&stage.stripe.webhook("invoice.paid", "evt_demo_outage")).await?;
    let event = answer.event().context("the event was not accepted")?;
    story.show(format_args!("evt_demo_outage → {} all the same, in {}", answer.status, ms(answer.took)));
    let attempts = stage.admin.finished(&event).await?.attempts;
    show(story, &attempts);

    story.check(on_schedule(&attempts), "four attempts, each planned as the schedule says, none early");
    let letter = stage.admin.dead_letters(&event).await?.into_iter().next().context("there is no dead letter")?;
    let cause = (letter.cause.as_str(), letter.attempts);
    story.check(cause == ("max_attempts", 4), format_args!("a dead letter is kept, cause `{}`: {}", letter.cause, letter.id));
    let key = key(&event, "stripe-crm", "crm");
    let calls = stage.upstream.under(&key).len();
    story.check(calls == 4, format_args!("the CRM got {calls} requests, all with Idempotency-Key {key}"));
    Ok(Dead { event, letter: letter.id, key })
}

/// What a source gets that says nothing of retries; as long as its draws of jitter can make it.
fn default_policy() -> String {
    let policy = RetryPolicy::default();
    let delay = |failures| match policy.decide(failures, Duration::ZERO, None, 1.0) {
        RetryDecision::Again(delay) => Some(delay),
        RetryDecision::GiveUp(_) => None,
    };
    let hours = (1..).map_while(delay).sum::<Duration>().as_secs_f64() / 3600.0;
    format!("By default delays double, with jitter: {} attempts, which may take {hours:.0} hours.", policy.max_attempts)
}

fn show(story: &mut Story, attempts: &[Attempt]) {
    for (attempt, next) in attempts.iter().zip(attempts.iter().skip(1).map(Some).chain([None])) {
        let answered = attempt.answered().map_or_else(|| "nothing".to_owned(), |status| status.to_string());
        let then = match (attempt.planned_delay(), next.and_then(|next| began_late(attempt, next))) {
            (Some(delay), Some(late)) => format!("next planned in {}, began {} after that", ms(delay), ms(late)),
            _ => format!("{}, {}", attempt.outcome, attempt.detail.as_deref().unwrap_or_default()),
        };
        story.show(format_args!("attempt {}: the CRM answered {answered}; {then}", attempt.attempt));
    }
}

/// How long after it was due the next attempt began.
fn began_late(attempt: &Attempt, next: &Attempt) -> Option<Duration> {
    attempt.retry_at.map(|due| next.started_at.0.since(due.0))
}

fn on_schedule(attempts: &[Attempt]) -> bool {
    let as_planned = |(pair, planned): (&[Attempt], u64)| {
        let planned = Duration::from_millis(planned);
        let delay =
            pair[0].planned_delay().is_some_and(|delay| (planned..=planned + PLAN_SLACK).contains(&(delay + Duration::from_millis(1))));
        let is_early = pair[0].retry_at.is_none_or(|due| pair[1].started_at.0 < due.0);
        delay && !is_early && began_late(&pair[0], &pair[1]).is_some_and(|late| late < START_SLACK)
    };
    attempts.len() == DELAYS_MS.len() + 1 && attempts.windows(2).zip(DELAYS_MS).all(as_planned)
}

pub(super) async fn replay(stage: &Stage, story: &mut Story, dead: &Dead) -> anyhow::Result<()> {
    story.claim(
        "The upstream heals, and a replay finishes the job under the same key",
        &[
            "One request to the admin API, as `hookfast dlq replay` sends it. The key is the one of before, so an",
            "upstream that had done the work after all can tell.",
        ],
    );
    stage.upstream.answer(200);
    let moved = stage.admin.replay(&dead.letter).await?;
    story.show(format_args!("POST /api/v1/dead-letters/replay → {} replayed", moved.count));
    let event = stage.admin.finished(&dead.event).await?;
    let last = event.attempts.last().context("there is no attempt")?;
    story.show(format_args!("attempt {}: the CRM answered {}; {}", last.attempt, last.answered().unwrap_or_default(), last.outcome));
    story.check(moved.count == 1 && event.status == "done" && event.attempts.len() == 5, "done at the fifth attempt");
    let statuses: Vec<_> = stage.upstream.under(&dead.key).iter().filter_map(|request| request.status).collect();
    story.check(statuses == [503, 503, 503, 503, 200], format_args!("the CRM saw one key all along: {}", dead.key));
    let left = stage.admin.dead_letters(&dead.event).await?.len();
    story.check(left == 0, "no dead letter is left");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::admin::Moment;
    use crate::domain::Timestamp;

    /// Attempts of 5 ms each, the next one planned after these delays and begun 2 ms after that.
    fn attempts(delays_ms: &[u64]) -> Vec<Attempt> {
        let mut start = Timestamp::from_millis(1_700_000_000_000);
        let mut attempts = Vec::new();
        for delay in delays_ms.iter().map(Some).chain([None]) {
            let retry_at = delay.map(|delay| start + Duration::from_millis(5 + delay));
            attempts.push(Attempt {
                attempt: 1,
                plugin: "crm".into(),
                digest: String::new(),
                started_at: Moment(start),
                duration_us: 5_000,
                outcome: "retry".into(),
                detail: None,
                retry_at: retry_at.map(Moment),
                calls: Vec::new(),
            });
            start = retry_at.map_or(start, |due| due + Duration::from_millis(2));
        }
        attempts
    }

    #[test]
    fn only_the_schedule_itself_is_on_schedule() {
        assert!(on_schedule(&attempts(&DELAYS_MS)));
        for other in [&[200, 400][..], &[200, 400, 800, 1600], &[200, 200, 800], &[200, 400, 1000], &[]] {
            assert!(!on_schedule(&attempts(other)), "{other:?}");
        }
    }

    #[test]
    fn an_attempt_that_began_early_or_very_late_is_noticed() {
        let begun = |at: fn(Timestamp) -> Timestamp| {
            let mut attempts = attempts(&DELAYS_MS);
            attempts[3].started_at = Moment(at(attempts[3].started_at.0));
            on_schedule(&attempts)
        };
        assert!(begun(|at| at));
        assert!(!begun(|at| at - Duration::from_millis(3)));
        assert!(!begun(|at| at + Duration::from_secs(1)));
    }
}
