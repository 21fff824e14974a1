//! Plugins whose language brings its own HTTP library: `wasi:http`, under the policy of the upstreams.

use hookfast::domain::JobState;
use hookfast_tests::{Plan, Source, World};
use serde_json::json;

async fn world(grant: &str) -> World {
    let source = Source::new("shop", "github").to("web").retry(&["10s"]).set("dedupe = \"none\"");
    Plan::default().source(source).sections(&format!("[grants.web]\n{grant}\n")).start().await
}

#[tokio::test]
async fn a_request_below_a_granted_upstream_is_a_call_of_it() {
    let world = world("upstreams = [\"crm\"]").await;
    let authority = world.upstream.address.to_string();
    let event = world.send_body("shop", &json!({ "authority": authority, "path": "/crm/people?x=1", "step": "people" })).await;
    world.settle().await;
    assert_eq!(world.upstream.keys(), [format!("POST /crm/people {event}.web/people")]);
    assert_eq!(world.upstream.calls()[0].json()["n"], 1);
    let view = world.event(event).await;
    assert_eq!(view.jobs[0].state, JobState::Done);
    assert!(serde_json::to_string(&view.attempts[0]).expect("JSON").contains("/people?x"), "{:?}", view.attempts[0]);
    world.finish().await;
}

#[tokio::test]
async fn everything_else_is_denied_and_the_log_says_why() {
    let world = world("upstreams = [\"crm\"]").await;
    let authority = world.upstream.address.to_string();
    for (authority, path) in
        [(authority.as_str(), "/chat/x"), (&*authority, "/crmx"), ("169.254.169.254", "/latest"), ("example.com", "/crm/people")]
    {
        let event = world.send_body("shop", &json!({ "authority": authority, "path": path })).await;
        world.settle().await;
        let view = world.event(event).await;
        assert_eq!(view.jobs[0].state, JobState::Dead, "{authority}{path}");
        let attempt = serde_json::to_string(&view.attempts[0]).expect("JSON");
        assert!(attempt.contains("is below the URL of no upstream that is granted"), "{attempt}");
    }
    assert!(world.upstream.calls().is_empty());
    world.finish_with("4 dead").await;
}

#[tokio::test]
async fn both_ways_out_count_against_one_limit() {
    let world = world("upstreams = [\"crm\"]\nlimits = { calls = 2 }").await;
    let authority = world.upstream.address.to_string();
    let send = async |calls_before: u32| {
        let event = world.send_body("shop", &json!({ "authority": authority, "path": "/crm/x", "calls_before": calls_before })).await;
        world.settle().await;
        world.event(event).await
    };
    let under = send(1).await;
    assert_eq!((under.jobs[0].state, under.attempts[0].calls.len()), (JobState::Done, 2));
    let over = send(2).await;
    assert_eq!((over.jobs[0].state, over.attempts[0].calls.len()), (JobState::Dead, 2));
    assert_eq!(over.attempts[0].log[0].message, "HTTP request denied: an attempt may make 2 calls");
    assert_eq!(world.upstream.calls().len(), 4);
    world.finish_with("1 dead").await;
}
