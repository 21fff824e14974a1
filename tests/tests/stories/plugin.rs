//! Plugins that come, go and change while events flow.

use std::collections::BTreeSet;

use expect_test::expect;
use hookfast::domain::JobState;
use hookfast::sandbox::PluginState;
use hookfast_tests::build::{another_version, guest};
use hookfast_tests::wait::eventually;
use hookfast_tests::{Gate, Plan, Reply, Source, World};

#[tokio::test]
async fn a_job_whose_plugin_is_missing_waits_parked_and_runs_when_the_file_appears() {
    let world = World::stripe().without_plugin("stripe-crm").start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
        stripe-crm is parked: plugin_missing
    "#]],
        )
        .await;

    world.publish("stripe-crm", &guest("stripe-crm"));
    eventually("the parked job to run", async || world.counts().await.parked == 0).await;
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
        1 at 0s [200] done — synced in_1S2xQKLkdIwHu7ixAbCdEfGh
        stripe-crm is done
    "#]],
        )
        .await;
    world.finish().await;
}

/// Two sources with fewer due jobs than there are places: a claim must end where no source has any left.
#[tokio::test]
async fn few_jobs_of_two_sources_that_wait_for_one_plugin_all_run() {
    let plan = World::stripe().source(Source::new("second", "stripe").to("stripe-crm")).places(4).without_plugin("stripe-crm");
    let world = plan.start().await;
    let events = [world.send("stripe", "invoice.paid").await, world.send("second", "invoice.paid").await];
    world.settle().await;
    world.publish("stripe-crm", &guest("stripe-crm"));
    eventually("the parked jobs to run", async || world.counts().await.parked == 0).await;
    world.settle().await;
    for event in events {
        assert_eq!(world.event(event).await.jobs[0].state, JobState::Done);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_loads_while_every_place_is_taken() {
    let gate = Gate::shut();
    let world = World::stripe().places(1).upstream([Reply::Held(gate.clone())]).start().await;
    world.send("stripe", "invoice.paid").await;
    world.app().store.commits().changed().await.expect("an open store");
    world.publish("late", &guest("forward"));
    world.until_plugin("late", |status| status.failure.as_ref().is_some_and(|(stage, _)| *stage == "grant")).await;
    gate.open();
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_is_replaced_while_events_flow_and_no_event_notices() {
    let world = World::stripe().start().await;
    let (first, second) = (guest("stripe-crm"), another_version(&guest("stripe-crm"), "2"));
    let digest = |world: &World| world.plugin("stripe-crm").and_then(|status| status.digest);
    let old = digest(&world).expect("a live plugin");

    let mut events = Vec::new();
    let mut published = false;
    // Flows on until the new version has handled some of it.
    while events.len() < 30 || digest(&world) == Some(old) {
        events.push(world.send("stripe", "invoice.paid").await);
        if events.len() == 20 && !published {
            world.publish("stripe-crm", &second);
            published = true;
        }
        world.settle().await;
    }
    for _ in 0..10 {
        events.push(world.send("stripe", "invoice.paid").await);
    }
    world.settle().await;

    assert_ne!(first, second);
    let mut digests = BTreeSet::new();
    for event in &events {
        let event = world.event(*event).await;
        assert_eq!((event.attempts.len(), event.jobs[0].state.as_str()), (1, "done"));
        digests.insert(event.attempts[0].digest.clone());
    }
    assert_eq!(digests.len(), 2, "both versions ran");
    assert_eq!(world.upstream.calls().len(), events.len());
    world.finish().await;
}

#[tokio::test]
async fn an_attempt_ends_on_the_version_that_it_began_on() {
    let gate = Gate::shut();
    let world = World::stripe().upstream([Reply::Held(gate.clone())]).start().await;
    let old = world.plugin("stripe-crm").and_then(|status| status.digest);
    let event = world.send("stripe", "invoice.paid").await;
    world.upstream.called(1).await;
    world.publish("stripe-crm", &another_version(&guest("stripe-crm"), "2"));
    world.until_plugin("stripe-crm", |status| status.digest != old).await;
    gate.open();
    world.settle().await;

    let attempts = world.event(event).await.attempts;
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome.as_str()).collect::<Vec<_>>(), ["done"]);
    assert_eq!(Some(attempts[0].digest.clone()), old.map(|digest| digest.to_string()));
    world.finish().await;
}

#[tokio::test]
async fn a_bad_new_version_leaves_the_old_one_serving_and_is_reported() {
    let world = World::stripe().start().await;
    let good = guest("stripe-crm");
    let old = world.plugin("stripe-crm").and_then(|status| status.digest);
    world.publish("stripe-crm", &good[..good.len() / 2]);
    world.until_plugin("stripe-crm", |status| status.state == PluginState::LiveOutdated).await;

    let status = world.plugin("stripe-crm").expect("a status");
    assert_eq!((status.digest, status.failure.map(|(stage, _)| stage)), (old, Some("compile")));
    let shown = world.admin("GET /plugins").await.json();
    assert_eq!((&shown["data"][0]["state"], &shown["data"][0]["failure"][0]), (&"live_outdated".into(), &"compile".into()));
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    assert_eq!(world.event(event).await.jobs[0].state, JobState::Done);

    world.publish("stripe-crm", &another_version(&good, "2"));
    world.until_plugin("stripe-crm", |status| status.state == PluginState::Live).await;
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_that_wants_more_than_it_is_granted_does_not_load_until_it_is() {
    let plan = Plan::default().plugin("greedy", guest("stripe-crm"));
    let mut world = plan.source(Source::new("stripe", "stripe").to("greedy")).start().await;
    let failure = world.plugin("greedy").and_then(|status| status.failure).expect("a failure");
    assert_eq!(failure.0, "grant");
    assert!(failure.1.contains(r#"add "crm" to `upstreams` under [grants.greedy] to allow it"#), "{}", failure.1);
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;

    world.configure_anew(|file| format!("{file}\n[grants.greedy]\nupstreams = [\"crm\"]\n"));
    eventually("the parked job to run", async || world.counts().await.parked == 0).await;
    world.settle().await;
    assert_eq!(world.event(event).await.jobs[0].state, JobState::Done);
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_is_loaded_through_the_admin_api_and_stays_after_a_restart() {
    let mut world = World::stripe().without_plugin("stripe-crm").start().await;
    let event = world.send("stripe", "invoice.paid").await;
    let answer = world.load("stripe-crm", guest("stripe-crm")).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &"live".into()));
    world.settle().await;
    assert_eq!(world.event(event).await.jobs[0].state, JobState::Done);

    world.stop().await;
    world.start_again().await;
    assert_eq!(world.plugin("stripe-crm").map(|status| status.state), Some(PluginState::Live));
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_that_does_not_load_is_refused_by_the_admin_api_and_changes_nothing() {
    let world = World::stripe().start().await;
    let old = world.plugin("stripe-crm").and_then(|status| status.digest);
    let answer = world.load("stripe-crm", guest("stripe-crm")[..1000].to_vec()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (422, &"plugin_refused".into()));
    let greedy = world.load("greedy", guest("stripe-crm")).await;
    let detail = greedy.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
    assert!(greedy.status == 422 && detail.contains("at stage grant"), "{detail}");
    assert_eq!(world.load("no%20name", guest("stripe-crm")).await.status, 400);

    let status = world.plugin("stripe-crm").expect("a status");
    assert_eq!((status.digest, status.state), (old, PluginState::Live));
    assert!(!world.path("plugins/greedy.wasm").exists());
    world.finish().await;
}
