//! Guests that misbehave, and files that are no plugins: each ends by a named cause, and another source is served meanwhile.

use std::time::Duration;

use expect_test::{Expect, expect};
use hookfast::domain::{EventId, JobState};
use hookfast::sandbox::PluginState;
use hookfast::store::AttemptView;
use hookfast_tests::build::guest;
use hookfast_tests::{Plan, Reply, Source, World};

/// A source for the hostile guest beside a good one; small limits, one attempt.
fn plan() -> Plan {
    plan_with("100ms")
}

fn plan_with(cpu: &str) -> Plan {
    let hostile = Source::new("hostile", "token").to("hostile").retry(&[]);
    let plan = Plan::default().source(hostile).source(Source::new("stripe", "stripe").to("stripe-crm"));
    plan.limit(&format!("cpu = \"{cpu}\"")).limit("wall = \"2s\"").limit("memory = \"8 MiB\"").limit("log = \"4 KiB\"")
}

/// Lets the guest do what `body`'s type says, while a good event passes by.
async fn run(world: &World, body: &str) -> (EventId, AttemptView) {
    let delivery = world.sender("hostile").delivery_of(body.to_owned(), world.clock.now());
    let hostile = world.deliver(&delivery).await.event();
    let good = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    assert_eq!(world.event(good).await.jobs[0].state, JobState::Done, "a bad plugin hurts one source");
    let attempts = world.event(hostile).await.attempts;
    assert_eq!(attempts.len(), 1);
    (hostile, attempts.into_iter().next().expect("an attempt"))
}

/// Compares what the attempt came to; `left` is what remains of its job.
async fn check(event_type: &str, left: &str, expected: Expect) {
    let world = plan().start().await;
    let (event, _) = run(&world, &format!(r#"{{"type":"{event_type}"}}"#)).await;
    world.check_attempts(event, expected).await;
    world.finish_with(left).await;
}

#[tokio::test]
async fn a_guest_that_loops_for_ever_uses_up_its_cpu() {
    check(
        "spin",
        "1 dead",
        expect![[r#"
        1 at 0s [] dead cpu_limit — used up its CPU budget
        hostile is dead: max_attempts: used up its CPU budget
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_guest_that_hoards_memory_is_refused_more() {
    check(
        "allocate",
        "1 dead",
        expect![[r#"
        1 at 0s [] dead memory_limit — wanted more memory than it is granted
        hostile is dead: max_attempts: wanted more memory than it is granted
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_guest_has_the_memory_that_it_is_granted_and_no_more() {
    let world = plan().start().await;
    let (_, enough) = run(&world, r#"{"type":"memory","mebibytes":5}"#).await;
    assert_eq!((enough.outcome.as_str(), enough.detail.as_deref()), ("done", Some("had 5 MiB")));
    let (_, more) = run(&world, r#"{"type":"memory","mebibytes":8}"#).await;
    assert_eq!(more.failure.as_deref(), Some("memory_limit"));
    world.finish_with("1 dead").await;
}

/// What the guest says of each of these events in turn, as its last attempt was recorded.
async fn say(world: &World, bodies: &[&str]) -> Vec<String> {
    let mut said = Vec::new();
    for (turn, body) in bodies.iter().enumerate() {
        // No two bodies alike, or the later one would be a duplicate.
        let (_, attempt) = run(world, &body.replacen('{', &format!("{{\"turn\":{turn},"), 1)).await;
        assert!(attempt.log.len() <= 2, "the log of an event begins empty");
        said.push(attempt.detail.unwrap_or_default());
    }
    said
}

const COUNT: &str = r#"{"type":"count"}"#;

#[tokio::test]
async fn every_event_has_a_fresh_instance() {
    let world = plan().start().await;
    assert_eq!(say(&world, &[COUNT, COUNT]).await, ["event 1 of this instance"; 2]);
    world.finish().await;
}

#[tokio::test]
async fn an_instance_handles_as_many_events_as_its_grant_allows() {
    let world = plan().grant("events_per_instance = 3").start().await;
    let said = say(&world, &[COUNT; 4]).await;
    assert_eq!(said, [1, 2, 3, 1].map(|seen| format!("event {seen} of this instance")));
    world.finish().await;
}

#[tokio::test]
async fn an_instance_that_trapped_or_wrote_to_stderr_sees_no_other_event() {
    let world = plan().grant("events_per_instance = 100").start().await;
    let noisy = r#"{"type":"count","stderr":true}"#;
    let said = say(&world, &[COUNT, r#"{"type":"trap"}"#, COUNT, noisy, COUNT]).await;
    let seen = [&said[0], &said[2], &said[3], &said[4]];
    assert_eq!(seen, ["event 1 of this instance", "event 1 of this instance", "event 2 of this instance", "event 1 of this instance"]);
    world.finish_with("1 dead").await;
}

/// Ticks, calls and memory are counted for each event, not for the life of the instance.
#[tokio::test]
async fn a_used_instance_has_all_its_bounds_anew() {
    let world = plan_with("1s").grant("events_per_instance = 100").start().await;
    let memory = r#"{"type":"memory","mebibytes":5}"#;
    // Of 100,000 that an attempt has.
    let calls = r#"{"type":"calls","calls":60000}"#;
    let said = say(&world, &[COUNT, memory, memory, calls, calls, COUNT]).await;
    let (had, called) = ("had 5 MiB", "called 60000 times");
    assert_eq!(said, ["event 1 of this instance", had, had, called, called, "event 2 of this instance"]);
    let (_, looped) = run(&world, r#"{"type":"spin"}"#).await;
    assert_eq!(looped.failure.as_deref(), Some("cpu_limit"));
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_header_that_no_connection_could_carry_is_refused_as_such() {
    let world = plan().start().await;
    let (_, attempt) = run(&world, r#"{"type":"long_header"}"#).await;
    let detail = attempt.detail.unwrap_or_default();
    assert!(detail.contains("a header's name is longer than 1 KiB"), "{detail}");
    assert_eq!(attempt.calls[0].fault.as_deref(), Some("invalid_request"));
    world.finish_with("1 dead").await;
}

/// The small stack that plugins are built with is enough for what a stranger can put into a body.
#[tokio::test]
async fn a_body_that_is_nested_as_deep_as_json_is_read_fits_the_stack() {
    let world = plan().start().await;
    let nested = |levels: usize| format!("{}0{}", r#"{"a":["#.repeat(levels), "]}".repeat(levels));
    let (_, read) = run(&world, &format!(r#"{{"type":"deep","value":{}}}"#, nested(63))).await;
    assert_eq!((read.outcome.as_str(), read.detail.as_deref()), ("done", Some("529 bytes, true")));
    let (_, refused) = run(&world, &format!(r#"{{"type":"deep","value":{}}}"#, nested(64))).await;
    assert_eq!((refused.outcome.as_str(), refused.failure.as_deref()), ("dead", None), "{refused:?}");
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_guest_that_recurses_for_ever_overflows_its_own_stack() {
    check(
        "recurse",
        "1 dead",
        expect![[r#"
        1 at 0s [] dead out_of_bounds — reached outside its memory; most often its stack overflowed, and `hookfast plugin build --stack` gives it more
        hostile is dead: max_attempts: reached outside its memory; most often its stack overflowed, and `hookfast plugin build --stack` gives it more
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_panic_is_told_with_its_message() {
    check(
        "panic",
        "1 dead",
        expect![[r#"
            1 at 0s [] dead trap — trapped: panicked at hostile/src/lib.rs:67: nobody expects the type panic
            hostile is dead: max_attempts: trapped: panicked at hostile/src/lib.rs:67: nobody expects the type panic
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_trap_without_a_word_is_named_too() {
    check(
        "trap",
        "1 dead",
        expect![[r#"
        1 at 0s [] dead trap — trapped: wasm trap: wasm `unreachable` instruction executed
        hostile is dead: max_attempts: trapped: wasm trap: wasm `unreachable` instruction executed
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_said_to_be() {
    let world = plan().start().await;
    let (_, attempt) = run(&world, r#"{"type":"log"}"#).await;
    assert_eq!(attempt.outcome, "done");
    let bytes: usize = attempt.log.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= 4096 + 100, "{bytes}");
    let last = attempt.log.last().map(|line| line.message.as_str());
    assert!(last.is_some_and(|line| line.ends_with("log lines dropped: over the plugin's log limit")), "{last:?}");
    world.finish().await;
}

#[tokio::test]
async fn endless_logging_ends() {
    let world = plan().limit("calls = 1").start().await;
    let (_, attempt) = run(&world, r#"{"type":"log_forever"}"#).await;
    assert!(["host_call_limit", "cpu_limit"].contains(&attempt.failure.as_deref().unwrap_or("")), "{attempt:?}");
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn endless_host_calls_end() {
    let world = plan().start().await;
    let (_, attempt) = run(&world, r#"{"type":"call_forever"}"#).await;
    assert!(["host_call_limit", "cpu_limit"].contains(&attempt.failure.as_deref().unwrap_or("")), "{attempt:?}");
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn megabytes_of_garbage_as_a_reason_are_cut_to_a_sentence() {
    let world = plan().start().await;
    let (_, attempt) = run(&world, r#"{"type":"reason"}"#).await;
    let detail = attempt.detail.expect("a reason");
    assert_eq!(attempt.outcome, "dead");
    assert!(detail.starts_with("garbage  \u{1f4a9} garbage") && detail.chars().count() <= 1000, "{} characters", detail.len());
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_guest_that_waits_too_long_is_ended_by_the_clock_on_the_wall() {
    let world = plan().upstream([Reply::Silence, Reply::Silence]).start().await;
    let delivery = world.sender("hostile").delivery_of(r#"{"type":"nap"}"#, world.clock.now());
    let event = world.deliver(&delivery).await.event();
    world.upstream.called(1).await;
    world.settle().await;
    world
        .check_attempts(
            event,
            expect![[r#"
                1 at 0s [unfinished] dead wall_timeout — took longer than its wall-clock limit of 2000 ms
                hostile is dead: max_attempts: took longer than its wall-clock limit of 2000 ms
            "#]],
        )
        .await;
    world.finish_with("1 dead").await;
}

#[tokio::test]
async fn a_guest_sees_no_files_no_environment_and_no_network() {
    let world = plan().start().await;
    let address = world.upstream.address;
    let (_, attempt) = run(&world, &format!(r#"{{"type":"snoop","address":"{address}"}}"#)).await;
    assert_eq!(attempt.detail.as_deref(), Some("files false, environment false, network false"));
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_is_not_granted_is_not_called() {
    check(
        "ask_elsewhere",
        "1 dead",
        expect![[r#"
        1 at 0s [not_granted] dead — GET crm /secrets: not_granted: upstream `crm` is not granted to this plugin
        hostile is dead: permanent: GET crm /secrets: not_granted: upstream `crm` is not granted to this plugin
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_hostile_guest_in_every_place_keeps_no_sender_waiting() {
    let world = plan_with("500ms").places(4).start().await;
    for number in 0..8 {
        let body = format!(r#"{{"type":"spin","number":{number}}}"#);
        world.deliver(&world.sender("hostile").delivery_of(body, world.clock.now())).await.event();
    }
    // All places spin now; the front door must not notice.
    let started = std::time::Instant::now();
    world.send("stripe", "invoice.paid").await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    world.settle().await;
    world.finish_with("8 dead").await;
}

/// Publishes a file in the place of a plugin and compares at which stage it failed and what is told.
async fn check_load(wasm: &[u8], stage: &str, words: &str) {
    let world = plan().plugin("odd", wasm.to_vec()).start().await;
    let status = world.plugin("odd").expect("a status");
    let (found, message) = status.failure.expect("a failure");
    assert_eq!((status.state, found), (PluginState::Failed, stage), "{message}");
    assert!(message.contains(words), "{message}");
    let good = world.send("stripe", "invoice.paid").await;
    world.settle().await;
    assert_eq!(world.event(good).await.jobs[0].state, JobState::Done);
    world.finish().await;
}

#[tokio::test]
async fn what_is_not_webassembly_is_refused() {
    check_load(b"#!/bin/sh\nrm -rf /\n", "validate", "is not WebAssembly").await;
    check_load(b"", "validate", "is not WebAssembly").await;
}

#[tokio::test]
async fn a_core_module_is_refused_with_what_to_do() {
    check_load(b"\0asm\x01\0\0\0", "validate", "build it for wasm32-wasip2").await;
}

#[tokio::test]
async fn a_component_that_is_cut_off_is_refused() {
    let whole = guest("forward");
    for length in [8, 9, whole.len() / 2, whole.len() - 1] {
        let stage = if length == 8 { "type_check" } else { "compile" };
        check_load(&whole[..length], stage, "").await;
    }
}

#[tokio::test]
async fn native_code_is_never_taken_for_a_plugin() {
    // What the server itself keeps of a compiled plugin: the most convincing forgery there is.
    let world = plan().start().await;
    let cached = std::fs::read_dir(world.path("plugin-cache")).expect("a cache").flatten().next().expect("a compiled plugin");
    let native = std::fs::read(cached.path()).expect("a file");
    world.finish().await;
    check_load(&native, "validate", "is a precompiled artifact").await;
}

#[tokio::test]
async fn an_import_that_is_not_offered_is_named() {
    // The same bytes, but that what was `log` is now an interface that no plugin is offered.
    let (log, elsewhere) = (&b"hookfast:plugin/log@1.0.0"[..], &b"elsewhere:shop/api@0.1.23"[..]);
    let odd = replaced(&guest("forward"), log, elsewhere);
    check_load(&odd, "type_check", "elsewhere:shop/api").await;
}

#[tokio::test]
async fn a_plugin_that_describes_itself_in_other_words_is_refused() {
    // The words from which it makes its description, one of them changed.
    let (words, others) = (&b"nameversiondescription"[..], &b"nomeversiondescription"[..]);
    check_load(&replaced(&guest("forward"), words, others), "describe", "missing field `name`").await;
}

#[tokio::test]
async fn a_plugin_is_not_loaded_with_less_than_it_wants() {
    check_load(&guest("forward"), "grant", r#"wants upstreams it is not granted: "target""#).await;
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths stand in the bytes");
    let mut out = bytes.to_vec();
    let places: Vec<_> = bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "nothing to replace");
    for place in places {
        out[place..place + to.len()].copy_from_slice(to);
    }
    out
}
