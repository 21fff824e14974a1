//! The configuration changes while the server serves: all of it or nothing.

use std::time::Duration;

use hookfast::domain::JobState;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Source, World, logs};

#[tokio::test]
async fn a_source_that_is_added_to_the_file_receives() {
    let mut world = World::stripe().start().await;
    world.add_source(Source::new("orders", "hmac")).await;
    world.send("orders", "example").await;
    world.send("stripe", "invoice.paid").await;
    world.finish().await;
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_configuration_in_force() {
    let mut world = World::stripe().start().await;
    world.configure_anew(|_| "[sources.stripe]\nprovidr = \"stripe\"\n".into());
    let path = world.path("hookfast.toml").display().to_string();
    eventually("a word on the mistake", async || logs::has(&["the old one stays in force", &path])).await;
    assert!(logs::has(&[&format!("{path}:2:1"), "unknown key `providr`", "did you mean `provider`?"]));

    world.send("stripe", "invoice.paid").await;
    world.settle().await;
    assert_eq!(world.upstream.calls().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_source_that_is_taken_out_still_owes_its_jobs() {
    let mut world = World::stripe().upstream([503]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.configure_anew(|file| file.replace("[sources.stripe]", "[sources.formerly-stripe]"));
    let delivery = world.delivery("stripe", "invoice.paid");
    eventually("the source to be gone", async || world.deliver(&delivery).await.status == 404).await;
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.event(event).await.jobs[0].state, JobState::Done);
    world.finish().await;
}

#[tokio::test]
async fn a_resend_gets_the_first_answer_also_when_the_file_names_another_by_now() {
    let response = |status: u16| format!("response = {{ status = {status}, body = \"ok {status}\" }}");
    let mut world = World::with(Source::new("orders", "hmac").set(&response(200))).start().await;
    let (first, second) = (world.delivery("orders", "example"), world.sender("orders").delivery_of("another body", world.clock.now()));
    assert_eq!(world.deliver(&first).await.text(), "200 ok 200");

    world.configure_anew(|file| file.replace(&response(200), &response(201)));
    let changed = |world: &World| world.app().current.load().settings.sources["orders"].answer.status == 201;
    eventually("the new answer", async || changed(&world)).await;
    assert_eq!(world.deliver(&first).await.text(), "200 ok 200");
    assert_eq!(world.deliver(&second).await.text(), "201 ok 201");
    world.finish().await;
}

#[tokio::test]
async fn a_grant_that_is_taken_away_parks_jobs_until_it_is_back() {
    let mut world = World::stripe().start().await;
    let granted = |world: &World| !world.app().current.load().settings.grants["stripe-crm"].upstreams.is_empty();
    let (with, without) = ("[grants.stripe-crm]\nupstreams = [\"crm\"]", "[grants.stripe-crm]\nupstreams = []");
    world.configure_anew(|file| file.replace(with, without));
    eventually("the grant to be gone", async || !granted(&world)).await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    let job = &world.event(event).await.jobs[0];
    assert_eq!((job.state, job.reason.as_deref(), job.attempts), (JobState::Parked, Some("grant_missing"), 0));

    world.configure_anew(|file| file.replace(without, with));
    eventually("the job to be done", async || world.event(event).await.jobs[0].state == JobState::Done).await;
    world.finish().await;
}
