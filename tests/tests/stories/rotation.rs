//! A source's secret is changed while events flow: none is dropped, and the server says which secret is still needed.

use std::time::Duration;

use hookfast_tests::wait::eventually;
use hookfast_tests::{Sender, Source, World};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

async fn shown(world: &World) -> Value {
    world.admin("GET /sources/pay").await.json()
}

/// Of each secret: how often it was used, and when last.
fn uses(source: &Value) -> Vec<(u64, Value)> {
    let secrets = source["secrets"].as_array().expect("a list").iter();
    secrets.map(|secret| (secret["uses"].as_u64().expect("a number"), secret["last_used_at"].clone())).collect()
}

fn codes(source: &Value) -> Vec<&str> {
    source["warnings"].as_array().expect("a list").iter().filter_map(|warning| warning["code"].as_str()).collect()
}

#[tokio::test]
async fn a_secret_is_changed_without_dropping_an_event_and_the_server_says_when_the_old_one_can_go() {
    let mut world = World::with(Source::new("pay", "stripe")).start().await;
    world.send("pay", "invoice.paid").await;
    let first = world.clock.now().to_string();
    assert_eq!(uses(&shown(&world).await), [(1, json!(first))]);

    // The new secret is put first; the old one goes on, with what was counted of it.
    let old = "secrets = [\"literal:shared-secret\"]";
    let both = "secrets = [\"literal:new-secret\", { value = \"literal:shared-secret\", not_after = \"2026-01-31T00:00:00Z\" }]";
    world.configure_anew(|file| file.replace(old, both));
    eventually("the new secret", async || shown(&world).await["secrets"].as_array().is_some_and(|secrets| secrets.len() == 2)).await;
    assert_eq!(uses(&shown(&world).await), [(0, Value::Null), (1, json!(first))]);
    assert_eq!(codes(&shown(&world).await), ["secret_unseen"], "the provider still signs with the old one");

    // The provider signs with the new one, and still sends again what it signed with the old one.
    world.clock.advance(DAY);
    let switched = Sender::new("pay", "stripe", "new-secret");
    assert_eq!(world.deliver(&switched.delivery("invoice.paid", "evt_new", world.clock.now())).await.status, 202);
    world.send("pay", "invoice.paid").await;
    let second = world.clock.now().to_string();
    let source = shown(&world).await;
    assert_eq!(uses(&source), [(1, json!(second)), (2, json!(second))]);
    assert_eq!((source["counts"]["accepted"].clone(), codes(&source)), (json!(3), vec![]));

    world.clock.advance(DAY * 7);
    world.deliver(&switched.delivery("invoice.paid", "evt_newer", world.clock.now())).await.event();
    assert_eq!(codes(&shown(&world).await), ["secret_unused"]);
    world.clock.advance(DAY * 30);
    assert_eq!(codes(&shown(&world).await), ["secret_over"]);
    assert_eq!(world.deliver(&world.delivery("pay", "invoice.paid")).await.status, 401);

    let listed = world.admin("GET /sources").await.json();
    assert_eq!((&listed["data"][0]["name"], &listed["data"][0]["counts"]["refused"]), (&json!("pay"), &json!(1)));
    assert!(!listed.to_string().contains("shared-secret") && !listed.to_string().contains("new-secret"), "{listed}");
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"hookfast_secret_uses_total{source="pay",secret="2"} 2"#), "{metrics}");
    assert_eq!(world.admin("GET /sources/nobody").await.status, 404);
    world.finish().await;
}
