//! What must be true once everything is quiet, compared as sets: what was acknowledged, what is stored, what had an effect.

use std::collections::{BTreeMap, BTreeSet};

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::{Call, Sender, Server, Site};
use serde_json::{Value, json};

/// Every acknowledged event is there, under the id that was told, once, and done.
pub(crate) async fn check_ledger(site: &Site, server: &Server, acknowledged: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    assert_eq!(site.list(server, "/api/v1/dead-letters").await, Vec::<Value>::new());
    let mut stored = BTreeMap::new();
    for event in site.list(server, "/api/v1/events?source=stripe").await {
        assert_eq!(event["status"], "done", "{event}");
        let key = event["dedupe_key"].as_str().and_then(|key| key.strip_prefix("id:")).expect("a key").to_owned();
        let twice = stored.insert(key, event["id"].as_str().expect("an id").to_owned());
        assert_eq!(twice, None, "stored twice: {event}");
    }
    for (key, id) in acknowledged {
        assert_eq!(stored.get(key), Some(id), "acknowledged and lost: {key}");
    }
    stored
}

/// Every stored event had its effects on the upstreams, each always under its one key.
pub(crate) fn check_effects(calls: &[Call], stored: &BTreeMap<String, String>) {
    let mut keys: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    for call in calls {
        keys.entry((call.line.as_str(), event_id(call))).or_default().insert(call.header("idempotency-key"));
    }
    let lines: BTreeSet<&str> = keys.keys().map(|(line, _)| *line).collect();
    for line in lines {
        let name = match line {
            "POST /crm/bookings" => "ledger/book",
            "POST /chat/messages" => "ledger:1",
            _ => "forward/forward",
        };
        for (id, event) in stored {
            let expected = format!("{event}.{name}");
            assert_eq!(keys.remove(&(line, id.clone())), Some(BTreeSet::from([expected.as_str()])), "{line} of {id}");
        }
    }
    assert_eq!(keys, BTreeMap::new(), "effects of no event");
}

/// The counter, the accounts, the emitted events and what those have counted: all as many as there are events.
pub(crate) async fn check_books(site: &Site, server: &Server, stored: &BTreeMap<String, String>) {
    let accounts: BTreeSet<&str> = stored.keys().filter_map(|id| id.split('_').nth(1)).collect();
    let body = json!({ "id": "evt_audit", "type": "audit", "accounts": accounts }).to_string();
    let delivery = Sender::new("stripe", "stripe", "shared-secret").delivery_of(body, Clock::system().now());
    let audit = Wire::new().send(server.ingest, &delivery).await.expect("an answer").event();
    site.until_quiet(server).await;
    let attempts = site.get(server, &format!("/api/v1/events/{audit}")).await.json()["attempts"].clone();
    let told: BTreeSet<&str> = attempts.as_array().expect("a list").iter().filter_map(|attempt| attempt["detail"].as_str()).collect();
    let number = stored.len();
    assert!(told.contains(format!("{number} {number} {number}").as_str()), "{number} events, and booked: {told:?}");
    assert_eq!(site.list(server, "/api/v1/events?source=books").await.len(), number, "emitted");
}

pub(crate) fn event_id(call: &Call) -> String {
    call.json()["id"].as_str().expect("an id").to_owned()
}

/// How large the database is without its write-ahead log.
pub(crate) fn database_bytes(site: &Site) -> u64 {
    std::fs::metadata(site.path("hookfast.db")).expect("the database").len()
}
