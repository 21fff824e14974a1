//! What a wrong secret had refused is not lost: it is kept as it came, judged again, and admitted.

use std::time::Duration;

use hookfast_tests::wait::eventually;
use hookfast_tests::{Sender, Source, World};
use serde_json::{Value, json};

/// What the configuration's secret should have been.
const RIGHT: &str = "right-secret";
const QUARANTINE: &str = "on_refusal = \"quarantine\"";

async fn shop(provider: &str) -> World {
    World::with(Source::new("shop", provider).set(QUARANTINE)).start().await
}

/// Sends an event under the right secret and hears that it is refused.
async fn refused(world: &World, provider: &str, event_type: &str) {
    let delivery = Sender::new("shop", provider, RIGHT).delivery(event_type, &format!("evt_{event_type}"), world.clock.now());
    assert_eq!(world.deliver(&delivery).await.status, 401);
}

/// Puts the right secret into the file, and waits until it is in force.
async fn mend(world: &mut World) {
    let digest = |world: &World| world.app().current.load().settings.digest.clone();
    let before = digest(world);
    world.configure_anew(|file| file.replace("shared-secret", RIGHT));
    eventually("the mended configuration", async || digest(world) != before).await;
}

async fn reverify(world: &World) -> Value {
    world.admin("POST /sources/shop/reverify {}").await.json()
}

fn counts(admitted: u64, duplicates: u64, refused: &Value) -> Value {
    json!({ "admitted": admitted, "duplicates": duplicates, "handshakes": 0, "refused": refused })
}

/// The types of the stored events, oldest first.
async fn types(world: &World) -> Vec<String> {
    let events = world.admin("GET /events").await.json();
    let events = events["data"].as_array().expect("a list").iter().rev();
    events.map(|event| event["type"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn what_a_wrong_secret_refused_is_admitted_once_in_order_when_it_is_mended() {
    let mut world = shop("stripe").await;
    let received_at = world.clock.now();
    for event_type in ["one", "two", "three"] {
        refused(&world, "stripe", event_type).await;
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({ "wrong_signature": 3 })));
    mend(&mut world).await;
    // Long after the tolerance of what was signed then.
    world.clock.advance(Duration::from_hours(2));
    let told = world.command(&["requests", "reverify", "--source", "shop"]).await;
    assert!(told.contains("admitted") && told.contains('3'), "{told}");
    assert_eq!(types(&world).await, ["one", "two", "three"]);
    let first = world.admin("GET /events").await.json()["data"][2]["received_at"].clone();
    assert_eq!(first, json!(received_at), "when it arrived, not when it was admitted");
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({})));
    world.finish().await;
}

#[tokio::test]
async fn what_was_sent_again_meanwhile_is_a_duplicate_and_a_forgery_stays_refused() {
    let mut world = shop("stripe").await;
    refused(&world, "stripe", "one").await;
    let forged = Sender::new("shop", "stripe", "a-guess").delivery("two", "evt_two", world.clock.now());
    assert_eq!(world.deliver(&forged).await.status, 401);
    mend(&mut world).await;
    let again = Sender::new("shop", "stripe", RIGHT).delivery("one", "evt_one", world.clock.now());
    assert_eq!(world.deliver(&again).await.status, 202);
    assert_eq!(reverify(&world).await, counts(0, 1, &json!({ "wrong_signature": 1 })));
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({ "wrong_signature": 1 })));
    assert_eq!(types(&world).await, ["one"]);
    world.finish().await;
}

#[tokio::test]
async fn a_token_is_kept_until_it_is_proven_and_then_taken_out() {
    let mut world = shop("gitlab").await;
    refused(&world, "gitlab", "push").await;
    let list = world.admin("GET /requests").await.json();
    let id = list["data"][0]["id"].as_str().expect("a request").to_owned();
    let shown = world.admin(&format!("GET /requests/{id}")).await.body;
    assert!(shown.contains("[redacted]") && !shown.contains(RIGHT), "{shown}");
    mend(&mut world).await;
    assert_eq!(reverify(&world).await, counts(1, 0, &json!({})));
    let id = world.admin("GET /events").await.json()["data"][0]["id"].as_str().expect("an event").to_owned();
    let shown = world.admin(&format!("GET /events/{id}?payload=true")).await.body;
    assert!(shown.contains("[verified]") && !shown.contains(RIGHT), "{shown}");
    world.finish().await;
}

#[tokio::test]
async fn a_source_that_says_nothing_keeps_nothing_and_an_unknown_one_is_not_found() {
    let mut world = World::with(Source::new("shop", "stripe")).start().await;
    refused(&world, "stripe", "one").await;
    mend(&mut world).await;
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({})));
    assert_eq!(world.admin("POST /sources/shoo/reverify {}").await.status, 404);
    world.finish().await;
}

#[tokio::test]
async fn only_refusals_of_a_proof_are_kept() {
    let world = World::with(Source::new("shop", "stripe").set(QUARANTINE).set("max_body = \"1 KiB\"")).start().await;
    let large = Sender::new("shop", "stripe", RIGHT).delivery_of(vec![b'a'; 2000], world.clock.now());
    assert_eq!(world.deliver(&large).await.status, 413);
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({})));
    world.finish().await;
}

#[tokio::test]
async fn the_oldest_go_when_there_are_a_thousand_and_what_is_too_old_goes_too() {
    let mut world = shop("hmac").await;
    let send = async |world: &World, number: usize| {
        let body = format!("{{\"type\":\"n{number}\"}}");
        let delivery = Sender::new("shop", "hmac", if number < 1000 { "a-guess" } else { RIGHT }).delivery_of(body, world.clock.now());
        assert_eq!(world.deliver(&delivery).await.status, 401);
    };
    for number in 0..1000 {
        send(&world, number).await;
    }
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({ "wrong_signature": 1000 })));
    world.clock.advance(Duration::from_secs(1));
    let later = world.clock.now();
    send(&world, 1000).await;
    assert_eq!(reverify(&world).await, counts(0, 0, &json!({ "wrong_signature": 1000 })));
    world.app().store.expire_quarantine(later).await.expect("a working store");
    mend(&mut world).await;
    assert_eq!(reverify(&world).await, counts(1, 0, &json!({})));
    assert_eq!(types(&world).await, ["n1000"]);
    world.finish().await;
}
