//! Several nodes at once, and one that slept.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookfast::clock::Clock;
use hookfast::domain::{Effects, Job, JournalEntry, Outcome, ParkReason, StepState, Timestamp, UpstreamName};
use hookfast::random::Random;
use hookfast::store::{Claimed, SettleError, Store, Work};
use hookfast_tests::postgres::{self, Postgres};
use hookfast_tests::wait::eventually;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::asking::{LEASE, add, admit, changes, claim, count, delivery, done, emitted, new_event, number, open, record, scope, work};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_change_the_same_state_lose_no_write() {
    const EVENTS: u8 = 200;
    let database = postgres::database().await;
    let clock = Clock::system();
    let nodes = [open(&database, &clock, 1).await, open(&database, &clock, 2).await];
    // Each event comes to both.
    for key in 0..EVENTS {
        for (node, random) in nodes.iter().zip([[1; 10], [2; 10]]) {
            admit(node, new_event(node.event_id(clock.now(), [key; 10].map(|byte| byte ^ random[0])), key, None)).await;
        }
    }
    let [first, second] = &nodes;
    let (of_first, of_second) = tokio::join!(work(first.clone(), count), work(second.clone(), count));
    assert_eq!(of_first + of_second, usize::from(EVENTS));
    assert!(of_first.min(of_second) > 20, "one of the two did nearly nothing: {of_first} and {of_second}");
    for node in &nodes {
        assert_eq!((number(node, "added").await, number(node, "read and written").await), (EVENTS.into(), EVENTS.into()));
        let bytes = "added200read and written200".len() as u64;
        assert_eq!(node.state_bytes(&scope("crm")).await.expect("read"), bytes);
    }
    for node in nodes {
        node.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_asks_for_that_slept_past_its_lease_never_happens() {
    let database = postgres::database().await;
    // The first one's clock stands still.
    let (asleep, awake) =
        (Clock::manual(Timestamp::from_millis(1_767_225_600_000)), Clock::manual(Timestamp::from_millis(1_767_225_600_000)));
    let first = open(&database, &asleep, 1).await;
    let event = admit(&first, new_event(first.event_id(asleep.now(), [1; 10]), 1, None)).await;
    let late = claim(&first, 1).await.pop().expect("a job").job;
    awake.advance(LEASE + Duration::from_secs(5));
    let second = open(&database, &awake, 2).await;

    let asks = |job: &Job| Effects {
        events: vec![emitted(job, 1, 9, None)],
        deliveries: vec![delivery(job, "/contacts")],
        ..changes(scope("crm"), vec![add("added")])
    };
    let announced = JournalEntry { step: "charge".parse().expect("a step"), state: StepState::Begun { attempt: 1 }, replays: 0 };
    assert!(matches!(first.journal(&late, announced.clone()).await, Err(SettleError::Stale)));
    assert!(matches!(first.settle(&late, done(), record(), asks(&late)).await, Err(SettleError::Stale)));
    let seen = second.event(event).await.expect("read").expect("the event");
    assert_eq!((seen.jobs.len(), seen.emitted.len(), number(&second, "added").await), (1, 0, 0), "{seen:?}");
    assert!(seen.attempts.is_empty() && seen.jobs[0].steps.is_empty());
    assert_eq!(second.state_bytes(&scope("crm")).await.expect("read"), 0);

    // Whoever has taken the job over asks for the same, and gets it.
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place");
    let job = second.claim_suspect(place).await.expect("claimed").expect("a suspect").job;
    second.journal(&job, announced).await.expect("kept");
    second.settle(&job, done(), record(), asks(&job)).await.expect("settled");
    // And not twice, whoever says it again.
    for (store, job) in [(&second, &job), (&first, &late)] {
        assert!(matches!(store.settle(job, done(), record(), asks(job)).await, Err(SettleError::Stale)));
    }
    let seen = second.event(event).await.expect("read").expect("the event");
    let routes: Vec<_> = seen.jobs.iter().map(|job| job.route.as_str()).collect();
    assert_eq!((routes, seen.emitted.len(), number(&first, "added").await), (vec!["crm", "crm:1"], 1, 1), "{seen:?}");
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_has_done_while_a_claim_waited_is_known_to_who_claims() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let url = server.database();
    let clock = Clock::manual(Timestamp::from_millis(1_767_225_600_000));
    let first = open(&url, &clock, 1).await;
    admit(&first, new_event(first.event_id(clock.now(), [1; 10]), 1, None)).await;
    // Its claim has begun, and waits for its lease.
    let mut session = server.session(&url);
    session.run("BEGIN; SELECT FROM nodes FOR UPDATE");
    let waiting = tokio::spawn({
        let first = first.clone();
        async move { claim(&first, 1).await }
    });
    let database = url.rsplit('/').next().expect("a name");
    let blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%SKIP LOCKED%' \
         AND datname = current_database() AND pid <> pg_backend_pid())";
    eventually("the claim to wait", async || server.run(blocked, database) == "t").await;
    let second = open(&url, &clock, 2).await;
    let job = claim(&second, 1).await.pop().expect("the first one has not got to it").job;
    let announced = JournalEntry { step: "charge".parse().expect("a step"), state: StepState::Begun { attempt: 1 }, replays: 0 };
    second.journal(&job, announced).await.expect("kept");
    second.settle(&job, Outcome::Release, None, Effects::default()).await.expect("given back");
    session.run("COMMIT");
    let claimed = waiting.await.expect("no panic").pop().expect("the job");
    assert_eq!((claimed.job.id, claimed.job.attempt, claimed.has_steps), (job.id, 1, true));
    first.close().await;
    second.close().await;
}

/// Some keys of events that everybody sends and emits, in an order of one's own.
fn shared(seed: u8) -> impl Iterator<Item = u8> {
    let (first, step) = (usize::from(seed), [7, 11, 13, 17, 19, 23, 29, 31][usize::from(seed % 8)]);
    (0..8).map(move |nth| 200 + u8::try_from((first + nth * step) % 40).expect("below 40"))
}

/// Few of them stand in a line: whoever waits there holds nothing else yet.
fn line(key: u8) -> Option<u8> {
    key.is_multiple_of(20).then_some(1)
}

/// Sends events of its own, with such as others send.
async fn send(node: Store, sender: u8) {
    let base = Timestamp::from_millis(1_767_225_600_000);
    let random = Random::system();
    for number in 0..15_u8 {
        let own = sender * 15 + number;
        let keys = shared(own.wrapping_mul(37)).chain([own]);
        let event = |key: u8| new_event(node.event_id(base, random.bytes()), key, line(key).filter(|_| key >= 200));
        node.admit(keys.map(event).collect()).await.expect("admitted");
    }
}

/// A handler that emits what others emit and send, too.
async fn mingle(store: Store, claimed: Claimed) {
    let Claimed { job, work, .. } = claimed;
    let effects = match work {
        Work::Handle(event) if event.parent.is_none() => {
            let seed = *event.id.as_bytes().last().expect("16 bytes");
            let events = (1..).zip(shared(seed)).map(|(nth, key)| emitted(&job, nth, key, line(key)));
            Effects { events: events.collect(), ..changes(scope(if seed.is_multiple_of(2) { "crm" } else { "erp" }), vec![add("added")]) }
        }
        _ => changes(scope("crm"), vec![add("added")]),
    };
    store.settle(&job, done(), record(), effects).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_want_the_same_lines_state_and_keys_never_wait_for_each_other_in_turn() {
    let server = tokio::task::spawn_blocking(Postgres::start).await.expect("no panic");
    let (url, clock) = (server.database(), Clock::system());
    let nodes = [open(&url, &clock, 1).await, open(&url, &clock, 2).await];
    let mut tasks = JoinSet::new();
    for node in nodes.clone() {
        let mut sending = JoinSet::new();
        for sender in 0..6_u8 {
            sending.spawn(send(node.clone(), sender));
        }
        tasks.spawn(async move {
            while !sending.is_empty() {
                work(node.clone(), mingle).await;
                while sending.try_join_next().transpose().expect("sent").is_some() {}
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    while work(nodes[0].clone(), mingle).await + work(nodes[1].clone(), mingle).await > 0 {}
    let counts = nodes[0].job_counts().await.expect("counts");
    assert_eq!((counts.ready, counts.running, counts.waiting, counts.dead), (0, 0, 0, 0));
    for node in nodes {
        node.close().await;
    }
    let database = url.rsplit('/').next().expect("a name");
    let twice = "SELECT count(*) FROM (SELECT FROM events GROUP BY dedupe_key HAVING count(*) > 1) twice";
    assert_eq!(server.run(twice, database), "0");
    let runs = server.run("SELECT sum(convert_from(value, 'UTF8')::bigint) = (SELECT count(*) FROM events) FROM state", database);
    assert_eq!(runs, "t", "each event was counted once");
    // A connection tells what it has counted when it ends.
    let deadlocks = format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'");
    assert_eq!(server.run(&deadlocks, "postgres"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_the_database_refuses_bears_it_alone_and_without_effects() {
    let database = postgres::database().await;
    let clock = Clock::manual(Timestamp::from_millis(1_767_225_600_000));
    let store = open(&database, &clock, 1).await;
    for key in 0..8 {
        admit(&store, new_event(store.event_id(clock.now(), [key; 10]), key, None)).await;
    }
    let mut settled = JoinSet::new();
    for (number, claimed) in claim(&store, 8).await.into_iter().enumerate() {
        let (store, job) = (store.clone(), claimed.job);
        // Text of PostgreSQL has no NUL.
        let path = if number == 5 { "/\0" } else { "/contacts" };
        let effects = Effects { deliveries: vec![delivery(&job, path)], ..changes(scope("crm"), vec![add("added")]) };
        settled.spawn(async move { store.settle(&job, done(), record(), effects).await.expect("settled") });
    }
    settled.join_all().await;
    assert_eq!(number(&store, "added").await, 7);
    let counts = store.job_counts().await.expect("counts");
    assert_eq!((counts.ready, counts.dead), (7, 1), "seven deliveries, and one dead letter");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_run_that_ended_parked_gives_way_to_the_next_one() {
    const JOBS: usize = 6;
    let database = postgres::database().await;
    let clock = Clock::manual(Timestamp::from_millis(1_767_225_600_000));
    let store = open(&database, &clock, 1).await;
    for key in 0..6 {
        admit(&store, new_event(store.event_id(clock.now(), [key; 10]), key, None)).await;
    }
    let crm: UpstreamName = "crm".parse().expect("a name");
    let settle = async |jobs: Vec<Job>, outcome: Outcome, effects: &dyn Fn(usize) -> Effects| {
        let ends = jobs.iter().enumerate().map(|(number, job)| store.settle(job, outcome.clone(), record(), effects(number)));
        join_all(ends).await.into_iter().for_each(|settled| settled.expect("settled"));
    };
    let claimed = async || claim(&store, JOBS).await.into_iter().map(|claimed| claimed.job).collect::<Vec<_>>();
    let mut parked = claimed().await;
    let unhurt = parked.split_off(3);
    settle(parked, Outcome::Park { reason: ParkReason::UpstreamDown(crm.clone()) }, &|_| Effects::default()).await;
    assert_eq!(store.unpark_upstream(&crm, 10).await.expect("unparked"), 3);
    let again = claimed().await;
    let events: Vec<_> = again.iter().chain(&unhurt).map(|job| job.lineage.event).collect();
    // In one group with others, with effects and without.
    settle(again.into_iter().chain(unhurt).collect(), done(), &|number| {
        if number % 2 == 0 { changes(scope("crm"), vec![add("added")]) } else { Effects::default() }
    })
    .await;
    for event in events {
        let event = store.event(event).await.expect("read").expect("the event");
        let attempts: Vec<_> = event.attempts.iter().map(|attempt| (attempt.attempt, attempt.outcome.as_str())).collect();
        assert_eq!(attempts, [(1, "done")]);
    }
    assert_eq!(number(&store, "added").await, 3);
    store.close().await;
}
