//! The database is killed right after it was told to commit.

use std::time::Duration;

use bytes::Bytes;
use hookfast::clock::Clock;
use hookfast::domain::{Effects, Headers, JournalEntry, Lineage, OutboundAnswer, RecordedStep, StepState};
use hookfast::store::Store;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::wait::eventually;

use super::asking::{add, admit, changes, claim, delivery, done, emitted, new_event, number, open, record, scope};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_with_effects_survives_a_crash_of_the_database() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let clock = Clock::system();
    let store = open(&server.database(), &clock, 1).await;
    let mut expected = Vec::new();
    for round in 1..=3_u8 {
        let event = admit(&store, new_event(store.event_id(clock.now(), [round; 10]), round, None)).await;
        let job = claim(&store, 8).await.into_iter().map(|claimed| claimed.job).find(|job| job.lineage.event == event).expect("the job");
        let answer = OutboundAnswer { status: 201, headers: Headers::default(), body: Bytes::from_static(b"charged"), stale_for: None };
        let recorded =
            RecordedStep { request: [3; 32], summary: "POST crm /charges".into(), answer, attempt: 1, latency: Duration::from_millis(5) };
        let step = JournalEntry { step: "charge".parse().expect("a step"), state: StepState::Recorded(recorded), replays: 0 };
        store.journal(&job, step).await.expect("kept");
        let crash = || tokio::task::block_in_place(|| server.crash());
        crash();
        let kept = |entries: &[JournalEntry]| entries.iter().map(|entry| format!("{entry:?}")).collect::<Vec<_>>().join(" ");
        let steps = kept(&steps(&store, &job.lineage).await);
        assert!(steps.contains("POST crm /charges") && steps.contains("201"), "{steps}");

        let effects = Effects {
            events: vec![emitted(&job, 1, 100 + round, None)],
            deliveries: vec![delivery(&job, "/contacts")],
            ..changes(scope("crm"), vec![add("added")])
        };
        let emitted = effects.events[0].event.id;
        store.settle(&job, done(), record(), effects).await.expect("settled");
        crash();
        expected.push((event, emitted));
        eventually("the database", async || store.state(&scope("crm"), "added").await.is_ok()).await;
        assert_eq!(number(&store, "added").await, i64::from(round));
        for (event, emitted) in &expected {
            let seen = store.event(*event).await.expect("read").expect("the event");
            assert_eq!((seen.jobs[0].state.as_str(), &seen.emitted), ("done", &vec![*emitted]), "{seen:?}");
            let sent = seen.jobs[1].delivery.as_ref().expect("a delivery");
            assert_eq!((sent.path.as_str(), sent.body_bytes), ("/contacts", 5));
            assert_eq!(store.event(*emitted).await.expect("read").expect("it").parent.expect("a parent").depth, 1);
        }
    }
    store.close().await;
}

async fn steps(store: &Store, lineage: &Lineage) -> Vec<JournalEntry> {
    eventually("the database", async || store.steps(lineage).await.is_ok()).await;
    store.steps(lineage).await.expect("read")
}
