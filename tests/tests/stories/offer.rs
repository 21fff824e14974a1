//! Providers that tell their secret when they are set up.

use bytes::Bytes;
use hookfast_tests::{Delivery, Sender, Source, World};
use http::Method;

const SECRET: &str = "b537207f20cbfa02357cf448134da559";

#[tokio::test]
async fn an_offered_secret_is_shown_to_the_operator_and_taken_by_nobody_else() {
    let world = World::with(Source::new("tasks", "asana").keyless()).start().await;
    let headers = [("x-hook-secret", Bytes::from(SECRET))].into_iter().collect();
    let answer = world.deliver(&Delivery { method: Method::POST, path: "/in/tasks".into(), headers, body: Bytes::new() }).await;
    assert_eq!((answer.status, answer.headers["x-hook-secret"].as_bytes()), (200, SECRET.as_bytes()));
    let shown = world.admin("GET /sources/tasks").await.json();
    assert_eq!(shown["offered_secrets"][0]["secret"], SECRET);

    // Nobody has said that it is the source's.
    let signed = Sender::new("tasks", "asana", SECRET).delivery_of(r#"{"events":[]}"#, world.clock.now());
    assert_eq!(world.deliver(&signed).await.status, 503);
    world.finish().await;
}

#[tokio::test]
async fn where_a_secret_is_known_others_are_not_offered() {
    let world = World::with(Source::new("tasks", "asana")).start().await;
    let headers = [("x-hook-secret", Bytes::from(SECRET))].into_iter().collect();
    let answer = world.deliver(&Delivery { method: Method::POST, path: "/in/tasks".into(), headers, body: Bytes::new() }).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.admin("GET /sources/tasks").await.json()["offered_secrets"], serde_json::json!([]));
    world.finish().await;
}
