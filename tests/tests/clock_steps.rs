//! Clocks that step by an hour while a process runs. On PostgreSQL leases, due times and ages are compared on the database's clock alone;
//! on SQLite what is due does not wait for a clock that was set back.

use std::sync::Arc;

use hookfast::clock::Clock;
use hookfast::domain::Timestamp;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Answer, Gate, Plan, Reply, Sender, Server, Site, Source, Upstream, WallClock, skipped};
use serde_json::Value;

const HOUR: i64 = 3600;

/// A clock that can be stepped, where this machine can have one.
fn wall_clock(what: &str) -> Option<Arc<WallClock>> {
    WallClock::new().map(Arc::new).inspect_err(|why| skipped(what, why)).ok()
}

/// Sends as a provider does whose clock is so many seconds off.
async fn send(server: &Server, id: &str, off: i64) -> Answer {
    let now = Timestamp::from_millis(Clock::system().now().as_millis() + off * 1000);
    let delivery = Sender::new("stripe", "stripe", "shared-secret").delivery("invoice.paid", id, now);
    Wire::new().send(server.ingest, &delivery).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_by_an_hour_costs_no_lease_no_retry_and_no_event() {
    let Some(clock) = wall_clock("what becomes of a node whose clock steps") else { return };
    let database = Postgres::start();
    let url = database.database();
    let name = url.rsplit('/').next().expect("a name");
    let upstream = Upstream::start().await;
    let retry = "retry = { strategy = \"schedule\", delays = [\"300ms\"], max_age = \"30m\" }";
    let plan = Plan::default().source(Source::new("stripe", "stripe").to("forward").set(retry)).postgres(&url);
    let (first, second) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    let node = first.start_under(&clock).await;
    // One whose clock is right, that would take over, and leaves all jobs to the other.
    let watcher = second.start_as("ingest").await;
    let lease = "SELECT id || ' ' || lease_until FROM nodes WHERE role = 'all'";
    eventually("the node to have told of itself", async || !database.run(lease, name).is_empty()).await;
    let leased = || {
        let told = database.run(lease, name);
        let (id, until) = told.split_once(' ').expect("one lease");
        (id.to_owned(), until.parse::<i64>().expect("a time"))
    };
    let (id, _) = leased();
    let show = async |event: &str| second.get(&watcher, &format!("/api/v1/events/{event}")).await.json();
    let until_done = async |event: &str| {
        eventually("an event to be done", async || show(event).await["status"] == "done").await;
        show(event).await["attempts"].as_array().expect("attempts").iter().map(|attempt| attempt["attempt"].clone()).collect::<Vec<Value>>()
    };

    let mut before = 0;
    for (round, off) in [HOUR, -HOUR, 0].into_iter().enumerate() {
        // One job runs while the clock steps.
        let gate = Gate::shut();
        let calls = upstream.calls().len();
        upstream.script([Reply::Held(gate.clone())]);
        let running = send(&node, &format!("evt_running_{round}"), before).await.event().to_string();
        upstream.called(calls + 1).await;
        clock.step_to(off);
        assert_eq!(send(&node, "evt_stale", before).await.status, 401, "its clock has stepped: what was signed before is out of time");

        // The lease is renewed past its old end, and nobody takes the job away.
        let (_, until) = leased();
        eventually("a lease's time to pass", async || leased().1 >= until + 1000).await;
        assert_eq!(leased().0, id, "no lease was lost");
        assert_eq!(database.run("SELECT state, attempt, suspect FROM jobs", name), "running|1|f");

        // A retry comes due, of an event that is not an hour old.
        upstream.script([503]);
        let failing = send(&node, &format!("evt_failing_{round}"), off).await.event().to_string();
        assert_eq!(until_done(&failing).await, [1, 2]);
        // And what another node received is found.
        let of_another = send(&watcher, &format!("evt_another_{round}"), 0).await.event().to_string();
        assert_eq!(until_done(&of_another).await, [1]);
        gate.open();
        assert_eq!(until_done(&running).await, [1], "it ran once");
        before = off;
    }
    assert_eq!(second.list(&watcher, "/api/v1/dead-letters").await, Vec::<Value>::new());
    node.kill().await;
    watcher.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_alone_goes_on_when_its_clock_steps_by_an_hour_and_after_a_start_in_the_past() {
    let Some(clock) = wall_clock("what becomes of a process alone whose clock steps") else { return };
    let upstream = Upstream::start().await;
    let plan = Plan::default().source(Source::new("stripe", "stripe").to("forward").retry(&["300ms"])).places(1);
    let site = Site::new(&plan, upstream.address);
    let mut server = site.start_under(&clock).await;
    let show = async |server: &Server, event: &str| site.get(server, &format!("/api/v1/events/{event}")).await.json();

    let mut before = 0;
    for (round, off) in [HOUR, 0, -HOUR].into_iter().enumerate() {
        // One runs while the clock steps, others wait for its place.
        let gate = Gate::shut();
        let calls = upstream.calls().len();
        upstream.script([Reply::Held(gate.clone()), 503.into()]);
        let mut events = vec![send(&server, &format!("evt_{round}_running"), before).await.event().to_string()];
        upstream.called(calls + 1).await;
        for number in 0..3 {
            events.push(send(&server, &format!("evt_{round}_{number}"), before).await.event().to_string());
        }
        clock.step_to(off);
        assert_eq!(send(&server, "evt_stale", before).await.status, 401, "its clock has stepped: what was signed before is out of time");
        let again = send(&server, &format!("evt_{round}_0"), off).await.event().to_string();
        assert_eq!(again, events[1], "it is known");
        if off == -HOUR {
            // The next process finds them, and the one that was running, an hour before they came.
            server.kill().await;
            server = site.start_under(&clock).await;
        }
        events.push(send(&server, &format!("evt_{round}_after"), off).await.event().to_string());
        gate.open();
        for event in &events {
            eventually("an event to be done", async || show(&server, event).await["status"] == "done").await;
        }
        before = off;
    }
    assert_eq!(site.list(&server, "/api/v1/dead-letters").await, Vec::<Value>::new());
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_steps_by_an_hour_loses_nothing() {
    let Some(clock) = wall_clock("what becomes of a database whose clock steps") else { return };
    let database = Postgres::start_under(&clock);
    let url = database.database();
    let name = url.rsplit('/').next().expect("a name");
    let upstream = Upstream::start().await;
    let plan = Plan::default().source(Source::new("stripe", "stripe").to("forward").retry(&["300ms"])).postgres(&url);
    let (first, second) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    let nodes = [first.start().await, second.start().await];
    let now = || -> i64 { database.run("SELECT extract(epoch FROM clock_timestamp())::bigint", name).parse().expect("a time") };
    let is_done = async |event: &str| first.get(&nodes[0], &format!("/api/v1/events/{event}")).await.json()["status"] == "done";

    for (round, off) in [HOUR, 0, -HOUR, 0].into_iter().enumerate() {
        // One runs meanwhile, at one of the nodes.
        let gate = Gate::shut();
        let calls = upstream.calls().len();
        upstream.script([Reply::Held(gate.clone())]);
        let mut events = vec![send(&nodes[0], &format!("evt_{round}_running"), 0).await.event().to_string()];
        upstream.called(calls + 1).await;
        let before = now();
        clock.step_to(off);
        let stepped = now() - before;
        assert!(stepped.abs() > HOUR / 2, "the database's clock has stepped by {stepped} s");
        upstream.script([503, 503]);
        for (number, node) in nodes.iter().enumerate() {
            events.push(send(node, &format!("evt_{round}_{number}"), 0).await.event().to_string());
        }
        let again = send(&nodes[1], &format!("evt_{round}_0"), 0).await.event().to_string();
        assert_eq!(again, events[1], "it is known");
        // Whoever takes over what the other one runs waits for the same answer.
        gate.open();
        for event in &events {
            eventually("an event to be done", async || is_done(event).await).await;
        }
    }
    assert_eq!(second.list(&nodes[1], "/api/v1/dead-letters").await, Vec::<Value>::new());
    assert_eq!(database.run("SELECT count(*) FROM events", name), "12");
    for node in nodes {
        node.kill().await;
    }
}
