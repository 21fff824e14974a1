//! Sources whose requests a plugin proves.

use bytes::Bytes;
use hookfast_tests::build::guest;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Answer, Delivery, Source, World};
use http::Method;

/// What the plugin exact-online proves, under the secret of every test source.
const SIGNED: &str = r#"{"Content":{"Topic":"Accounts", "Action":"Update","Key":"7a5b"},"HashCode":"A58767D07137BF1288138E7658B615099879AA8E0FA964FDA617930A7DFABC44"}"#;
const CONTENT: &str = r#"{"Topic":"Accounts", "Action":"Update","Key":"7a5b"}"#;

fn accounts() -> Source {
    Source::new("accounts", "plugin:exact-online").to("forward")
}

fn hostile() -> Source {
    Source::new("odd", "plugin:hostile")
}

async fn post(world: &World, source: &str, body: &str) -> Answer {
    let (method, path, headers) = (Method::POST, format!("/in/{source}"), [("x-key", Bytes::from("shared-secret"))].into_iter().collect());
    world.deliver(&Delivery { method, path, headers, body: Bytes::copy_from_slice(body.as_bytes()) }).await
}

/// Why the last request was refused, as the operator sees it.
async fn cause(world: &World, source: &str) -> String {
    world.refusals(source).await.pop().expect("a refusal")
}

#[tokio::test]
async fn a_plugin_proves_what_no_file_can_describe() {
    let world = World::with(accounts()).start().await;
    let event = post(&world, "accounts", SIGNED).await.event();
    world.settle().await;
    let shown = world.admin(&format!("GET /events/{event}")).await.json();
    assert_eq!(shown["type"], "Accounts.Update");
    assert_eq!(world.upstream.calls()[0].body, CONTENT);
    assert_eq!(post(&world, "accounts", SIGNED).await.event(), event, "the same again");
    let source = world.admin("GET /sources/accounts").await.json();
    assert_eq!((&source["class"], &source["secrets"][0]["uses"], &source["counts"]["accepted"]), (&"plugin".into(), &2.into(), &1.into()));

    let forged = post(&world, "accounts", &SIGNED.replace("7a5b", "7a5c")).await;
    assert_eq!(forged.text(), r#"401 {"error":"unauthorized"}"#);
    assert_eq!(
        cause(&world, "accounts").await,
        "401 rejected_by_plugin: plugin `exact-online` turned it away: wrong_signature: no valid secret makes this signature"
    );
    assert_eq!(post(&world, "accounts", "{").await.status, 400);
    assert_eq!(post(&world, "accounts", "").await.text(), "200 ");
    world.finish().await;
}

#[tokio::test]
async fn senders_come_back_while_the_plugin_is_not_there() {
    let world = World::with(accounts()).without_plugin("exact-online").start().await;
    let answer = post(&world, "accounts", SIGNED).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_bytes()), (503, &b"5"[..]));
    assert_eq!(cause(&world, "accounts").await, "503 no_plugin: plugin `exact-online`, which proves this source's requests, is not live");
    world.publish("exact-online", &guest("exact-online"));
    eventually("the plugin to be live", async || post(&world, "accounts", SIGNED).await.status == 202).await;
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_answers_splits_and_ignores() {
    let world = World::with(hostile()).start().await;
    assert_eq!(post(&world, "odd", "echo <b>challenge</b>").await.text(), "200 <b>challenge</b>");
    assert_eq!(post(&world, "odd", "ignore it").await.text(), "200 ");
    let told = post(&world, "odd", "headers").await;
    assert_eq!((told.text(), told.headers["x-told"].as_bytes()), ("200 ok".to_owned(), &b"yes"[..]));
    assert!(!told.headers.contains_key("set-cookie") && told.headers["x-content-type-options"] == "nosniff");
    assert_eq!(post(&world, "odd", "receipt 201").await.text(), "201 told");
    let both = post(&world, "odd", "split a b").await.json();
    let again = post(&world, "odd", "split b c").await.json();
    assert_eq!((both["ids"].as_array().map(Vec::len), &both["ids"][1]), (Some(2), &again["ids"][0]));
    world.finish().await;
}

#[tokio::test]
async fn a_secret_is_compared_by_the_host_and_not_stored() {
    let world = World::with(hostile()).start().await;
    assert_eq!(post(&world, "odd", "token other").await.status, 401);
    let event = post(&world, "odd", "token shared-secret").await.event();
    let (headers, _) = world.event(event).await.content.expect("content");
    assert_eq!(headers.text("x-key"), Some("[verified]"));
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_that_fails_on_a_request_costs_that_request_only() {
    let world = World::with(hostile()).start().await;
    for (body, told) in [
        ("spin", "used up its CPU budget"),
        ("panic", "trapped: panicked"),
        ("nothing", "accepted 0 events at once; it must be 1 to 5000"),
        ("long", "gave an event a type that is empty, longer than 256 bytes or not printable"),
        ("heavy", "answered 200 in 2 bytes with 1 headers; it must be 200 to 499 in at most 64 KiB, with 32 headers of 8 KiB together"),
        ("receipt 302", "told the sender of an event 302 in 4 bytes; it must be 200 to 299 in at most 64 KiB"),
    ] {
        assert_eq!(post(&world, "odd", body).await.text(), r#"500 {"error":"internal error"}"#, "{body}");
        let cause = cause(&world, "odd").await;
        assert!(cause.starts_with(&format!("500 plugin_failed: plugin `hostile`, which proves this source's requests, {told}")), "{cause}");
    }
    assert_eq!(post(&world, "odd", "call").await.status, 401);
    assert_eq!(cause(&world, "odd").await, "401 rejected_by_plugin: plugin `hostile` turned it away: called: not_granted");
    assert_eq!(post(&world, "odd", "echo alive").await.text(), "200 alive");
    world.finish().await;
}
