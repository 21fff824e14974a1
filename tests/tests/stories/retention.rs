//! What is old is forgotten while senders send: they do not notice, and whatever is still owed stays.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use hookfast::clock::Clock;
use hookfast::domain::{EventId, JobState, Timestamp};
use hookfast_tests::{Source, World};

const SENDERS: usize = 8;
/// Of each sender: together more than two batches of either driver.
const OLD: usize = 140;
const RETENTION: Duration = Duration::from_mins(1);
/// Of the keys: longer, so that some events are forgotten before their keys are.
const WINDOW: Duration = Duration::from_mins(2);
/// So much time passes with each turn of a sender, and in no other way.
const PACE: Duration = Duration::from_secs(1);
/// Far more than any answer takes, also on a loaded machine.
const SLOWEST: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_finished_is_forgotten_under_load_and_nothing_else_is() {
    let orders = Source::new("orders", "hmac").to("forward").set("dedupe = \"2m\"");
    let failing = Source::new("failing", "hmac").to("forward").retry(&["20d"]);
    let waiting = Source::new("waiting", "hmac").to("github-notify");
    let plan = World::with(orders).source(failing).source(waiting).without_plugin("github-notify");
    let mut world = plan.upstream([422, 503]).start().await;
    let beginning = world.clock.now();
    let dead = send(&world, "failing", "dead").await;
    world.settle().await;
    let live = send(&world, "failing", "to be tried again").await;
    world.settle().await;
    let parked = send(&world, "waiting", "without a plugin").await;
    let mut senders: Vec<_> = (0..SENDERS).map(Sender::new).collect();
    join_all(senders.iter_mut().map(async |sender| {
        for _ in 0..OLD {
            sender.send_new(&world).await;
        }
    }))
    .await;
    world.settle().await;

    let pruned = forget_under_load(&world, &mut senders).await;
    check_answers(&senders);
    check_events(&world, &senders, pruned.start - RETENTION).await;
    assert_eq!(state(&world, dead).await, JobState::Dead);
    assert_eq!(state(&world, live).await, JobState::Ready);
    assert_eq!(state(&world, parked).await, JobState::Parked);

    // An expired key that is still stored counts again once the clock was set back.
    world.stop().await;
    world.clock = Clock::manual(beginning);
    world.start_again().await;
    check_keys(&world, &senders, pruned).await;
    world.finish_with("1 ready, 1 parked, 1 dead").await;
}

/// What one sender sent.
struct Sender {
    name: usize,
    sent: Vec<Sent>,
    /// So many of them, the first ones, were sent again.
    repeated: usize,
    slowest: Duration,
}

struct Sent {
    body: String,
    event: EventId,
    asked_at: Timestamp,
    answered_at: Timestamp,
}

impl Sender {
    fn new(name: usize) -> Self {
        Self { name, sent: Vec::new(), repeated: 0, slowest: Duration::ZERO }
    }

    async fn send_new(&mut self, world: &World) {
        self.send(world, format!("webhook {} of {}", self.sent.len(), self.name)).await;
    }

    /// Sends the oldest one again, if its key has expired.
    async fn repeat(&mut self, world: &World) {
        let Sent { body, answered_at, .. } = &self.sent[self.repeated];
        if *answered_at + WINDOW <= world.clock.now() {
            self.repeated += 1;
            self.send(world, body.clone()).await;
        }
    }

    async fn send(&mut self, world: &World, body: String) {
        let (asked_at, asked) = (world.clock.now(), Instant::now());
        let event = send(world, "orders", &body).await;
        self.slowest = self.slowest.max(asked.elapsed());
        self.sent.push(Sent { body, event, asked_at, answered_at: world.clock.now() });
    }
}

/// The times before and after the last pruning; what had arrived a retention before the first of them was old then.
async fn forget_under_load(world: &World, senders: &mut [Sender]) -> Range<Timestamp> {
    let (is_over, beginning) = (AtomicBool::new(false), world.clock.now());
    let load = join_all(senders.iter_mut().map(async |sender| {
        while !is_over.load(Ordering::Relaxed) {
            sender.send_new(world).await;
            sender.repeat(world).await;
            world.clock.advance(PACE);
        }
    }));
    let forget = async {
        let store = &world.app().store;
        let (mut turns, mut pruned) = (0, beginning..beginning);
        while turns < 20 || pruned.end < beginning + 3 * WINDOW {
            let before = world.clock.now();
            store.prune().await.expect("pruned");
            pruned = before..world.clock.now();
            store.expire(before - RETENTION).await.expect("expired");
            turns += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        pruned
    };
    join(load, forget).await.1
}

fn check_answers(senders: &[Sender]) {
    let slowest = senders.iter().map(|sender| sender.slowest).max().expect("senders");
    assert!(slowest < SLOWEST, "an answer took {slowest:?}");
    assert!(senders.iter().all(|sender| sender.repeated > 0), "not every sender sent something again");
    let events: Vec<_> = senders.iter().flat_map(|sender| &sender.sent).map(|sent| sent.event).collect();
    let different: BTreeSet<_> = events.iter().collect();
    assert_eq!(different.len(), events.len(), "what is sent again after its window is an event of its own");
}

async fn check_events(world: &World, senders: &[Sender], cutoff: Timestamp) {
    let store = &world.app().store;
    let mut forgotten_of_load = 0;
    for sender in senders {
        for (number, sent) in sender.sent.iter().enumerate() {
            let is_forgotten = store.event(sent.event).await.expect("a look").is_none();
            assert!(is_forgotten || number >= OLD, "old and finished, and still there");
            assert!(!is_forgotten || sent.asked_at < cutoff, "forgotten before it was old");
            forgotten_of_load += usize::from(is_forgotten && number >= OLD);
        }
    }
    assert!(forgotten_of_load > 0, "what became old under load is still there");
    // Once all is finished, only age counts.
    world.settle().await;
    let cutoff = world.clock.now() - RETENTION;
    store.expire(cutoff).await.expect("expired");
    for sent in senders.iter().flat_map(|sender| &sender.sent) {
        let is_forgotten = store.event(sent.event).await.expect("a look").is_none();
        assert!(is_forgotten || sent.answered_at >= cutoff, "old and finished, and still there");
        assert!(!is_forgotten || sent.asked_at < cutoff, "forgotten before it was old");
    }
}

/// Sends once more what each key was last taken by.
async fn check_keys(world: &World, senders: &[Sender], pruned: Range<Timestamp>) {
    let checked = join_all(senders.iter().map(async |sender| {
        let (mut forgotten, mut known) = (0, 0);
        for sent in &sender.sent[sender.repeated..] {
            let is_known = send(world, "orders", &sent.body).await == sent.event;
            assert!(!is_known || sent.answered_at + WINDOW > pruned.start, "expired, and still stored");
            assert!(is_known || sent.asked_at + WINDOW <= pruned.end, "forgotten before it expired");
            known += usize::from(is_known);
            forgotten += usize::from(!is_known);
        }
        (forgotten, known)
    }));
    let checked = checked.await;
    assert!(checked.iter().all(|(forgotten, known)| *forgotten > 0 && *known > 0), "forgotten and known keys: {checked:?}");
}

/// Sends a body, which must be taken; its event.
async fn send(world: &World, source: &str, body: &str) -> EventId {
    world.deliver(&world.sender(source).delivery_of(body.to_owned(), world.clock.now())).await.event()
}

async fn state(world: &World, event: EventId) -> JobState {
    world.event(event).await.jobs[0].state
}
