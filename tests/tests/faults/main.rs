//! Every fault that can be had on purpose, at each way in which an upstream is used: what attempts it costs, what comes of the job, and
//! what the upstream sees. The table is `matrix.txt`; `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write;
use std::time::Duration;

use expect_test::expect_file;
use futures_util::{StreamExt, stream};
use hookfast::domain::{EventId, JobState};
use hookfast_tests::upstream::{Reply, Upstream};
use hookfast_tests::wait::eventually;
use hookfast_tests::{Plan, Source, World};
use serde_json::{Value, json};

/// As `[faults]` names them; what is slow is slower than the upstream's time limits.
const FAULTS: [(&str, &str); 9] = [
    ("refuse", ""),
    ("reset", ""),
    ("latency", "@2s"),
    ("hang", ""),
    ("too_many", "@1s"),
    ("server_error", ""),
    ("truncate", ""),
    ("html", ""),
    ("drip", "@250ms"),
];

/// How an upstream is used: the plugin's line, and what its section says of credentials.
const USES: [(&str, &str); 4] = [("plain call", ""), ("step", ""), ("outbox", ""), ("OAuth", "auth")];

/// So many cases are played at once.
const AT_ONCE: usize = 6;

/// Until when a fault comes.
const WHEN: [(&str, &str); 2] = [("first:2", "recovers after 2"), ("always", "never recovers")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_every_use_comes_to_what_the_table_says() {
    let mut cases = Vec::new();
    for (fault, value) in FAULTS {
        for (usage, auth) in USES {
            for (when, words) in WHEN {
                let configured = format!("{fault} = \"{when}{value}\"");
                cases.push(async move { format!("{fault}, {usage}, {words}\n{}\n", play(usage, auth, &configured).await) });
            }
        }
    }
    // Most of their time they wait.
    let table: String = stream::iter(cases).buffered(AT_ONCE).collect().await;
    expect_file!["matrix.txt"].assert_eq(&table);
}

async fn play(usage: &str, auth: &str, fault: &str) -> String {
    let upstream = Upstream::watched(|call| {
        let token = r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#;
        Some(Reply::Body(200, if call.line.ends_with("/token") { token } else { "{}" }))
    });
    let upstream = upstream.await;
    let world = Plan::default()
        .source(Source::new("shop", "github").to("scripted").retry(&["10s", "10s"]).set("dedupe = \"none\""))
        .sections(&section(&upstream, auth, fault))
        .start()
        .await;
    let line = match usage {
        "outbox" => json!({ "do": "deliver", "to": "shop", "path": "/x", "json": true }),
        "step" => json!({ "do": "call", "to": "shop", "path": "/x", "step": "x", "json": true }),
        _ => json!({ "do": "call", "to": "shop", "path": "/x", "json": true }),
    };
    let event = world.send_body("shop", &json!({ "lines": [line] })).await;
    // A job that waits for its upstream is woken by the machine's clock.
    eventually("the jobs to end", async || {
        world.pass(Duration::from_secs(10)).await;
        has_ended(&world, event).await
    })
    .await;
    let told = tell(&world, event, &upstream).await;
    let dead = world.counts().await.dead;
    world.finish_with(&if dead > 0 { format!("{dead} dead") } else { String::new() }).await;
    told
}

fn section(upstream: &Upstream, auth: &str, fault: &str) -> String {
    let url = format!("http://{}", upstream.address);
    let auth = match auth {
        "" => String::new(),
        _ => format!("auth = {{ oauth2 = {{ token_url = \"{url}/token\", client_id = \"c\", client_secret = \"literal:s\" }} }}\n"),
    };
    format!(
        "[upstreams.shop]\nurl = \"{url}/shop\"\nallow_private = true\ntimeouts = {{ connect = \"500ms\", read = \"500ms\", total = \"1s\" }}\n{auth}\
         [faults]\nallow_faults = true\n[faults.upstreams.shop]\n{fault}\n\
         [grants.scripted]\nupstreams = [\"shop\"]\n"
    )
}

async fn has_ended(world: &World, event: EventId) -> bool {
    world.event(event).await.jobs.iter().all(|job| matches!(job.state, JobState::Done | JobState::Dead))
}

/// Attempts, outcomes, and what the upstream saw: requests, and under how many keys.
async fn tell(world: &World, event: EventId, upstream: &Upstream) -> String {
    let view = world.event(event).await;
    let mut told = String::new();
    for attempt in &view.attempts {
        let calls = attempt
            .calls
            .iter()
            .map(|call| call.status.map_or_else(|| call.fault.clone().unwrap_or_default(), |status| status.to_string()));
        let _ = writeln!(told, "  {} {} [{}] {}", attempt.route, attempt.attempt, calls.collect::<Vec<_>>().join(" "), attempt.outcome);
    }
    for job in &view.jobs {
        let _ = writeln!(told, "  {} is {}", job.route, job.state);
    }
    let calls: Vec<Value> = upstream.calls().iter().map(|call| json!(call.line)).collect();
    let count = |line: &str| calls.iter().filter(|call| *call == line).count();
    // How often a token was asked for within an attempt depends on when the one before gave up.
    let token = if count("POST /token") > 0 { ", and was asked for a token" } else { "" };
    let _ = writeln!(told, "  the upstream saw {} requests{token}", count("POST /shop/x"));
    told
}
