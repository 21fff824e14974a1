//! What becomes of work that fails: tried again, given up, replayed, not wanted.

use std::time::Duration;

use expect_test::expect;
use hookfast_tests::{Gate, Reply, Source, World};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_failing_upstream_is_tried_again_on_schedule_until_it_recovers() {
    let world = World::stripe().upstream([503, 500]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.pass(9 * SECOND).await;
    assert_eq!(world.upstream.calls().len(), 1, "not before its time");
    world.pass(SECOND).await;
    world.pass(30 * SECOND).await;

    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [503] retry handler after 10s — POST crm /invoices answered 503
        2 at 10s [500] retry handler after 30s — POST crm /invoices answered 500
        3 at 40s [200] done — synced in_1S2xQKLkdIwHu7ixAbCdEfGh
        stripe-crm is done
    "#]],
        )
        .await;
    let keys = world.upstream.keys();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "one key over all attempts: {keys:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_job_that_never_succeeds_becomes_a_dead_letter_and_succeeds_when_replayed() {
    let world = World::stripe().upstream([503, 503, 503]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    world.pass(30 * SECOND).await;
    let dead = world.admin("GET /dead-letters").await.json();
    assert_eq!((&dead["data"][0]["cause"], &dead["data"][0]["attempts"]), (&"max_attempts".into(), &3.into()));

    let replayed = world.admin(&format!(r#"POST /dead-letters/replay {{"id":"{event}"}}"#)).await;
    assert_eq!(replayed.json()["ids"][0], format!("{event}.stripe-crm"));
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [503] retry handler after 10s — POST crm /invoices answered 503
        2 at 10s [503] retry handler after 30s — POST crm /invoices answered 503
        3 at 40s [503] dead handler — POST crm /invoices answered 503
        4 at 40s [200] done — synced in_1S2xQKLkdIwHu7ixAbCdEfGh
        stripe-crm is done
    "#]],
        )
        .await;
    world.finish().await;
}

#[tokio::test]
async fn a_replay_has_a_budget_of_its_own() {
    let world = World::stripe().upstream([503; 6]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    for delay in [10, 30] {
        world.pass(delay * SECOND).await;
    }
    world.admin(r#"POST /dead-letters/replay {"all":true}"#).await;
    world.settle().await;
    for delay in [10, 30] {
        world.pass(delay * SECOND).await;
    }
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [503] retry handler after 10s — POST crm /invoices answered 503
        2 at 10s [503] retry handler after 30s — POST crm /invoices answered 503
        3 at 40s [503] dead handler — POST crm /invoices answered 503
        4 at 40s [503] retry handler after 10s — POST crm /invoices answered 503
        5 at 50s [503] retry handler after 30s — POST crm /invoices answered 503
        6 at 80s [503] dead handler — POST crm /invoices answered 503
        stripe-crm is dead: max_attempts: POST crm /invoices answered 503
    "#]],
        )
        .await;
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_dead_letter_can_be_given_up_for_a_reason() {
    let world = World::stripe().upstream([400]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.admin(&format!(r#"POST /dead-letters/discard {{"id":"{event}.stripe-crm","reason":"paid twice"}}"#)).await;

    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [400] dead — POST crm /invoices answered 400
        stripe-crm is discarded: paid twice
    "#]],
        )
        .await;
    let again = world.admin(&format!(r#"POST /dead-letters/replay {{"id":"{event}"}}"#)).await;
    assert_eq!(again.status, 404, "what is given up stays so");
    world.finish().await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let world = World::stripe().upstream([Reply::RetryAfter(429, "120")]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.pass(119 * SECOND).await;
    assert_eq!(world.upstream.calls().len(), 1);
    world.pass(SECOND).await;
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [429] retry handler after 120s — POST crm /invoices answered 429
        2 at 120s [200] done — synced in_1S2xQKLkdIwHu7ixAbCdEfGh
        stripe-crm is done
    "#]],
        )
        .await;
    world.finish().await;
}

#[tokio::test]
async fn a_permanent_answer_is_not_asked_for_twice() {
    let world = World::stripe().upstream([Reply::Body(422, r#"{"error":"unknown customer"}"#)]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [422] dead — POST crm /invoices answered 422: {"error":"unknown customer"}
        stripe-crm is dead: permanent: POST crm /invoices answered 422: {"error":"unknown customer"}
    "#]],
        )
        .await;
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let world = World::stripe().upstream([Reply::Break]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    world.check_attempts(event, expect![[r#"
        1 at 0s [reset] retry handler after 10s — POST crm /invoices: reset: the connection to upstream `crm` broke before the answer was complete
        2 at 10s [200] done — synced in_1S2xQKLkdIwHu7ixAbCdEfGh
        stripe-crm is done
    "#]]).await;
    world.finish().await;
}

#[tokio::test]
async fn what_the_plugin_does_not_handle_is_discarded_and_alarms_nobody() {
    let world = World::stripe().start().await;
    let event = world.send("stripe", "customer.created").await;
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [] discarded — not handled: customer.created
        stripe-crm is discarded: not handled: customer.created
    "#]],
        )
        .await;
    assert_eq!(world.upstream.calls().len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_payload_that_is_not_what_it_should_be_is_a_dead_letter() {
    let world = World::stripe().start().await;
    let odd = world.sender("stripe").delivery_of(r#"{"id":"evt_odd","type":"invoice.paid","data":7}"#, world.clock.now());
    let event = world.deliver(&odd).await.event();
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [] dead — payload: nothing at `/data/object`
        stripe-crm is dead: permanent: payload: nothing at `/data/object`
    "#]],
        )
        .await;
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_source_that_hangs_does_not_hold_up_another() {
    let gate = Gate::shut();
    let plan = World::stripe().source(Source::new("orders", "hmac").to("forward")).places(2);
    let world = plan.upstream([Reply::Held(gate.clone())]).start().await;
    world.send("stripe", "invoice.paid").await;
    world.upstream.called(1).await;
    for order in 0..20 {
        world.deliver(&world.sender("orders").delivery_of(format!("order {order}"), world.clock.now())).await.event();
    }
    world.upstream.called(21).await;
    gate.open();
    world.finish().await;
}
