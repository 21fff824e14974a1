//! Sources that ask for order: events of one key run one after the other, and a failing one holds up nobody but its key.

use hookfast::domain::{EventId, JobState};
use hookfast_tests::wait::eventually;
use hookfast_tests::{Gate, Reply, Source, World};

/// A shop whose events are ordered by customer and handed on as they are.
fn shop(ordering: &str) -> Source {
    Source::new("shop", "hmac").to("forward").retry(&["10s", "10s"]).set(&format!("ordering = {ordering}"))
}

const BY_CUSTOMER: &str = r#""json:/customer/id""#;

async fn order(world: &World, customer: &str, number: u32) -> EventId {
    let body = format!(r#"{{"customer":{{"id":"{customer}"}},"number":{number}}}"#);
    world.deliver(&world.sender("shop").delivery_of(body, world.clock.now())).await.event()
}

async fn states(world: &World, events: &[EventId]) -> Vec<&'static str> {
    let mut states = Vec::new();
    for event in events {
        states.push(world.event(*event).await.jobs[0].state.as_str());
    }
    states
}

/// The numbers of the orders in the sequence in which the upstream was asked for them.
fn asked(world: &World) -> Vec<u64> {
    let number = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).expect("JSON")["number"].as_u64().expect("a number");
    world.upstream.calls().iter().map(|call| number(&call.body)).collect()
}

#[tokio::test]
async fn a_failing_event_holds_up_its_own_customer_only() {
    let world = World::with(shop(BY_CUSTOMER)).upstream([503]).start().await;
    let first = order(&world, "ada", 1).await;
    world.settle().await;
    let events = [first, order(&world, "ada", 2).await, order(&world, "ada", 3).await, order(&world, "bob", 4).await];
    world.settle().await;
    assert_eq!(states(&world, &events).await, ["ready", "waiting", "waiting", "done"]);
    let shown = world.admin(&format!("GET /events/{}", events[1])).await.json();
    assert_eq!((&shown["ordering_key"], &shown["status"]), (&"/customer/id:ada".into(), &"pending".into()));

    world.pass(std::time::Duration::from_secs(10)).await;
    assert_eq!(states(&world, &events).await, ["done"; 4]);
    assert_eq!(asked(&world), [1, 4, 1, 2, 3]);
    world.finish().await;
}

#[tokio::test]
async fn events_of_one_customer_never_run_at_once() {
    let gate = Gate::shut();
    let world = World::with(shop(BY_CUSTOMER)).places(8).upstream([Reply::Held(gate.clone())]).start().await;
    let first = order(&world, "ada", 1).await;
    world.upstream.called(1).await;
    let events = [first, order(&world, "ada", 2).await, order(&world, "bob", 3).await];
    eventually("the other customer's event", async || world.event(events[2]).await.jobs[0].state == JobState::Done).await;
    assert_eq!(states(&world, &events).await, ["running", "waiting", "done"]);
    gate.open();
    world.settle().await;
    assert_eq!(asked(&world), [1, 3, 2]);
    world.finish().await;
}

#[tokio::test]
async fn a_dead_letter_holds_its_customer_up_until_it_is_replayed_or_discarded() {
    let world = World::with(shop(r#"{ key = "json:/customer/id", policy = "block" }"#)).upstream([400, 400]).start().await;
    let events = [order(&world, "ada", 1).await, order(&world, "ada", 2).await, order(&world, "ada", 3).await];
    world.settle().await;
    assert_eq!(states(&world, &events).await, ["dead", "waiting", "waiting"]);

    // Replayed, it fails again, and stays before the others.
    assert_eq!(world.admin(r#"POST /dead-letters/replay {"all":true}"#).await.status, 200);
    world.settle().await;
    assert_eq!(states(&world, &events).await, ["dead", "waiting", "waiting"]);
    assert_eq!(world.admin(r#"POST /dead-letters/discard {"all":true}"#).await.status, 200);
    world.settle().await;
    assert_eq!(states(&world, &events).await, ["discarded", "done", "done"]);
    assert_eq!(asked(&world), [1, 1, 2, 3]);
    world.finish().await;
}

#[tokio::test]
async fn after_so_many_failures_the_others_go_on_without_it() {
    let world =
        World::with(shop(r#"{ key = "header:x-customer | json:/customer/id", skip_after = 2 }"#)).upstream([503, 503]).start().await;
    let first = order(&world, "ada", 1).await;
    world.settle().await;
    let events = [first, order(&world, "ada", 2).await];
    world.settle().await;
    assert_eq!(states(&world, &events).await, ["ready", "waiting"], "one failure is not enough");
    world.pass(std::time::Duration::from_secs(10)).await;
    assert_eq!(states(&world, &events).await, ["ready", "done"]);
    world.pass(std::time::Duration::from_secs(10)).await;
    assert_eq!(states(&world, &events).await, ["done", "done"]);
    assert_eq!(asked(&world), [1, 1, 2, 1]);
    world.finish().await;
}

#[tokio::test]
async fn order_outlives_a_restart_and_an_event_without_the_key_has_none() {
    let mut world = World::with(shop(BY_CUSTOMER)).upstream([503]).start().await;
    let first = order(&world, "ada", 1).await;
    world.settle().await;
    let second = order(&world, "ada", 2).await;
    let unordered = world.deliver(&world.sender("shop").delivery_of(r#"{"number":3}"#, world.clock.now())).await.event();
    world.stop().await;
    world.start_again().await;
    world.settle().await;
    assert_eq!(states(&world, &[first, second, unordered]).await, ["ready", "waiting", "done"]);
    world.pass(std::time::Duration::from_secs(10)).await;
    assert_eq!(asked(&world), [1, 3, 1, 2]);
    world.finish().await;
}
