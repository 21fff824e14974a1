//! Jobs that need an upstream which takes no calls: they wait, burn no attempt, and go on by themselves.

use std::time::Duration;

use hookfast::domain::{EventId, JobState};
use hookfast_tests::upstream::Reply;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Plan, Source, World};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// A plugin that makes one call an event; a failure is tried again in an hour.
fn plan(line: &str) -> Plan {
    let source = Source::new("shop", "github").to("scripted").retry(&["1h"]).set("dedupe = \"none\"");
    Plan::default().source(source).places(1).upstreams(line).sections("[grants.scripted]\nupstreams = [\"crm\"]\n")
}

async fn call(world: &World) -> EventId {
    let event = world.send_body("shop", &json!({ "lines": [{ "do": "call", "to": "crm", "path": "/x" }] })).await;
    world.settle().await;
    event
}

async fn is_parked(world: &World, event: EventId) -> bool {
    let job = &world.event(event).await.jobs[0];
    job.state == JobState::Parked && job.reason.as_deref() == Some("upstream_down: crm")
}

/// It is done by its first attempt.
async fn check_done_at_once(world: &World, event: EventId) {
    eventually("a job that waited", async || world.event(event).await.jobs[0].state == JobState::Done).await;
    let attempts: Vec<_> = world.event(event).await.attempts.iter().map(|attempt| (attempt.attempt, attempt.outcome.clone())).collect();
    assert_eq!(attempts.last(), Some(&(1, "done".to_owned())), "{attempts:?}");
}

async fn state(world: &World) -> String {
    world.admin("GET /upstreams/crm").await.json()["state"].as_str().expect("a state").to_owned()
}

#[tokio::test]
async fn an_open_breaker_parks_jobs_and_they_go_on_once_the_upstream_is_well() {
    let world = plan("retries = 0\nbreaker = { minimum_calls = 3, open = \"1s\" }").upstream([500, 502, 503]).start().await;
    for _ in 0..3 {
        call(&world).await;
    }
    assert_eq!(state(&world).await, "open");
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(call(&world).await);
    }
    for event in &waiting {
        assert!(is_parked(&world, *event).await);
    }
    assert_eq!(world.upstream.calls().len(), 3, "nothing was sent");
    for event in waiting {
        check_done_at_once(&world, event).await;
    }
    assert_eq!(world.upstream.calls().len(), 8);
    world.finish_with("3 ready").await;
}

#[tokio::test]
async fn refused_credentials_park_jobs_until_the_secret_is_right() {
    let auth = "auth = { bearer = \"literal:old\" }";
    let mut world = plan(auth).upstream([401, 401, 401]).start().await;
    for _ in 0..3 {
        call(&world).await;
    }
    assert_eq!(state(&world).await, "auth_failed");
    let event = call(&world).await;
    assert!(is_parked(&world, event).await);
    world.configure_anew(|file| file.replace("literal:old", "literal:new"));
    check_done_at_once(&world, event).await;
    assert_eq!(world.upstream.calls().last().map(|call| call.header("authorization").to_owned()), Some("Bearer new".into()));
    world.finish_with("3 ready").await;
}

#[tokio::test]
async fn an_operator_lets_them_go_on() {
    let world = plan("auth = { bearer = \"literal:old\" }").upstream([403, 403, 403]).start().await;
    for _ in 0..3 {
        call(&world).await;
    }
    let event = call(&world).await;
    assert!(is_parked(&world, event).await);
    assert_eq!(world.admin("POST /upstreams/crm/reset").await.json()["state"], "closed");
    check_done_at_once(&world, event).await;
    world.finish_with("3 ready").await;
}

#[tokio::test]
async fn jobs_that_wait_survive_a_restart() {
    let mut world = plan("auth = { bearer = \"literal:old\" }").upstream([401, 401, 401]).start().await;
    for _ in 0..3 {
        call(&world).await;
    }
    let event = call(&world).await;
    world.stop().await;
    // What this process knows of upstreams it finds out for itself.
    world.start_again().await;
    check_done_at_once(&world, event).await;
    world.finish_with("3 ready").await;
}

#[tokio::test]
async fn a_delivery_waits_likewise() {
    let world = plan("retries = 0\nbreaker = { minimum_calls = 1, open = \"1s\" }").upstream([Reply::Break]).start().await;
    call(&world).await;
    let event = world.send_body("shop", &json!({ "lines": [{ "do": "deliver", "to": "crm", "path": "/x" }] })).await;
    world.settle().await;
    let job = async || world.event(event).await.jobs[1].clone();
    assert_eq!((job().await.state, job().await.attempts), (JobState::Parked, 0));
    eventually("the delivery", async || job().await.state == JobState::Done).await;
    assert_eq!(job().await.attempts, 1);
    world.pass(3600 * SECOND).await;
    world.finish().await;
}
