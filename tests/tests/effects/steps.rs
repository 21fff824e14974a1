//! The journal of a job's steps, and what people see of it.

use std::time::Duration;

use expect_test::expect;
use hookfast::domain::{DeadReason, Effects, EventId, Headers, JournalEntry, OutboundAnswer, Outcome, RecordedStep, StepState};
use hookfast::store::SettleError;
use serde_json::json;

use super::ask;
use super::bench::Bench;

fn begun(step: &str, attempt: u32) -> JournalEntry {
    JournalEntry { step: step.parse().expect("a step"), state: StepState::Begun { attempt }, replays: 0 }
}

fn answered(step: &str, status: u16, attempt: u32, body: &'static str) -> JournalEntry {
    let mut headers = Headers::default();
    headers.push("x-request", "7");
    let answer = OutboundAnswer { status, headers, body: body.into(), stale_for: None };
    let recorded =
        RecordedStep { request: [1; 32], summary: "POST crm /orders".into(), answer, attempt, latency: Duration::from_millis(12) };
    JournalEntry { state: StepState::Recorded(recorded), ..begun(step, attempt) }
}

/// A journal in words.
async fn known(bench: &Bench, job: &hookfast::domain::Job) -> String {
    let mut entries = bench.store.steps(&job.lineage).await.expect("steps");
    entries.sort_by(|one, other| one.step.cmp(&other.step));
    let line = |entry: &JournalEntry| {
        let state = match &entry.state {
            StepState::Forgotten => "forgotten".into(),
            StepState::Begun { attempt } => format!("begun in {attempt}"),
            StepState::Recorded(RecordedStep { request, summary, answer, attempt, latency }) => {
                let (body, header) = (String::from_utf8_lossy(&answer.body), answer.headers.text("x-request").unwrap_or("none"));
                format!("{summary} {} {body} x-request {header} in {attempt} {latency:?} {}", answer.status, request[0])
            }
        };
        format!("{} r{}: {state}\n", entry.step, entry.replays)
    };
    entries.iter().map(line).collect()
}

pub(super) async fn the_first_answer_stays_and_only_failures_are_forgotten_for_a_replay(bench: Bench) {
    let job = bench.running("one").await;
    let entries = [
        begun("charge", 1),
        answered("charge", 201, 1, "first"),
        answered("charge", 500, 2, "second"),
        begun("charge", 2),
        answered("mail", 422, 1, "refused"),
        begun("ship", 1),
        begun("ship", 2),
    ];
    for entry in entries {
        bench.store.journal(&job, entry).await.expect("journalled");
    }
    expect![[r#"
        charge r0: POST crm /orders 201 first x-request 7 in 1 12ms 1
        mail r0: POST crm /orders 422 refused x-request 7 in 1 12ms 1
        ship r0: begun in 1
    "#]]
    .assert_eq(&known(&bench, &job).await);
    let dead = Outcome::Dead { cause: DeadReason::Permanent, reason: "refused".into() };
    bench.settle(&job, dead, Effects::default()).await.expect("settled");
    assert_eq!(bench.replay_all().await, 1);
    let again = bench.claim_one().await;
    expect![[r#"
        charge r0: POST crm /orders 201 first x-request 7 in 1 12ms 1
        mail r1: forgotten
        ship r0: begun in 1
    "#]]
    .assert_eq(&known(&bench, &again).await);
    let replayed = JournalEntry { replays: 1, ..answered("mail", 200, again.attempt, "accepted") };
    bench.store.journal(&again, replayed).await.expect("journalled");
    expect![[r#"
        charge r0: POST crm /orders 201 first x-request 7 in 1 12ms 1
        mail r1: POST crm /orders 200 accepted x-request 7 in 2 12ms 1
        ship r0: begun in 1
    "#]]
    .assert_eq(&known(&bench, &again).await);
    bench.end().await;
}

pub(super) async fn a_stale_owner_records_no_step(bench: Bench) {
    let stale = bench.running("one").await;
    bench.store.journal(&stale, answered("charge", 200, 1, "first")).await.expect("journalled");
    let bench = bench.restarted().await;
    assert!(matches!(bench.store.journal(&stale, answered("mail", 200, 1, "late")).await, Err(SettleError::Stale)));
    let owned = bench.claim_suspect().await;
    assert!(matches!(bench.store.journal(&stale, answered("mail", 200, 1, "late")).await, Err(SettleError::Stale)));
    expect![[r#"
        charge r0: POST crm /orders 200 first x-request 7 in 1 12ms 1
    "#]]
    .assert_eq(&known(&bench, &owned).await);
    bench.done(&owned, Effects::default()).await.expect("settled");
    assert!(matches!(bench.store.journal(&owned, begun("mail", 2)).await, Err(SettleError::Stale)), "it is over");
    bench.end().await;
}

pub(super) async fn an_event_shows_its_steps_its_deliveries_and_who_emitted_it(bench: Bench) {
    let job = bench.running("one").await;
    bench.store.journal(&job, begun("ship", 1)).await.expect("journalled");
    bench.store.journal(&job, answered("charge", 201, 1, "first")).await.expect("journalled");
    bench.done(&job, Effects { state: None, ..ask::all(&job, bench.clock.now()) }).await.expect("settled");
    let emitted = EventId::derived(&job.lineage, 0);
    let shown = serde_json::to_value(bench.event(job.lineage.event).await).expect("JSON");
    assert_eq!(shown["emitted"], json!([emitted.to_string()]));
    assert_eq!(
        shown["jobs"],
        json!([
            {"route": "crm", "plugin": "crm", "state": "done", "attempts": 1, "steps": [
                {"name": "charge", "state": "recorded", "summary": "POST crm /orders", "status": 201, "attempt": 1, "ms": 12, "replays": 0},
                {"name": "ship", "state": "begun", "attempt": 1, "replays": 0},
            ]},
            {"route": "crm:1", "plugin": "crm", "state": "ready", "attempts": 0, "due_at": bench.clock.now(),
             "delivery": {"upstream": "crm", "method": "POST", "path": "/orders", "body_bytes": 4, "replays": 0}},
        ])
    );
    let child = serde_json::to_value(bench.event(emitted).await).expect("JSON");
    assert_eq!(child["parent"], json!({"lineage": job.lineage.to_string(), "depth": 1}));
    assert_eq!((shown.get("parent"), child.get("emitted")), (None, None));
    bench.end().await;
}
