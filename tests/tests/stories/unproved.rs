//! A provider that proves nothing: its events are let in where the operator says so, and nothing says more of them than that.

use bytes::Bytes;
use hookfast::domain::Headers;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Delivery, World};
use http::Method;
use serde_json::json;

const HUB: &str =
    "\n[sources.hub]\nprovider = \"dockerhub\"\nverify = \"none\"\ndedupe_key = \"/push_data/pushed_at\"\nallow_from = [\"127.0.0.0/8\"]\n";

fn push(body: &'static str) -> Delivery {
    let (headers, body) = (Headers::default(), Bytes::from_static(body.as_bytes()));
    Delivery { method: Method::POST, path: "/in/hub".into(), headers, body }
}

#[tokio::test]
async fn events_that_nothing_proves_are_taken_if_the_source_says_so_and_are_called_unverified() {
    let mut world = World::stripe().start().await;
    world.configure_anew(|file| format!("{file}{HUB}"));
    eventually("the source", async || world.app().current.load().settings.sources.contains_key("hub")).await;

    let first = world.deliver(&push(r#"{"push_data":{"pushed_at":1},"tag":"a"}"#)).await;
    let again = world.deliver(&push(r#"{"push_data":{"pushed_at":1},"tag":"a"}"#)).await;
    assert_eq!(again.event(), first.event());
    // Anyone could put a known id on another body and have the provider's own taken for a resend.
    let other = world.deliver(&push(r#"{"push_data":{"pushed_at":1},"tag":"b"}"#)).await;
    assert_ne!(other.event(), first.event());

    let source = world.admin("GET /sources/hub").await.json();
    assert_eq!((&source["class"], &source["proofs"], &source["secrets"]), (&json!("unverified"), &json!([]), &json!([])));
    assert_eq!(source["counts"], json!({ "accepted": 2, "duplicates": 1, "refused": 0 }));
    let event = |id| format!("GET /events/{id}");
    assert_eq!(world.admin(&event(first.event())).await.json()["source_class"], "unverified");
    let proved = world.send("stripe", "invoice.paid").await;
    assert_eq!(world.admin(&event(proved)).await.json()["source_class"], "verified");
    world.finish().await;
}
