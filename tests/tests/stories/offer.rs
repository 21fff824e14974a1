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
async fn another_webhook_s_secret_is_offered_beside_those_that_are_known() {
    let world = World::with(Source::new("tasks", "asana")).start().await;
    for offered in ["shared-secret", SECRET] {
        let headers = [("x-hook-secret", Bytes::from(offered))].into_iter().collect();
        let answer = world.deliver(&Delivery { method: Method::POST, path: "/in/tasks".into(), headers, body: Bytes::new() }).await;
        assert_eq!(answer.status, 200);
    }
    let shown = world.admin("GET /sources/tasks").await.json();
    let offered = shown["offered_secrets"].as_array().expect("a list");
    assert_eq!((offered.len(), &offered[0]["secret"]), (1, &SECRET.into()), "the source's own is no news");
    world.finish().await;
}
