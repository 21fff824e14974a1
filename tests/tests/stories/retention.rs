//! What is old is forgotten while senders send: they do not notice, and whatever is still owed stays.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use hookfast::domain::{EventId, JobState};
use hookfast_tests::{Source, World};

/// More than two batches of either driver.
const OLD: u32 = 1100;
const SENDERS: u32 = 8;
const RETENTION: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_finished_is_forgotten_under_load_and_nothing_else_is() {
    let orders = Source::new("orders", "hmac").to("forward");
    let failing = Source::new("failing", "hmac").to("forward").retry(&["20d"]);
    let waiting = Source::new("waiting", "hmac").to("github-notify");
    let plan = World::with(orders).source(failing).source(waiting).without_plugin("github-notify");
    let world = plan.upstream([422, 503]).start().await;
    let dead = send(&world, "failing", "dead").await.expect("an event");
    world.settle().await;
    let live = send(&world, "failing", "to be tried again").await.expect("an event");
    world.settle().await;
    let parked = send(&world, "waiting", "without a plugin").await.expect("an event");
    let old = join_all((0..SENDERS).map(async |sender| {
        let mut sent = Vec::new();
        for number in (0..OLD).filter(|number| number % SENDERS == sender) {
            sent.push(send(&world, "orders", &format!("old {number}")).await.expect("an event"));
        }
        sent
    }));
    let old = old.await.concat();
    world.settle().await;
    world.clock.advance(2 * RETENTION);

    let (is_over, sent) = (AtomicBool::new(false), AtomicU32::new(0));
    let load = join_all((0..SENDERS).map(async |_| {
        let (mut new, mut slowest) = (Vec::new(), Duration::ZERO);
        while !is_over.load(Ordering::Relaxed) {
            let (number, asked) = (sent.fetch_add(1, Ordering::Relaxed), Instant::now());
            new.push(send(&world, "orders", &format!("new {number}")).await.expect("no sender is turned away"));
            slowest = slowest.max(asked.elapsed());
        }
        (new, slowest)
    }));
    let forget = async {
        let store = &world.app().store;
        let mut turns = 0;
        // Again and again, since there is little to forget the second time.
        while turns < 20 || sent.load(Ordering::Relaxed) < 400 {
            store.prune().await.expect("pruned");
            store.expire(world.clock.now() - RETENTION).await.expect("expired");
            turns += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        turns
    };
    let (load, turns) = join(load, forget).await;
    let slowest = load.iter().map(|(_, slowest)| *slowest).max().expect("senders");
    let new = load.into_iter().flat_map(|(new, _)| new).collect::<Vec<_>>();
    println!("{} old events forgotten in {turns} turns beside {} new ones, the slowest in {slowest:?}", old.len(), new.len());

    world.settle().await;
    for event in old {
        assert!(world.app().store.event(event).await.expect("a look").is_none(), "old and finished, and still there");
    }
    for event in new {
        assert_eq!(state(&world, event).await, JobState::Done);
    }
    assert_eq!(state(&world, dead).await, JobState::Dead);
    assert_eq!(state(&world, live).await, JobState::Ready);
    assert_eq!(state(&world, parked).await, JobState::Parked);
    world.finish_with("1 ready, 1 parked, 1 dead").await;
}

/// The event's id, if it was taken.
async fn send(world: &World, source: &str, body: &str) -> Option<EventId> {
    let delivery = world.sender(source).delivery_of(body.to_owned(), world.clock.now());
    let answer = world.deliver(&delivery).await;
    (answer.status == 202).then(|| answer.event())
}

async fn state(world: &World, event: EventId) -> JobState {
    world.event(event).await.jobs[0].state
}
