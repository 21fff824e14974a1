//! Retention: what goes with an event.

use std::time::Duration;

use hookfast::domain::{Effects, JournalEntry, StepState};

use super::ask;
use super::bench::Bench;

pub(super) async fn with_an_event_go_its_steps_and_deliveries(bench: Bench) {
    let job = bench.running("one").await;
    let step = "charge".parse().expect("a step");
    bench.store.journal(&job, JournalEntry { step, state: StepState::Begun { attempt: 1 }, replays: 0 }).await.expect("journalled");
    bench.done(&job, Effects { deliveries: vec![ask::delivery(&job)], ..Effects::default() }).await.expect("settled");
    let later = bench.clock.now() + Duration::from_secs(1);
    bench.store.expire(later).await.expect("expired");
    assert_eq!(bench.event_count().await, 1, "a delivery is owed");
    let delivery = bench.claim_one().await;
    bench.done(&delivery, Effects::default()).await.expect("settled");
    bench.store.expire(later).await.expect("expired");
    assert_eq!(bench.event_count().await, 0);
    assert!(bench.store.steps(&job.lineage).await.expect("read").is_empty());
    if let Some(file) = bench.file() {
        let connection = rusqlite::Connection::open(file).expect("the database");
        for table in ["steps", "deliveries", "attempts", "jobs"] {
            let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count");
            assert_eq!(rows, 0, "{table}");
        }
    }
    bench.end().await;
}
