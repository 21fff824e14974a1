//! The connection breaks at every point of a settlement's transaction, and after its commit: what was asked for happens once.

use std::sync::Arc;
use std::time::Duration;

use hookfast::clock::Clock;
use hookfast::domain::{Effects, EventId, Job, JournalEntry, NewEvent, StateChange, StateWrite, StepState};
use hookfast::random::Random;
use hookfast::store::{SettleError, Store};
use hookfast_tests::postgres::Postgres;
use hookfast_tests::wait::{eventually, within};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::asking::{add, admit, changes, claim, delivery, done, emitted, new_event, number, open, record, scope};

/// Where the transaction can be stopped: at the first write to each of these tables, in this order.
const POINTS: [&str; 8] = ["nodes", "jobs", "state_usage", "attempts", "state", "dedupe_keys", "events", "deliveries"];

/// Ends the node's connections that wait for a lock; whether there was one.
const BREAK_OFF: &str = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity \
     WHERE application_name = 'hookfast' AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted)";

fn everything(job: &Job) -> Effects {
    Effects {
        events: vec![emitted(job, 1, 99, Some(3))],
        deliveries: vec![delivery(job, "/contacts")],
        ..changes(scope("crm"), vec![add("added")])
    }
}

/// What of [`everything`] is there: the count, the event, and jobs of the first event.
async fn there(store: &Store, job: &Job) -> (i64, bool, usize) {
    let event = store.event(job.lineage.event).await.expect("read").expect("the event");
    let emitted = store.event(EventId::derived(&job.lineage, 1)).await.expect("read");
    (number(store, "added").await, emitted.is_some(), event.jobs.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_before_its_commit_leaves_nothing_and_is_said_again() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    for point in POINTS {
        let (url, clock) = (server.database(), Clock::system());
        let store = open(&url, &clock, 1).await;
        admit(&store, new_event(store.event_id(clock.now(), [1; 10]), 1, Some(2))).await;
        let job = claim(&store, 1).await.pop().expect("a job").job;
        let mut session = server.session(&url);
        session.run(&format!("BEGIN; LOCK TABLE {point} IN EXCLUSIVE MODE"));
        let settling = tokio::spawn({
            let (store, job) = (store.clone(), job.clone());
            async move { store.settle(&job, done(), record(), everything(&job)).await }
        });
        let database = url.rsplit('/').next().expect("a name");
        for _ in 0..2 {
            eventually("the settlement to be stopped", async || tokio::task::block_in_place(|| server.run(BREAK_OFF, database)) == "t")
                .await;
            assert_eq!(there(&store, &job).await, (0, false, 1), "{point}");
        }
        assert!(!settling.is_finished(), "{point}");
        session.run("COMMIT");
        within("the settlement", settling).await.expect("no panic").expect("settled");
        assert_eq!(there(&store, &job).await, (1, true, 2), "{point}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_after_its_commit_happens_once() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let (url, clock) = (server.database(), Clock::system());
    let database = url.rsplit('/').next().expect("a name");
    let store = open(&url, &clock, 1).await;
    admit(&store, new_event(store.event_id(clock.now(), [1; 10]), 1, None)).await;
    let job = claim(&store, 1).await.pop().expect("a job").job;
    // A commit that waits for a standby that there is not is committed, and nobody hears of it.
    let waits_for = |standby: &str| {
        server.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'"), "postgres");
        server.run("SELECT pg_reload_conf()", "postgres");
    };
    waits_for("nobody");
    let settling = tokio::spawn({
        let (store, job) = (store.clone(), job.clone());
        async move { store.settle(&job, done(), record(), everything(&job)).await }
    });
    let unheard = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    eventually("the commit", async || tokio::task::block_in_place(|| server.run(unheard, database)) == "t").await;
    waits_for("");
    // Said again it is found to be nobody's any more.
    assert!(matches!(within("the answer", settling).await.expect("no panic"), Err(SettleError::Stale)));
    assert_eq!(there(&store, &job).await, (1, true, 2));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_kept_when_its_connection_breaks() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let (url, clock) = (server.database(), Clock::system());
    let database = url.rsplit('/').next().expect("a name");
    let store = open(&url, &clock, 1).await;
    admit(&store, new_event(store.event_id(clock.now(), [1; 10]), 1, None)).await;
    let job = claim(&store, 1).await.pop().expect("a job").job;
    let mut session = server.session(&url);
    session.run("BEGIN; LOCK TABLE steps IN EXCLUSIVE MODE");
    let begun = JournalEntry { step: "charge".parse().expect("a step"), state: StepState::Begun { attempt: 1 }, replays: 0 };
    let keeping = tokio::spawn({
        let (store, job) = (store.clone(), job.clone());
        async move { store.journal(&job, begun).await }
    });
    eventually("the step to be stopped", async || tokio::task::block_in_place(|| server.run(BREAK_OFF, database)) == "t").await;
    assert!(store.steps(&job.lineage).await.expect("read").is_empty());
    session.run("COMMIT");
    within("the step", keeping).await.expect("no panic").expect("kept");
    assert!(matches!(store.steps(&job.lineage).await.expect("read")[..], [JournalEntry { state: StepState::Begun { attempt: 1 }, .. }]));
    store.close().await;
}

/// A handler that counts what it has read plus one, whatever breaks meanwhile.
async fn count_on(store: Store, job: Job) {
    loop {
        let Ok(before) = store.state(&scope("crm"), "read and written").await else { continue };
        let version = before.as_ref().map(|item| item.version);
        let number: i64 = before.map_or(0, |item| str::from_utf8(&item.value).expect("text").parse().expect("a number"));
        let write = Some(StateWrite::Set { value: (number + 1).to_string().into(), ttl: None });
        let set = StateChange { key: "read and written".into(), expect: Some(version), write };
        let event = NewEvent { key: None, routes: Vec::new(), ..emitted(&job, 1, 0, None) };
        let effects = Effects { events: vec![event], ..changes(scope("crm"), vec![add("added"), set]) };
        match store.settle(&job, done(), record(), effects).await {
            // Stale: committed, and not heard of.
            Ok(()) | Err(SettleError::Stale) => return,
            Err(SettleError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_equal_the_events_however_often_connections_break() {
    const EVENTS: u8 = 150;
    const BREAKS: u32 = 20;
    let server = Arc::new(tokio::task::spawn_blocking(Postgres::start).await.expect("no panic"));
    let (url, clock) = (server.database(), Clock::system());
    let database = url.rsplit('/').next().expect("a name").to_owned();
    let nodes = [open(&url, &clock, 1).await, open(&url, &clock, 2).await];
    for key in 0..EVENTS {
        admit(&nodes[0], new_event(nodes[0].event_id(clock.now(), [key; 10]), key, None)).await;
    }
    let breaking = tokio::spawn({
        let (server, database) = (Arc::clone(&server), database.clone());
        async move {
            let some = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hookfast' AND random() < 0.4";
            for _ in 0..BREAKS {
                // Not a wait for anything: the moment is the point.
                tokio::time::sleep(Duration::from_millis(10) + Duration::from_millis(90).mul_f64(Random::system().draw())).await;
                tokio::task::block_in_place(|| server.run(some, &database));
            }
        }
    });
    let mut working = JoinSet::new();
    for node in nodes.clone() {
        working.spawn(async move {
            let is_over = async || node.job_counts().await.is_ok_and(|counts| counts.ready + counts.running == 0);
            while !is_over().await {
                let semaphore = Arc::new(Semaphore::new(3));
                let places = (0..3).map(|_| Arc::clone(&semaphore).try_acquire_owned().expect("a free place")).collect();
                let Ok(claimed) = node.claim(places, Vec::new()).await else { continue };
                claimed.into_iter().map(|claimed| count_on(node.clone(), claimed.job)).collect::<JoinSet<()>>().join_all().await;
            }
        });
    }
    within("every job to be done", working.join_all()).await;
    within("the last break", breaking).await.expect("no panic");
    eventually("the database", async || nodes[0].state(&scope("crm"), "added").await.is_ok()).await;
    assert_eq!((number(&nodes[0], "added").await, number(&nodes[0], "read and written").await), (EVENTS.into(), EVENTS.into()));
    let count = |of: &str| server.run(&format!("SELECT count(*) FROM {of}"), &database);
    assert_eq!((count("events WHERE parent IS NOT NULL"), count("dead_letters")), (EVENTS.to_string(), "0".into()));
    for node in nodes {
        node.close().await;
    }
}
