//! Stopping, starting again, and what survives it.

use std::time::Duration;

use hookfast::domain::JobState;
use hookfast_tests::{Gate, Reply, World};

#[tokio::test]
async fn a_duplicate_is_a_duplicate_also_after_a_restart() {
    let mut world = World::stripe().start().await;
    let delivery = world.delivery("stripe", "invoice.paid");
    let first = world.deliver(&delivery).await;
    world.settle().await;
    world.stop().await;
    world.start_again().await;

    assert_eq!(world.deliver(&delivery).await.text(), first.text());
    world.settle().await;
    assert_eq!(world.upstream.calls().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn work_that_was_due_after_the_stop_is_done_after_the_start() {
    let mut world = World::stripe().upstream([503]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.stop().await;
    world.clock.advance(Duration::from_secs(10));
    world.start_again().await;
    world.settle().await;

    let event = world.event(event).await;
    assert_eq!((event.attempts.len(), event.jobs[0].state.as_str()), (2, "done"));
    world.finish().await;
}

#[tokio::test]
async fn a_drain_lets_running_work_end() {
    let gate = Gate::shut();
    let mut world = World::stripe().upstream([Reply::Held(gate.clone())]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.upstream.called(1).await;
    gate.open();
    world.stop().await;
    world.start_again().await;

    assert_eq!(world.event(event).await.jobs[0].state, JobState::Done);
    assert_eq!(world.upstream.calls().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_drain_that_takes_too_long_gives_running_work_back() {
    let mut world = World::stripe().server("drain = \"0s\"").upstream([Reply::Silence]).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.upstream.called(1).await;
    world.stop().await;
    world.start_again().await;
    world.settle().await;

    let event = world.event(event).await;
    assert_eq!(event.attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1], "it burned no attempt");
    assert_eq!(event.jobs[0].state, JobState::Done);
    let keys = world.upstream.keys();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
    world.finish().await;
}

#[tokio::test]
async fn the_admin_token_outlives_a_restart_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::stripe().start().await;
    let token = std::fs::read(world.path("admin-token")).expect("a token");
    world.stop().await;
    world.start_again().await;
    assert_eq!(std::fs::read(world.path("admin-token")).expect("a token"), token);
    let mode = std::fs::metadata(world.path("admin-token")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.finish().await;
}
