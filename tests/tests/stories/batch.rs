//! Requests that bring several events at once.

use hookfast_tests::{Source, World};
use serde_json::Value;

fn payments() -> Source {
    Source::new("payments", "gocardless").to("forward")
}

async fn sent(world: &World, body: &str) -> (u16, Value) {
    let answer = world.deliver(&world.sender("payments").delivery_of(body.to_owned(), world.clock.now())).await;
    (answer.status, answer.json())
}

fn ids(told: &Value) -> Vec<&str> {
    told["ids"].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id")).collect()
}

/// What the upstream was told, sorted: events of one request run side by side.
fn told(world: &World) -> Vec<String> {
    let calls = world.upstream.calls();
    let mut told: Vec<String> = calls.iter().map(|call| String::from_utf8(call.body.to_vec()).expect("text")).collect();
    told.sort();
    told
}

#[tokio::test]
async fn each_item_is_an_event_of_its_own() {
    let world = World::with(payments()).start().await;
    let (status, answer) = sent(&world, r#"{"events":[{"id":"EV1","resource_type":"mandates"}, {"id":"EV2", "n": 1.0}]}"#).await;
    assert_eq!(status, 202);
    world.settle().await;
    assert_eq!(told(&world), [r#"{"id":"EV1","resource_type":"mandates"}"#, r#"{"id":"EV2", "n": 1.0}"#]);
    let event = world.admin(&format!("GET /events/{}", ids(&answer)[0])).await.json();
    assert_eq!((&event["type"], &event["dedupe_key"]), (&"mandates".into(), &"id:EV1".into()));
    world.finish().await;
}

#[tokio::test]
async fn of_a_batch_only_what_is_new_is_stored() {
    let world = World::with(payments()).start().await;
    let (_, first) = sent(&world, r#"{"events":[{"id":"EV1"},{"id":"EV2"}]}"#).await;
    let (status, second) = sent(&world, r#"{"events":[{"id":"EV2"},{"id":"EV3"}]}"#).await;
    assert_eq!((status, ids(&second)[0]), (202, ids(&first)[1]));
    let (status, third) = sent(&world, r#"{"events":[{"id":"EV3"},{"id":"EV1"}]}"#).await;
    assert_eq!((status, ids(&third)), (202, vec![ids(&second)[1], ids(&first)[0]]));
    world.settle().await;
    assert_eq!(told(&world).len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn a_source_may_take_a_batch_as_one_event_and_what_is_none_is_one() {
    let world = World::with(payments().set(r#"items = "none""#)).start().await;
    let body = r#"{"events":[{"id":"EV1"},{"id":"EV2"}]}"#;
    assert!(sent(&world, body).await.1["id"].is_string());
    assert!(sent(&world, r#"{"events":[]}"#).await.1["id"].is_string());
    world.settle().await;
    assert_eq!(told(&world), [r#"{"events":[]}"#, body]);
    world.finish().await;
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_refused_whole() {
    let world = World::with(payments()).start().await;
    let body = format!(r#"{{"events":[{}]}}"#, vec!["0"; 5001].join(","));
    let answer = world.deliver(&world.sender("payments").delivery_of(body, world.clock.now())).await;
    assert_eq!(answer.text(), r#"413 {"error":"payload too large"}"#);
    world.settle().await;
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}
