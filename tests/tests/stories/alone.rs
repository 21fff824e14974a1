//! One server with an SQLite file of its own: nobody else may have the file, damage in it stays where it is, no secret is in it, and
//! its plugin directory is all there is of plugins.

use std::time::Duration;

use expect_test::expect;
use hookfast::domain::JobState;
use hookfast::sandbox::PluginState;
use hookfast_tests::build::guest;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Source, World, logs};

#[tokio::test]
async fn a_second_server_on_the_same_database_fails_loudly() {
    let world = World::stripe().start().await;
    let second = world.start_another().await;
    let message = format!("{:#}", second.err().expect("an error"));
    assert!(message.contains("another hookfast process uses"), "{message}");
    world.finish().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_becomes_a_dead_letter_and_holds_up_no_other() {
    let mut world = World::stripe().upstream([503, 503]).start().await;
    let damaged = world.send("stripe", "invoice.paid").await;
    let sound = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    world.stop().await;
    let database = rusqlite::Connection::open(world.path("hookfast.db")).expect("the database");
    let changed = database.execute("UPDATE events SET headers = x'ff' WHERE id = ?1", [damaged.as_bytes()]);
    assert_eq!(changed, Ok(1));
    drop(database);

    world.start_again().await;
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.event(sound).await.jobs[0].state, JobState::Done);
    let dead = world.admin("GET /dead-letters").await.json();
    assert_eq!((&dead["data"][0]["event"], &dead["data"][0]["cause"]), (&damaged.to_string().into(), &"unstorable".into()));
    assert!(logs::has(&["a job's event cannot be read from the database"]));
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn the_token_that_proves_a_request_is_never_stored() {
    let world = World::with(Source::new("gitlab", "gitlab")).start().await;
    let delivery = world.delivery("gitlab", "push");
    assert_eq!(delivery.headers.text("x-gitlab-token"), Some("shared-secret"));
    let event = world.deliver(&delivery).await.event();

    let shown = world.admin(&format!("GET /events/{event}?payload=true")).await;
    assert!(shown.body.contains(r#"["x-gitlab-token","[verified]"]"#), "{}", shown.body);
    assert!(!shown.body.contains("shared-secret"));
    assert!(!everything_on_disk(&world).windows(13).any(|window| window == b"shared-secret"));
    world.finish().await;
}

#[tokio::test]
async fn a_plugin_that_is_taken_away_leaves_its_jobs_waiting() {
    let world = World::stripe().start().await;
    world.withdraw("stripe-crm");
    world.until_plugin("stripe-crm", |status| status.state == PluginState::Removed).await;
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
    world.finish().await;
}

/// All that the server has written but for its configuration.
fn everything_on_disk(world: &World) -> Vec<u8> {
    let files = ["hookfast.db", "hookfast.db-wal"].map(|name| std::fs::read(world.path(name)).unwrap_or_default());
    assert!(files[1].len() > 1000, "the write-ahead log holds what was stored");
    files.concat()
}
