//! Several processes over one PostgreSQL, and what happens when one of them, or the database, falls silent.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hookfast::clock::Clock;
use hookfast_tests::build::{another_version, binary, guest};
use hookfast_tests::directory::Directory;
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

/// The plugin's state and digest as this node has it.
async fn forward(site: &Site, server: &Server) -> (String, String) {
    let plugins = site.get(server, "/api/v1/plugins").await.json();
    let plugin = plugins["data"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == "forward").cloned();
    let word = |key: &str| plugin.as_ref().and_then(|plugin| plugin[key].as_str()).unwrap_or_default().to_owned();
    (word("state"), word("digest"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_one_node_has_is_run_by_every_node() {
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let plan = plan(&database.database());
    let (with, without) = (Site::new(&plan, upstream.address), Site::new(&plan.without_plugin("forward"), upstream.address));
    let first = with.start().await;
    let second = without.start().await;
    let old = forward(&with, &first).await;
    assert_eq!(old.0, "live");
    assert_eq!(forward(&without, &second).await, old, "it is there before the node serves");

    // A new version goes live on both.
    let newer = another_version(&guest("forward"), "2");
    with.publish("forward", &newer);
    eventually("the new version", async || forward(&without, &second).await.1 != old.1).await;
    let new = forward(&with, &first).await;
    assert_eq!(forward(&without, &second).await, new);

    // The old file in the directory of a node that was not updated yet turns nothing back.
    without.publish("forward", &guest("forward"));
    let third = without.start().await;
    assert_eq!(forward(&without, &third).await, new);

    // Nor does sending it; another new version goes live on both.
    let directory = Directory::new();
    let file = directory.path().join("forward.wasm");
    let load = |wasm: Vec<u8>| {
        directory.write("forward.wasm", wasm);
        without.hookfast(&["plugin", "load", file.to_str().expect("a path"), "--url", &third.admin_url()])
    };
    let refused = load(guest("forward"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("was live before"), "{refused:?}");
    assert_eq!(forward(&without, &third).await, new);
    let loaded = load(another_version(&guest("forward"), "3"));
    assert!(loaded.status.success(), "{loaded:?}");
    eventually("the loaded version", async || forward(&with, &first).await.1 != new.1).await;
    assert_eq!(forward(&with, &first).await, forward(&without, &third).await);

    first.kill().await;
    third.kill().await;
    let event = send(&second, "evt_1").await.event().to_string();
    eventually("its event", async || without.get(&second, &format!("/api/v1/events/{event}")).await.json()["status"] == "done").await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_has_no_plugin_for_is_run_by_one_that_has_it() {
    let database = start_database().await;
    let url = database.database();
    let upstream = Upstream::start().await;
    let plan = plan(&url);
    let (with, without) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    // It may not call what the plugin calls.
    without.edit(|file| file.replace("[grants.forward]\nupstreams = [\"target\"]", "[grants.forward]\nupstreams = []"));
    let lacks = without.start().await;
    assert_eq!(forward(&without, &lacks).await.0, "failed");
    let state = async |event: &str| without.get(&lacks, &format!("/api/v1/events/{event}")).await.json()["status"].clone();
    let event = send(&lacks, "nobody").await.event().to_string();
    let parked = async |event: &str| {
        let event = without.get(&lacks, &format!("/api/v1/events/{event}")).await.json();
        event["jobs"][0]["state"] == "parked"
    };
    eventually("it to wait, since no node has the plugin", async || parked(&event).await).await;

    // One comes that has it.
    let has = with.start().await;
    eventually("what waited", async || state(&event).await == "done").await;
    let run = |sql: &str| tokio::task::block_in_place(|| database.run(sql, url.rsplit('/').next().expect("a name")));
    eventually("the others to know", async || run("SELECT string_agg(plugins, '') FROM nodes").contains("forward")).await;
    run("CREATE TABLE parked (id bigint); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO parked VALUES (new.id); RETURN new; END'; \
         CREATE TRIGGER parks BEFORE UPDATE ON jobs FOR EACH ROW WHEN (new.state = 'parked') EXECUTE FUNCTION note()");
    let mut events = Vec::new();
    for number in 0..50 {
        events.push(send(&lacks, &format!("evt_{number}")).await.event().to_string());
    }
    for event in &events {
        eventually("each event", async || state(event).await == "done").await;
    }
    let runs = |attempts: Vec<Value>| attempts.iter().map(|attempt| attempt["outcome"].clone()).collect::<Vec<_>>();
    for event in &events {
        let attempts = without.get(&lacks, &format!("/api/v1/events/{event}")).await.json()["attempts"].as_array().cloned();
        assert_eq!(runs(attempts.expect("attempts")), ["done"], "what was passed on has used up no attempt");
    }
    assert_eq!(run("SELECT count(*) FROM parked"), "0", "nothing waited for want of a plugin that another node has");
    has.kill().await;
    lacks.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_parked_just_as_its_plugin_went_live_here_is_found() {
    let database = start_database().await;
    let url = database.database();
    let upstream = Upstream::start().await;
    upstream.script([503]);
    let source = Source::new("stripe", "stripe").to("forward").retry(&["1h"]);
    let site = Site::new(&Plan::default().source(source).postgres(&url), upstream.address);
    let server = site.start().await;
    let event = send(&server, "evt_1").await.event().to_string();
    let run = |sql: &str| tokio::task::block_in_place(|| database.run(sql, url.rsplit('/').next().expect("a name")));
    eventually("its retry to wait", async || run("SELECT count(*) FROM jobs WHERE state = 'ready' AND attempt = 1") == "1").await;
    run("UPDATE jobs SET state = 'parked', park_reason = 'plugin_missing'");
    eventually("its end", async || site.get(&server, &format!("/api/v1/events/{event}")).await.json()["status"] == "done").await;
    server.kill().await;
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
    for id in ["evt_1", "evt_2", "evt_3"] {
        let asked = Instant::now();
        let answer = send(&server, id).await;
        assert_eq!((answer.status, answer.headers.get("retry-after").is_some()), (503, true), "{answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
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
    for event in [before, after] {
        eventually("both to be done", async || site.get(&server, &format!("/api/v1/events/{event}")).await.json()["status"] == "done")
            .await;
    }
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_found_out_and_senders_do_not_wait_for_it() {
    let database = start_database().await;
    let upstream = Upstream::start().await;
    let site = Site::new(&plan(&database.database()), upstream.address);
    let server = site.start().await;
    let before = send(&server, "evt_before").await.event().to_string();
    let paused = Instant::now();
    database.pause(true);
    eventually("the node not to be ready", async || site.get(&server, "/readyz").await.status == 503).await;
    assert!(paused.elapsed() < Duration::from_secs(10), "{:?}", paused.elapsed());
    for id in ["evt_1", "evt_2", "evt_3"] {
        let asked = Instant::now();
        let answer = send(&server, id).await;
        assert_eq!((answer.status, answer.headers.get("retry-after").is_some()), (503, true), "{answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }

    database.pause(false);
    eventually("the node to be ready", async || site.get(&server, "/readyz").await.status == 200).await;
    let after = send(&server, "evt_1").await.event().to_string();
    for event in [before, after] {
        eventually("both to be done", async || site.get(&server, &format!("/api/v1/events/{event}")).await.json()["status"] == "done")
            .await;
    }
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
