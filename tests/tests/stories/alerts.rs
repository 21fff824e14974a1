//! Something goes wrong, and the operator is told; it is mended, and the operator is told that, too.

use std::time::Duration;

use bytes::Bytes;
use hookfast::domain::Headers;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Call, Delivery, Plan, Source, Upstream, World};
use http::Method;

const LOOK: Duration = Duration::from_secs(15);

/// A shop whose CRM fails first, an operator who is told twice, and a source that checks whether the notice is signed.
fn plan(ops: &Upstream) -> Plan {
    let checking = Source::new("checking", "standard-webhooks");
    // The secret of every source of Standard Webhooks in these stories.
    let config = format!(
        "[upstreams.ops]\nurl = \"http://{}\"\nallow_private = true\n\
         auth = {{ standard_webhooks = \"literal:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\" }}\n\n\
         [alerts]\nto = [{{ upstream = \"ops\", path = \"/hooks/alerts\" }}, {{ upstream = \"ops\", path = \"/slack\", format = \"slack\" }}]\n",
        ops.address
    );
    World::stripe().source(checking).upstream([400]).beside("conf.d/alerts.toml", &config)
}

/// Lets time pass, look by look, until the operator was told so often.
async fn until_told(world: &World, ops: &Upstream, times: usize) {
    eventually(&format!("{times} calls"), async || {
        world.pass(LOOK).await;
        ops.calls().len() >= times
    })
    .await;
    world.settle().await;
}

/// The newest call to a path.
fn last(ops: &Upstream, line: &str) -> Call {
    ops.calls().into_iter().rfind(|call| call.line == line).expect("a call")
}

/// Lets time pass until the operator was told so of a rule.
async fn until_rule_is_told(world: &World, ops: &Upstream, kind: &str, rule: &str) {
    let is_it = |call: &Call| {
        let notice = call.json();
        call.line == "POST /hooks/alerts"
            && notice["type"] == kind
            && notice["alerts"].as_array().is_some_and(|alerts| alerts.iter().any(|alert| alert["rule"] == rule))
    };
    eventually(&format!("{kind} of {rule}"), async || {
        world.pass(LOOK).await;
        ops.calls().iter().any(is_it)
    })
    .await;
}

/// The CRM fails until nothing is sent to it; then the operator lets calls through again, and all is done.
async fn check_told_until_reset(plan: Plan, ops: &Upstream, rule: &str) {
    // The first answer is the 400 of the other stories, with which an upstream is well: three more are needed.
    let world = plan.start().await;
    for _ in 0..4 {
        world.send("stripe", "invoice.paid").await;
        world.settle().await;
    }
    until_rule_is_told(&world, ops, "alert.firing", rule).await;
    assert_eq!(world.admin("POST /upstreams/crm/reset").await.status, 200);
    until_rule_is_told(&world, ops, "alert.resolved", rule).await;
    replay(&world).await;
    eventually("all jobs to end", async || {
        world.pass(LOOK).await;
        let counts = world.counts().await;
        counts.ready + counts.parked + counts.dead == 0
    })
    .await;
    world.finish().await;
}

async fn a_dead_letter(world: &World) {
    world.send("stripe", "invoice.paid").await;
    world.settle().await;
    assert_eq!(world.counts().await.dead, 1);
}

async fn replay(world: &World) {
    world.admin(r#"POST /dead-letters/replay {"source":"stripe"}"#).await;
    world.settle().await;
}

#[tokio::test]
async fn a_dead_letter_is_told_signed_and_once_and_so_is_its_end() {
    let ops = Upstream::start().await;
    let world = plan(&ops).start().await;
    a_dead_letter(&world).await;
    until_told(&world, &ops, 2).await;

    let call = last(&ops, "POST /hooks/alerts");
    let notice = call.json();
    assert_eq!((&notice["type"], &notice["alerts"][0]["rule"]), (&"alert.firing".into(), &"dead_letters".into()));
    assert_eq!(notice["alerts"][0]["summary"], "there is 1 dead letter");
    assert!(call.header("idempotency-key").ends_with(".alerts:1"), "{call:?}");
    let signature = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Headers = signature.iter().map(|name| (*name, Bytes::copy_from_slice(call.headers[*name].as_bytes()))).collect();
    let signed = Delivery { method: Method::POST, path: "/in/checking".into(), headers, body: call.body };
    assert_eq!(world.deliver(&signed).await.status, 202, "as Standard Webhooks has it");
    assert_eq!(world.deliver(&signed.with_body("{}")).await.status, 401);
    assert_eq!(last(&ops, "POST /slack").json()["text"], "Hookfast: firing: there is 1 dead letter");

    let listed = world.command(&["alerts", "list"]).await;
    assert!(listed.contains("dead_letters  queue"), "{listed}");
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"hookfast_alerts_firing{rule="dead_letters"} 1"#), "{metrics}");

    replay(&world).await;
    until_told(&world, &ops, 4).await;
    assert_eq!(last(&ops, "POST /hooks/alerts").json()["type"], "alert.resolved");
    assert_eq!(last(&ops, "POST /slack").json()["text"], "Hookfast: resolved: dead_letters queue");
    assert_eq!(ops.calls().len(), 4);
    world.finish().await;
}

#[tokio::test]
async fn a_restart_tells_nothing_twice_and_forgets_no_end() {
    let ops = Upstream::start().await;
    let mut world = plan(&ops).start().await;
    a_dead_letter(&world).await;
    until_told(&world, &ops, 2).await;
    world.stop().await;
    world.start_again().await;
    replay(&world).await;
    until_told(&world, &ops, 4).await;
    let types =
        ops.calls().iter().filter(|call| call.line == "POST /hooks/alerts").map(|call| call.json()["type"].clone()).collect::<Vec<_>>();
    assert_eq!(types, ["alert.firing", "alert.resolved"]);
    world.finish().await;
}

#[tokio::test]
async fn a_notice_that_nobody_takes_is_a_dead_letter_and_none_that_is_told_of() {
    let ops = Upstream::start().await;
    ops.script([400, 400]);
    let world = plan(&ops).start().await;
    a_dead_letter(&world).await;
    until_told(&world, &ops, 2).await;
    assert_eq!(world.counts().await.dead, 3);
    replay(&world).await;
    until_told(&world, &ops, 4).await;
    assert_eq!(last(&ops, "POST /hooks/alerts").json()["type"], "alert.resolved");
    world.finish_with("2 dead").await;
}

#[tokio::test]
async fn refused_credentials_are_told_and_so_is_that_they_are_right_again() {
    let ops = Upstream::start().await;
    let plan = plan(&ops).upstream([401, 401, 401]).upstreams("auth = { bearer = \"literal:old\" }");
    check_told_until_reset(plan, &ops, "auth_failed").await;
}

#[tokio::test]
async fn an_open_breaker_is_told_and_so_is_its_end() {
    let ops = Upstream::start().await;
    let plan = plan(&ops).upstream([500, 502, 503]).upstreams("retries = 0\nbreaker = { minimum_calls = 4, open = \"1h\" }");
    check_told_until_reset(plan, &ops, "breaker_open").await;
}
