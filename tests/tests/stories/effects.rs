//! What a handler asks for happens once it is done, all of it, once; and not at all if it fails.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use hookfast::domain::{EventId, JobState, StateScope};
use hookfast_tests::{Plan, Source, World};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// A plugin that does what its events say, with all that can be granted.
pub(crate) fn plan() -> Plan {
    let source = Source::new("shop", "github").to("scripted").retry(&["10s", "10s"]).set("dedupe = \"none\"");
    Plan::default().source(source).sections(
        "[topics.orders]\nroutes = [{ plugin = \"scripted\" }]\n\
         [grants.scripted]\nupstreams = [\"crm\", \"chat\"]\nemits = [\"orders\", \"shop\"]\nstate = { quota = \"1 MiB\" }\n",
    )
}

#[expect(clippy::needless_pass_by_value, reason = "what it is given is made where it is called")]
pub(crate) fn lines(lines: Value) -> Value {
    json!({ "lines": lines })
}

/// What is kept under a key of the plugin's state.
pub(crate) async fn state(world: &World, key: &str) -> Option<String> {
    let scope = StateScope { plugin: "scripted".parse().expect("a name"), source: None };
    let item = world.app().store.state(&scope, key).await.expect("state");
    item.map(|item| String::from_utf8(item.value.to_vec()).expect("text"))
}

async fn attempts(world: &World, event: EventId) -> usize {
    world.event(event).await.attempts.len()
}

async fn all_done(world: &World, event: EventId) {
    for job in world.event(event).await.jobs {
        assert_eq!(job.state, JobState::Done, "{}: {:?}", job.route, job.reason);
    }
}

/// The emitted events of a topic.
async fn emitted(world: &World, topic: &str) -> Vec<Value> {
    world.admin(&format!("GET /events?source={topic}")).await.json()["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_counter_counts_each_event_once_whatever_fails() {
    let world = plan().start().await;
    let events = (0..40).map(|number| {
        // Every other one fails after it has counted.
        let up_to = number % 2;
        json!([{ "do": "increment", "key": "seen" }, { "do": "fail", "how": if number % 4 == 1 { "panic" } else { "retry" }, "up_to": up_to }])
    });
    join_all(events.map(async |event| world.send_body("shop", &lines(event)).await)).await;
    world.settle().await;
    assert_eq!(state(&world, "seen").await.as_deref(), Some("20"), "what has failed left nothing");
    world.pass(10 * SECOND).await;
    assert_eq!(state(&world, "seen").await.as_deref(), Some("40"));
    world.finish().await;
}

#[tokio::test]
async fn a_write_after_a_read_that_another_run_overtook_runs_again_at_once() {
    let world = plan().start().await;
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    // Each takes a while between its read and its end, so that they do overtake each other.
    let append = |letter: &String| lines(json!([{ "do": "append", "key": "word", "text": letter }, { "do": "spin", "turns": 100_000 }]));
    let events = join_all(letters.iter().map(async |letter| world.send_body("shop", &append(letter)).await)).await;
    world.settle().await;
    let mut retried = 0;
    while events.len() > retried && state(&world, "word").await.map_or(0, |word| word.len()) < letters.len() {
        // Those that were overtaken nine times come back later.
        retried += 1;
        world.pass(10 * SECOND).await;
    }
    let word = state(&world, "word").await.expect("a word");
    assert_eq!(word.chars().map(String::from).collect::<BTreeSet<_>>().len(), letters.len(), "{word}");
    assert_eq!(word.len(), letters.len(), "each letter once: {word}");
    world.finish().await;
}

#[tokio::test]
async fn an_emitted_event_is_there_once_with_its_parent_and_is_handled_in_its_turn() {
    let world = plan().start().await;
    let inner = lines(json!([{ "do": "increment", "key": "emitted" }])).to_string();
    let emit = json!({ "do": "emit", "to": "orders", "event_type": "order.placed", "body": inner });
    let event = world.send_body("shop", &lines(json!([emit, { "do": "fail", "how": "retry", "up_to": 1 }]))).await;
    world.settle().await;
    assert_eq!(emitted(&world, "orders").await, Vec::<Value>::new(), "the attempt failed");
    world.pass(10 * SECOND).await;

    let orders = emitted(&world, "orders").await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(
        (&orders[0]["type"], &orders[0]["parent"]),
        (&json!("order.placed"), &json!({ "lineage": format!("{event}.scripted"), "depth": 1 }))
    );
    assert_eq!(state(&world, "emitted").await.as_deref(), Some("1"));
    world.finish().await;
}

#[tokio::test]
async fn a_key_makes_two_emitted_events_one() {
    let world = plan().start().await;
    let emit = json!({ "do": "emit", "to": "orders", "event_type": "order.placed", "body": "{\"lines\":[]}", "key": "order-7" });
    for _ in 0..2 {
        world.send_body("shop", &lines(json!([emit, emit]))).await;
    }
    world.settle().await;
    assert_eq!(emitted(&world, "orders").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_loop_of_events_ends_with_its_cause() {
    let world = plan().start().await;
    world.send_body("shop", &lines(json!([{ "do": "echo", "to": "orders" }]))).await;
    world.settle().await;
    let orders = emitted(&world, "orders").await;
    assert_eq!(orders.len(), 16);
    let dead = world.admin("GET /dead-letters").await.json();
    assert_eq!(dead["data"].as_array().map(Vec::len), Some(1));
    assert!(dead["data"][0]["reason"].as_str().is_some_and(|reason| reason.contains("16th of a chain")), "{dead}");
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn what_is_delayed_happens_later() {
    let world = plan().start().await;
    let inner = lines(json!([{ "do": "increment", "key": "later" }])).to_string();
    let emit = json!({ "do": "emit", "to": "orders", "event_type": "later", "body": inner, "delay_ms": 60_000 });
    world.send_body("shop", &lines(json!([emit]))).await;
    world.settle().await;
    world.pass(59 * SECOND).await;
    assert_eq!(state(&world, "later").await, None);
    world.pass(2 * SECOND).await;
    assert_eq!(state(&world, "later").await.as_deref(), Some("1"));
    world.finish().await;
}

#[tokio::test]
async fn state_ends_with_its_time() {
    let world = plan().start().await;
    world.send_body("shop", &lines(json!([{ "do": "set", "key": "k", "value": "v", "ttl_ms": 5000 }]))).await;
    world.settle().await;
    assert_eq!(state(&world, "k").await.as_deref(), Some("v"));
    world.pass(5 * SECOND).await;
    assert_eq!(state(&world, "k").await, None);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_is_tried_until_it_succeeds_under_one_key() {
    let world = plan().upstream([503, 429, 200]).start().await;
    let event = world.send_body("shop", &lines(json!([{ "do": "deliver", "to": "chat", "path": "/messages" }]))).await;
    world.settle().await;
    assert_eq!(attempts(&world, event).await, 2, "the handler's, and the first of the delivery");
    world.pass(10 * SECOND).await;
    world.pass(10 * SECOND).await;
    all_done(&world, event).await;
    let key = format!("POST /chat/messages {event}.scripted:1");
    assert_eq!(world.upstream.keys(), [key.clone(), key.clone(), key]);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_delivery_is_a_dead_letter_of_its_own_and_is_replayed_under_another_key() {
    let world = plan().upstream([400]).start().await;
    let event = world.send_body("shop", &lines(json!([{ "do": "deliver", "to": "chat", "path": "/messages" }]))).await;
    world.settle().await;
    let states: Vec<_> = world.event(event).await.jobs.iter().map(|job| (job.route.to_string(), job.state)).collect();
    assert_eq!(states, [("scripted".to_owned(), JobState::Done), ("scripted:1".to_owned(), JobState::Dead)]);
    assert_eq!(world.event(event).await.jobs[1].reason.as_deref(), Some("permanent: POST chat /messages answered 400"));
    let replayed = world.admin(&format!("POST /dead-letters/replay {{\"id\":\"{event}.scripted:1\"}}")).await;
    assert_eq!(replayed.status, 200, "{replayed:?}");
    world.settle().await;
    all_done(&world, event).await;
    let line = format!("POST /chat/messages {event}.scripted:1");
    assert_eq!(world.upstream.keys(), [line.clone(), format!("{line}.r1")]);
    world.finish().await;
}

#[tokio::test]
async fn a_compensation_runs_once_and_commits_with_the_dead_letter() {
    let world = plan().start().await;
    let back = json!([{ "do": "increment", "key": "taken-back" }, { "do": "deliver", "to": "crm", "path": "/refunds" }]);
    let body = json!({ "lines": [{ "do": "increment", "key": "sold" }, { "do": "fail", "how": "retry" }], "exhausted": back });
    let event = world.send_body("shop", &body).await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    assert_eq!(state(&world, "taken-back").await, None, "there is an attempt left");
    world.pass(10 * SECOND).await;
    assert_eq!((state(&world, "sold").await, state(&world, "taken-back").await.as_deref()), (None, Some("1")));
    assert_eq!(world.upstream.keys(), [format!("POST /crm/refunds {event}.scripted:301")], "of the third attempt");
    let last = world.event(event).await.attempts.into_iter().rfind(|attempt| attempt.outcome == "dead").expect("an attempt");
    assert!(serde_json::to_string(&last).expect("JSON").contains("took back after `as the event says`"), "{last:?}");

    // And once more for a replay that ends as badly.
    world.admin(&format!("POST /dead-letters/replay {{\"id\":\"{event}.scripted\"}}")).await;
    world.settle().await;
    world.pass(10 * SECOND).await;
    world.pass(10 * SECOND).await;
    assert_eq!(world.upstream.keys()[1..], [format!("POST /crm/refunds {event}.scripted:601")]);
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_compensation_that_another_overtook_runs_again_and_its_handler_does_not() {
    let world = plan().start().await;
    let letters: Vec<String> = ('a'..='t').map(String::from).collect();
    let events = letters.iter().map(|letter| {
        let sold = json!([
            { "do": "call", "to": "crm", "path": "/sales", "step": "sale" },
            { "do": "call", "to": "crm", "path": "/handlers" },
            { "do": "fail", "how": "dead" },
        ]);
        // The same step name as the handler's: it is given what that has recorded.
        let back = json!([
            { "do": "call", "to": "crm", "path": "/sales", "step": "sale" },
            { "do": "call", "to": "crm", "path": "/compensations" },
            { "do": "append", "key": "back", "text": letter },
            { "do": "spin", "turns": 100_000 },
        ]);
        json!({ "lines": sold, "exhausted": back })
    });
    join_all(events.map(async |event| world.send_body("shop", &event).await)).await;
    world.settle().await;
    let word = state(&world, "back").await.expect("a word");
    assert_eq!(word.chars().collect::<BTreeSet<_>>().len(), letters.len(), "{word}");
    assert_eq!(word.len(), letters.len(), "each once: {word}");
    let calls = world.upstream.calls();
    let to = |path: &str| calls.iter().filter(|call| call.line.ends_with(path)).count();
    assert_eq!((to("/sales"), to("/handlers")), (letters.len(), letters.len()));
    assert!(to("/compensations") > letters.len(), "some were overtaken");
    world.finish_with("20 dead").await;
}

#[tokio::test]
async fn nothing_is_kept_or_emitted_that_was_not_granted() {
    let source = Source::new("shop", "github").to("scripted").retry(&["10s"]).set("dedupe = \"none\"");
    let world = Plan::default().source(source).sections("[topics.orders]\n[grants.scripted]\n").start().await;
    for line in [
        json!({ "do": "increment", "key": "n" }),
        json!({ "do": "emit", "to": "orders", "event_type": "t", "body": "" }),
        json!({ "do": "deliver", "to": "crm", "path": "/" }),
    ] {
        let event = world.send_body("shop", &lines(json!([line]))).await;
        world.settle().await;
        let job = &world.event(event).await.jobs[0];
        assert_eq!(job.state, JobState::Dead);
        assert!(job.reason.as_deref().is_some_and(|reason| reason.contains("granted")), "{:?}", job.reason);
    }
    world.finish_with("3 dead").await;
}

#[tokio::test]
async fn a_quota_is_told_by_the_write_that_has_no_room() {
    let source = Source::new("shop", "github").to("scripted").set("dedupe = \"none\"");
    let world = Plan::default().source(source).sections("[grants.scripted]\nstate = { quota = \"1 KiB\" }\n").start().await;
    let value = "x".repeat(900);
    let set = |key: &str| json!({ "do": "set", "key": key, "value": value });
    let write = async |lines: Value| {
        let event = world.send_body("shop", &self::lines(lines)).await;
        world.settle().await;
        world.event(event).await
    };
    assert_eq!(write(json!([set("b")])).await.jobs[0].state, JobState::Done);
    let view = write(json!([{ "do": "delete", "key": "b" }, set("a"), set("b")])).await;
    let detail = view.attempts[0].detail.clone().unwrap_or_default();
    assert!(detail.contains("state would be larger than the 1024 bytes granted"), "{detail}");
    assert_eq!(write(json!([{ "do": "delete", "key": "b" }, set("a")])).await.jobs[0].state, JobState::Done);
    world.finish_with("1 ready").await;
}
