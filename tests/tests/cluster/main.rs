//! Several processes over one PostgreSQL, and what happens when one of them, or the database, falls silent.

mod plugins;
mod outage;

use std::process::{Command, Stdio};
use std::sync::Arc;

use hookfast::clock::Clock;
use hookfast_tests::build::binary;
use hookfast_tests::postgres::Postgres;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::{eventually, within};
use hookfast_tests::{Answer, Gate, Plan, Reply, Sender, Server, Site, Source, Upstream};
use serde_json::Value;

fn plan(database: &str) -> Plan {
    Plan::default().source(Source::new("stripe", "stripe").to("forward").retry(&["50ms"])).postgres(database)
}

async fn start_database() -> Postgres {
    tokio::task::spawn_blocking(Postgres::start).await.expect("no panic")
}

async fn send(server: &Server, id: &str) -> Answer {
    let delivery = Sender::new("stripe", "stripe", "shared-secret").delivery("invoice.paid", id, Clock::system().now());
    Wire::new().send(server.ingest, &delivery).await.expect("an answer")
}

/// How often something was counted by this process, as its metrics say.
async fn counted(site: &Site, server: &Server, metric: &str) -> u64 {
    let metrics = site.get(server, "/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(metric));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_says_that_slept_past_its_lease_changes_nothing() {
    let database = start_database().await;
    let gate = Gate::shut();
    let upstream = Upstream::start().await;
    upstream.script([Reply::Held(gate.clone())]);
    let plan = plan(&database.database());
    let (first, second) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    let sleeper = first.start().await;
    let event = send(&sleeper, "evt_1").await.event().to_string();
    upstream.called(1).await;
    sleeper.pause();

    // The other one takes over within seconds of the lease's end, and finishes the job.
    let other = second.start().await;
    let show = async || second.get(&other, &format!("/api/v1/events/{event}")).await.json();
    eventually("the takeover", async || show().await["status"] == "done").await;
    let done = show().await;
    let attempts: Vec<&Value> = done["attempts"].as_array().expect("attempts").iter().map(|attempt| &attempt["attempt"]).collect();
    assert_eq!(attempts, [2], "the first one's attempt was never heard of");
    assert_eq!(upstream.calls().len(), 2);
    let keys = upstream.keys();
    assert_eq!(keys[0], keys[1], "one effect, asked for twice under one key");

    // It wakes, hears its answer and settles: what it says comes too late.
    sleeper.resume();
    let commits = counted(&first, &sleeper, "hookfast_commit_seconds_count").await;
    gate.open();
    eventually("its settlement", async || counted(&first, &sleeper, "hookfast_commit_seconds_count").await > commits).await;
    assert_eq!(show().await, done);

    // And it serves on, under another lease.
    let event = send(&sleeper, "evt_2").await.event().to_string();
    eventually("its next event", async || second.get(&other, &format!("/api/v1/events/{event}")).await.json()["status"] == "done").await;
    sleeper.kill().await;
    other.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_settlement_costs_does_not_depend_on_how_many_jobs_run() {
    const RUNNING: usize = 100;
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let url = database.database();
    let site = Site::new(&plan(&url).places(128), upstream.address);
    // Whoever renews a lease looks through what runs.
    site.edit(|file| file.replace("lease = \"1s\"", "lease = \"2m\""));
    let server = site.start().await;
    let name = url.rsplit('/').next().expect("a name");
    // PostgreSQL plans a statement when it is first used, for the rows that there are: none.
    database.run("VACUUM ANALYZE jobs", name);
    send(&server, "first").await.event();
    upstream.called(1).await;
    let gate = Gate::shut();
    upstream.script((0..RUNNING).map(|_| Reply::Held(gate.clone())));
    for number in 0..RUNNING {
        send(&server, &format!("evt_{number}")).await.event();
    }
    upstream.called(1 + RUNNING).await;
    gate.open();
    site.until_quiet(&server).await;

    // What a connection has read is told when it ends, at the latest.
    server.terminate();
    server.ended().await;
    let read = || -> usize {
        let sql = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'jobs_running'";
        database.run(sql, name).parse().expect("a number")
    };
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("its connections to end", async || database.run(others, name) == "0").await;
    // The node itself looks through what runs a few times. A settlement that does adds half of what runs for each job on average.
    assert!(read() <= 10 * RUNNING, "{} entries of running jobs were looked at to settle {RUNNING}", read());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_receives_and_another_runs_plugins() {
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let plan = plan(&database.database());
    let (front, back) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    let (receiver, runner) = (front.start_as("ingest").await, back.start_as("worker").await);
    let event = send(&receiver, "evt_1").await.event().to_string();
    eventually("its event", async || front.get(&receiver, &format!("/api/v1/events/{event}")).await.json()["status"] == "done").await;
    assert_eq!(runner.ingest.port(), 0, "it takes no webhooks");
    assert_eq!(counted(&front, &receiver, "hookfast_worker_places_free").await, 0);

    // Both are seen from each, and where they differ it is told.
    let told = || {
        let output = front.hookfast(&["nodes", "--url", &receiver.admin_url()]);
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    eventually("both to be told of", async || told().0.contains(" ingest ") && told().0.contains(" worker ")).await;
    assert_eq!(told().1, "");
    back.edit(|file| format!("{file}\n{}", Source::new("another", "token").section()));
    eventually("the difference to be told", async || told().1.contains("different configurations")).await;

    // One file has one process.
    let alone = Site::new(&Plan::default().source(Source::new("stripe", "stripe")), upstream.address);
    let refused = alone.hookfast(&["serve", "--role", "worker"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("needs storage.url"), "{refused:?}");
    receiver.kill().await;
    runner.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_not_up_to_date_are_told_and_brought_up_to_date_when_asked() {
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let site = Site::new(&plan(&database.database()).storage("migrate = false"), upstream.address);
    let refused = site.hookfast(&["serve"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("run `hookfast migrate`"), "{told}");
    // Twice at once, as two nodes would.
    std::thread::scope(|scope| {
        let migrate = || assert!(site.hookfast(&["migrate"]).status.success());
        scope.spawn(migrate);
        scope.spawn(migrate);
    });
    let server = site.start().await;
    send(&server, "evt_1").await.event();
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_tables_waits_for_another_that_does_and_makes_nobody_wait_behind_it() {
    let database = start_database().await;
    let url = database.database();
    let upstream = Upstream::start().await;
    let site = Arc::new(Site::new(&plan(&url), upstream.address));
    let run = |sql: &str| tokio::task::block_in_place(|| database.run(sql, "postgres"));
    let migrate = || {
        let site = Arc::clone(&site);
        tokio::task::spawn_blocking(move || site.hookfast(&["migrate"]))
    };

    let mut table = database.session(&url);
    table.run("BEGIN; CREATE TABLE _sqlx_migrations (held int)");
    let first = migrate();
    let turn = "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory'";
    eventually("the first one to have its turn", async || !run(turn).is_empty()).await;
    let mut other = database.session(&url);
    let turn = run(turn);
    tokio::task::block_in_place(|| other.run(&format!("SELECT pg_advisory_lock({turn})")));
    let first = first.await.expect("no panic");
    let told = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(!first.status.success() && told.contains("lock timeout"), "{told}");

    table.run("ROLLBACK");
    let second = migrate();
    // It is not its first try by then.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND query_start > backend_start + interval '4 s'";
    eventually("the second one to have waited for long", async || run(waits) == "1").await;
    // One that is to serve ends when it is asked to, also while it waits.
    let config = site.path("hookfast.toml");
    let mut third = Command::new(binary()).arg("serve").arg("--config").arg(config).stderr(Stdio::null()).spawn().expect("a process");
    let wait = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'";
    eventually("the third one to wait, too", async || run(wait) == "2").await;
    let sent = Command::new("kill").args(["-s", "TERM", &third.id().to_string()]).status();
    assert!(sent.expect("kill is installed").success());
    let ended = within("the third one's end", tokio::task::spawn_blocking(move || third.wait())).await;
    assert!(ended.expect("no panic").expect("an end").success());
    drop(other);
    assert!(second.await.expect("no panic").status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_nodes_see_is_told_once() {
    let database = start_database().await;
    let (upstream, ops) = (Upstream::start().await, Upstream::start().await);
    upstream.script([400]);
    let plan = plan(&database.database());
    let (first, second) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    let alerts = format!(
        "[upstreams.ops]\nurl = \"http://{}\"\nallow_private = true\n\
         [alerts]\nto = [{{ upstream = \"ops\" }}]\nevery = \"1s\"\ngroup = \"1s\"\n",
        ops.address
    );
    [&first, &second].iter().for_each(|site| site.edit(|file| format!("{file}\n{alerts}")));
    let (one, other) = (first.start().await, second.start().await);
    send(&one, "evt_1").await;

    let told = async |site: &Site, server: &Server| site.get(server, "/api/v1/alerts").await.json()["data"][0]["told_at"].is_string();
    eventually("both to know that it is told", async || told(&first, &one).await && told(&second, &other).await).await;
    ops.called(1).await;
    let events = first.get(&one, "/api/v1/events?source=alerts").await.json();
    assert_eq!(events["data"].as_array().expect("a list").len(), 1, "{events}");
    assert_eq!(ops.calls()[0].json()["alerts"][0]["rule"], "dead_letters");
    one.kill().await;
    other.kill().await;
}
