//! What must be true once everything is quiet, compared as sets: what was acknowledged, what is stored, what had an effect.

use std::collections::{BTreeMap, BTreeSet};

use hookfast_tests::{Call, Server, Site};
use serde_json::Value;

/// Every acknowledged event is there, under the id that was told, once, and done.
pub(crate) async fn check_ledger(site: &Site, server: &Server, acknowledged: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    assert_eq!(site.list(server, "/api/v1/dead-letters").await, Vec::<Value>::new());
    let mut stored = BTreeMap::new();
    for event in site.list(server, "/api/v1/events").await {
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

/// Every stored event had its effect, always under its one key.
pub(crate) fn check_effects(calls: &[Call], stored: &BTreeMap<String, String>) {
    let mut keys: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for call in calls {
        keys.entry(event_id(call)).or_default().insert(call.header("idempotency-key"));
    }
    for (id, event) in stored {
        let expected = format!("{event}.forward/forward");
        assert_eq!(keys.remove(id), Some(BTreeSet::from([expected.as_str()])), "{id}");
    }
    assert_eq!(keys, BTreeMap::new(), "effects of no event");
}

pub(crate) fn event_id(call: &Call) -> String {
    call.json()["id"].as_str().expect("an id").to_owned()
}
