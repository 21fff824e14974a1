//! Plugins that nodes share, and what becomes of jobs where some have one that others lack.

use hookfast::clock::Clock;
use hookfast_tests::build::{another_version, guest};
use hookfast_tests::directory::Directory;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::eventually;
use hookfast_tests::{Plan, Sender, Server, Site, Source, Upstream};
use serde_json::Value;

use crate::{plan, send, start_database};

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
    let plan = plan(&url).source(Source::new("both", "stripe").to("forward").to("parse"));
    let (with, without) = (Site::new(&plan, upstream.address), Site::new(&plan, upstream.address));
    // No node is taken for gone because its lease is renewed late.
    [&with, &without].into_iter().for_each(|site| site.edit(|file| file.replace("lease = \"1s\"", "lease = \"15s\"")));
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

    // Of a source that it runs a part of it leaves nothing: it runs that part, and what it cannot run waits until the other finds it.
    let both = Sender::new("both", "stripe", "shared-secret");
    for number in 0.. {
        let delivery = both.delivery("invoice.paid", &format!("evt_both_{number}"), Clock::system().now());
        let event = Wire::new().send(lacks.ingest, &delivery).await.expect("an answer").event().to_string();
        eventually("both of its jobs", async || state(&event).await == "done").await;
        // The other one may have been quicker.
        if run("SELECT count(*) FROM parked") != "0" {
            break;
        }
        assert!(number < 50, "nothing was parked");
    }
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
