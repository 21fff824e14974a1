//! What providers ask before they send events, and those that sign where they send to.

use bytes::Bytes;
use hookfast::domain::Headers;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::within;
use hookfast_tests::{Delivery, Source, World};
use http::{HeaderValue, Method};

fn question(method: Method, path: &str) -> Delivery {
    Delivery { method, path: path.into(), headers: Headers::default(), body: Bytes::new() }
}

async fn events(world: &World) -> usize {
    world.admin("GET /events").await.json()["data"].as_array().expect("a list").len()
}

#[tokio::test]
async fn a_question_by_get_is_answered_to_whoever_knows_the_verify_token() {
    let source = Source::new("pages", "meta").set("parameters = { verify_token = \"meatyhamhock\" }");
    let world = World::with(source).start().await;
    let asked =
        |token: &str| question(Method::GET, &format!("/in/pages?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"));
    let answer = world.deliver(&asked("meatyhamhock")).await;
    assert_eq!(answer.text(), "200 1158201444");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(world.deliver(&asked("other")).await.text(), r#"400 {"error":"bad request"}"#);
    // Without a question it is nothing that this source takes.
    assert_eq!(world.deliver(&question(Method::GET, "/in/pages")).await.text(), r#"405 {"error":"method not allowed"}"#);
    assert_eq!(events(&world).await, 0);
    world.send("pages", "page").await;
    assert_eq!(events(&world).await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_head_is_enough_where_the_provider_only_looks_whether_somebody_is_there() {
    let trello = Source::new("board", "trello").set("public_url = \"https://hooks.example.com/in/board\"");
    let world = World::with(trello).source(Source::new("github", "github")).start().await;
    assert_eq!(world.deliver(&question(Method::HEAD, "/in/board")).await.text(), "200 ");
    assert_eq!(world.deliver(&question(Method::HEAD, "/in/github")).await.text(), "405 ");
    // Over HTTP/2 the answer has no body either, and says how long it would be.
    let answer = within("an answer", Wire::http2().send(world.ingest(), &question(Method::HEAD, "/in/github"))).await;
    let answer = answer.expect("an answer that the client takes for one");
    assert_eq!((answer.text().as_str(), &answer.headers["content-length"]), ("405 ", &HeaderValue::from_static("30")));
    assert_eq!(world.deliver(&question(Method::DELETE, "/in/board")).await.text(), r#"405 {"error":"method not allowed"}"#);
    world.finish().await;
}

#[tokio::test]
async fn a_form_is_verified_by_the_url_that_the_provider_knows() {
    let calls = Source::new("calls", "twilio").set("public_url = \"https://hooks.example.com/in/calls\"");
    let moved = Source::new("moved", "twilio").set("public_url = \"https://elsewhere.example.com/in/moved\"");
    let world = World::with(calls).source(moved).start().await;
    let signed = world.delivery("calls", "ringing");
    assert!(signed.body.starts_with(b"id="), "a form: {:?}", signed.body);
    assert_eq!(world.deliver(&signed).await.status, 202);
    // No header of the request says what the URL is.
    let elsewhere = world.delivery("moved", "ringing").with("x-forwarded-host", "hooks.example.com").with("x-original-url", "/in/moved");
    assert_eq!(world.deliver(&elsewhere).await.status, 401);
    assert_eq!(events(&world).await, 1);
    world.finish().await;
}
