//! Steps: the first final response of a call is kept, and no later attempt makes the call again.

use std::time::Duration;

use expect_test::expect;
use hookfast_tests::upstream::Reply;
use serde_json::json;

use super::effects::{lines, plan};

const SECOND: Duration = Duration::from_secs(1);

fn step(name: &str) -> serde_json::Value {
    json!({ "do": "call", "to": "crm", "path": format!("/{name}"), "step": name })
}

#[tokio::test]
async fn a_recorded_step_is_not_sent_again() {
    let mut world = plan().upstream([200, 503, 200]).start().await;
    let event = world.send_body("shop", &lines(json!([step("a"), step("b")]))).await;
    world.settle().await;
    // Also by a process that knows nothing but the database.
    world.stop().await;
    world.start_again().await;
    world.pass(10 * SECOND).await;
    let (a, b) = (format!("POST /crm/a {event}.scripted/a"), format!("POST /crm/b {event}.scripted/b"));
    assert_eq!(world.upstream.keys(), [a, b.clone(), b]);
    world
        .check_attempts(
            event,
            expect![[r#"
                1 at 0s [200 503] retry handler after 10s — POST crm /b answered 503
                2 at 10s [200 200] done — 200 recorded 200
                scripted is done
            "#]],
        )
        .await;
    world.finish().await;
}

#[tokio::test]
async fn another_request_under_a_recorded_step_is_refused_and_both_are_named() {
    let world = plan().upstream([200, 503]).start().await;
    // The path hangs on the attempt: what an author must not do.
    let body = lines(json!([{ "do": "call", "to": "crm", "path": "/a/{attempt}", "step": "a" }, step("b")]));
    let event = world.send_body("shop", &body).await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    let reason = world.event(event).await.jobs[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("`POST crm /a/1`") && reason.contains("`POST crm /a/2`"), "{reason}");
    assert_eq!(world.upstream.calls().len(), 2);
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_replay_keeps_successes_and_makes_a_refused_call_anew() {
    let world = plan().upstream([200, 422, 200]).start().await;
    let event = world.send_body("shop", &lines(json!([step("a"), step("b")]))).await;
    world.settle().await;
    let replayed = world.admin(&format!("POST /dead-letters/replay {{\"id\":\"{event}.scripted\"}}")).await;
    assert_eq!(replayed.status, 200, "{replayed:?}");
    world.settle().await;
    let b = format!("POST /crm/b {event}.scripted/b");
    assert_eq!(world.upstream.keys(), [format!("POST /crm/a {event}.scripted/a"), b.clone(), format!("{b}.r1")]);
    world.finish().await;
}

#[tokio::test]
async fn after_a_call_that_nobody_answered_the_authors_check_comes_first() {
    let world = plan().upstream([Reply::Break, Reply::Status(200)]).start().await;
    let checked = json!({ "do": "checked", "to": "crm", "path": "/charges", "step": "charge", "check": "/charges/7" });
    let event = world.send_body("shop", &lines(json!([checked]))).await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    let lines: Vec<_> = world.upstream.calls().iter().map(|call| call.line.clone()).collect();
    assert_eq!(lines, ["POST /crm/charges", "GET /crm/charges/7"], "found: the call is not made again");
    world
        .check_attempts(
            event,
            expect![[r#"
                1 at 0s [reset] retry handler after 10s — POST crm /charges: reset: the connection to upstream `crm` broke before the answer was complete
                2 at 10s [200] done — found
                scripted is done
            "#]],
        )
        .await;
    world.finish().await;
}

#[tokio::test]
async fn a_check_that_finds_nothing_lets_the_call_be_made() {
    let world = plan().upstream([Reply::Break, Reply::Status(404), Reply::Status(201)]).start().await;
    let checked = json!({ "do": "checked", "to": "crm", "path": "/charges", "step": "charge", "check": "/charges/7" });
    world.send_body("shop", &lines(json!([checked]))).await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    let lines: Vec<_> = world.upstream.calls().iter().map(|call| call.line.clone()).collect();
    assert_eq!(lines, ["POST /crm/charges", "GET /crm/charges/7", "POST /crm/charges"]);
    world.finish().await;
}
