//! A database that is away, hangs, forgets, or commits late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookfast::clock::Clock;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Gate, Reply, Sender, Server, Site, Source, Upstream};

use crate::{plan, send, start_database};

/// Senders hear that they are to come again, and do not wait for it.
async fn check_told_at_once(server: &Server) {
    for id in ["evt_1", "evt_2", "evt_3"] {
        let asked = Instant::now();
        let answer = send(server, id).await;
        assert_eq!((answer.status, answer.headers.get("retry-after").is_some()), (503, true), "{answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}

async fn check_done(site: &Site, server: &Server, events: [String; 2]) {
    for event in events {
        let is_done = async || site.get(server, &format!("/api/v1/events/{event}")).await.json()["status"] == "done";
        eventually("both to be done", is_done).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_senders_are_told_so_at_once_and_then_all_goes_on() {
    let database = Arc::new(start_database().await);
    let gate = Gate::shut();
    let upstream = Upstream::start().await;
    upstream.script([Reply::Held(gate.clone())]);
    let site = Site::new(&plan(&database.database()), upstream.address);
    let server = site.start().await;
    let before = send(&server, "evt_before").await.event().to_string();
    upstream.called(1).await;

    let away = Arc::clone(&database);
    tokio::task::spawn_blocking(move || away.kill()).await.expect("no panic");
    // The outcome of what ran comes while nobody can take it.
    gate.open();
    check_told_at_once(&server).await;
    assert_eq!(site.get(&server, "/readyz").await.status, 503);

    let back = Arc::clone(&database);
    tokio::task::spawn_blocking(move || back.start_again()).await.expect("no panic");
    eventually("the node to be ready", async || site.get(&server, "/readyz").await.status == 200).await;
    let after = send(&server, "evt_1").await.event().to_string();
    // All who come back at once share the node's few connections.
    let many = (0..64).map(|number| format!("evt_many_{number}")).collect::<Vec<_>>();
    let answers = futures_util::future::join_all(many.iter().map(|id| send(&server, id))).await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    let connections = database.run("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'test_%'", "postgres");
    assert!((1..=18).contains(&connections.parse::<u32>().expect("a number")), "{connections}");
    check_done(&site, &server, [before, after]).await;
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_found_out_and_senders_do_not_wait_for_it() {
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let site = Site::new(&plan(&database.database()), upstream.address);
    let server = site.start().await;
    let before = send(&server, "evt_before").await.event().to_string();
    site.until_quiet(&server).await;
    let paused = Instant::now();
    database.pause();
    eventually("the node not to be ready", async || site.get(&server, "/readyz").await.status == 503).await;
    assert!(paused.elapsed() < Duration::from_secs(10), "{:?}", paused.elapsed());
    check_told_at_once(&server).await;

    database.resume();
    eventually("the node to be ready", async || site.get(&server, "/readyz").await.status == 200).await;
    let after = send(&server, "evt_1").await.event().to_string();
    check_done(&site, &server, [before, after]).await;
    server.kill().await;
}

/// What a job came to is not waited for: a crash of the database may forget it, and then the job must run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_the_database_forgot_is_made_again() {
    let database = Arc::new(start_database().await);
    let upstream = Upstream::start().await;
    // Nothing else makes the database sync: neither its own background writer, nor a lease that is renewed.
    database.run("ALTER SYSTEM SET wal_writer_delay = '10s'", "postgres");
    database.run("SELECT pg_reload_conf()", "postgres");
    let site = Site::new(&plan(&database.database()), upstream.address);
    site.edit(|file| file.replace("lease = \"1s\"", "lease = \"2m\""));
    let server = site.start().await;
    for round in 0..3 {
        let event = send(&server, &format!("evt_{round}")).await.event().to_string();
        let is_done =
            async || site.try_get(&server, &format!("/api/v1/events/{event}")).await.is_ok_and(|answer| answer.body.contains("\"done\""));
        eventually("the event to be done", is_done).await;
        let crashed = Arc::clone(&database);
        tokio::task::spawn_blocking(move || crashed.crash()).await.expect("no panic");
        // Nothing more is sent: the node must find out by itself.
        eventually("the event to be done for good", is_done).await;
        site.until_quiet(&server).await;
        eventually("the node to be ready", async || site.get(&server, "/readyz").await.status == 200).await;
    }
    server.kill().await;
}

/// Jobs are taken by what they are, not by where a reader has got to: numbers are given out before they are committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_committed_late_is_run_though_later_ones_ran_long_before() {
    // Less than the time that a statement may take.
    const HELD: Duration = Duration::from_secs(10);
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let url = database.database();
    let name = url.rsplit('/').next().expect("a name");
    let plan = plan(&url).source(Source::new("held", "stripe").to("forward"));
    let (front, back) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    let (receiver, runner) = (front.start_as("ingest").await, back.start_as("worker").await);
    // What stores an event of the source `held` waits, with its rows written and its job's number taken, until the test lets it go on.
    let wait = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 \
        AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$";
    let held = "CREATE TRIGGER wait AFTER INSERT ON jobs FOR EACH ROW WHEN (NEW.source = 'held') EXECUTE FUNCTION wait()";
    database.run(wait, name);
    database.run(held, name);
    let mut gate = database.session(&url);
    gate.run("SELECT pg_advisory_lock(1)");

    let delivery = Sender::new("held", "stripe", "shared-secret").delivery("invoice.paid", "evt_held", Clock::system().now());
    let address = receiver.ingest;
    let late = tokio::spawn(async move { Wire::new().send(address, &delivery).await.expect("an answer") });
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("the statement to wait", async || database.run(waits, name) == "1").await;
    let nodes = || database.run("SELECT string_agg(id::text, ' ' ORDER BY id) FROM nodes", name);
    let nodes_before = nodes();

    // One after another: each is found by a look of its own.
    let status = async |event: &str| back.get(&runner, &format!("/api/v1/events/{event}")).await.json()["status"].clone();
    let held_since = Instant::now();
    let mut later = 0;
    while held_since.elapsed() < HELD {
        let event = send(&receiver, &format!("evt_{later}")).await.event().to_string();
        eventually("a later event", async || status(&event).await == "done").await;
        later += 1;
    }
    assert_eq!(database.run(waits, name), "1");
    assert!(!late.is_finished(), "nobody was told of it yet");
    assert_eq!(nodes(), nodes_before, "a statement that hangs costs no node its lease");

    gate.run("SELECT pg_advisory_unlock(1)");
    let event = late.await.expect("no panic").event().to_string();
    eventually("the late event", async || status(&event).await == "done").await;
    let numbers = "SELECT count(*) FROM events";
    assert_eq!(database.run(numbers, name), (later + 1).to_string());
    receiver.kill().await;
    runner.kill().await;
}
