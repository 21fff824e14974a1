//! State, emitted events and deliveries: what a run leaves behind, and what it does not.

#![expect(clippy::needless_pass_by_value, reason = "a handler takes its event by value, whether it consumes it or not")]

use hookfast_sdk::Item;
use hookfast_sdk::prelude::*;
use hookfast_sdk::test::{Host, Run, fixture};
use std::time::Duration;

hookfast_sdk::plugin! {
    name: "ledger",
    upstreams: ["bank"],
    admit => admit,
    compensate at "/order" => compensate,
    on "all" => all,
    on "state" at "/do" => state,
    on "effects" at "/count" => effects,
    on "body" at "/bytes" => body,
    on "deep" => deep,
    on "now" => now,
}

/// Writes, emits and hands over, and then the bank decides.
fn all(event: Event, cx: &mut Context) -> Outcome {
    cx.state().increment("count", 1)?;
    let emitted = cx.emit("audit").event_type("seen").header("x-mark", "1").body("body").dedupe_key("k").send()?;
    let delivered = cx.deliver("mail", "/messages").method("PUT").delay(Duration::from_secs(60)).json(&event.attempt).send()?;
    if cx.get("bank", "/").send()?.success()?.body == b"panic" {
        panic!("after all that");
    }
    done(format!("{emitted} {delivered}"))
}

/// A little language, so that each test says what it does: `set k v`, `get k`, …
fn state(event: Event<Vec<String>>, cx: &mut Context) -> Outcome {
    let state = cx.state();
    let mut seen = Vec::new();
    for line in &event.data {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["get", key] => seen.push(state.get_text(key)?.unwrap_or_else(|| "-".to_owned())),
            ["version", key] => seen.push(state.get(key)?.map_or_else(|| "-".to_owned(), |Item { version, .. }| version.to_string())),
            ["number", key] => seen.push(state.get_json::<i64>(key)?.unwrap_or_default().to_string()),
            ["set", key, value] => state.set(key, value)?,
            ["set", key, value, seconds] => cx.state().ttl(Duration::from_secs(seconds.parse().or_dead_letter("ttl")?)).set(key, value)?,
            ["fill", key, bytes] => state.set(key, vec![b'x'; bytes.parse().or_dead_letter("bytes")?])?,
            ["delete", key] => state.delete(key)?,
            ["expect", key] => state.expect_version(key, None)?,
            ["expect", key, version] => state.expect_version(key, version.parse::<u64>().or_dead_letter("version")?)?,
            ["add", key, by] => seen.push(state.increment(key, by.parse().or_dead_letter("by")?)?.to_string()),
            _ => return dead_letter(line),
        }
    }
    done(seen.join(" "))
}

fn effects(event: Event<u32>, cx: &mut Context) -> Outcome {
    for index in 0..event.data {
        if index % 2 == 0 {
            cx.emit("audit").send()?
        } else {
            cx.deliver("mail", "/").send()?
        };
    }
    done("all")
}

fn body(event: Event<usize>, cx: &mut Context) -> Outcome {
    cx.emit("audit").body(vec![0; event.data]).send()?;
    done("fits")
}

fn deep(event: Event, cx: &mut Context) -> Outcome {
    cx.emit("ledger").event_type("deep").send()?;
    done(format!("{} {}", event.depth(), event.parent().unwrap_or("-")))
}

fn now(_: Event, cx: &mut Context) -> Outcome {
    done(cx.now_ms().to_string())
}

fn compensate(event: Event<u64>, last_error: &str, cx: &mut Context) -> Outcome {
    cx.state().set("undone", last_error)?;
    cx.deliver("bank", format!("/orders/{}/void", event.data)).send()?;
    if last_error.contains("never") {
        return retry("it cannot be undone");
    }
    done(format!("attempt {}", event.attempt))
}

fn admit(_: Incoming, cx: &mut Context) -> Ruling {
    let codes =
        [cx.state().get("k").err(), cx.emit("audit").send().err(), cx.deliver("mail", "/").send().err(), cx.get("bank", "/").send().err()];
    reject("asked", codes.map(|fault| fault.map_or_else(|| "given".to_owned(), |fault| fault.code)).join(" "))
}

fn run(host: &mut Host, lines: &[&str]) -> Run {
    host.run(&fixture("state", json!({ "do": lines }).to_string()))
}

fn check(host: &mut Host, lines: &[&str], expected: &str) {
    let run = run(host, lines);
    assert!(run.is_done(), "{lines:?}: {}", run.text());
    assert_eq!(run.text(), expected, "{lines:?}");
}

fn check_refused(host: &mut Host, lines: &[&str], code: &str) {
    let run = run(host, lines);
    assert!(run.is_dead_letter() && run.text().contains(&format!(": {code}: ")), "{lines:?}: {}", run.text());
}

#[test]
fn only_a_run_that_is_done_leaves_something_behind() {
    let event = fixture("all", "");
    let mut host = Host::new(&PLUGIN).on_get("bank", "/", [(503, ""), (404, ""), (200, "panic"), (200, "")]);
    assert!(host.run(&event).is_retry());
    assert!(host.run(&event).is_dead_letter());
    assert!(host.run(&event).is_trap());
    assert_eq!((host.state("count"), host.emitted().len(), host.delivered("mail").len()), (None, 0, 0));

    let run = host.run(&event);
    assert!(run.is_done());
    assert_eq!(host.state("count"), Some("1"));
    let [emitted] = host.emitted() else { panic!("one event") };
    let delivered = host.delivered("mail")[0];
    assert_eq!(run.text(), format!("{} {}", emitted.id, delivered.id));
    assert_eq!((emitted.target.as_str(), emitted.event_type.as_deref(), emitted.dedupe_key.as_deref()), ("audit", Some("seen"), Some("k")));
    assert_eq!((emitted.body.as_slice(), emitted.delay), (&b"body"[..], Duration::ZERO));
    assert_eq!((delivered.method.as_str(), delivered.path.as_str(), delivered.json::<u32>()), ("PUT", "/messages", 4));
    assert_eq!((delivered.delay, delivered.header("content-type")), (Duration::from_secs(60), Some("application/json")));
}

#[test]
fn ids_are_the_same_whenever_a_run_is_repeated() {
    let event = fixture("all", "");
    let run = || Host::new(&PLUGIN).on_get("bank", "/", 200).run(&event).text().to_owned();
    assert_eq!(run(), run());
    let other = Host::new(&PLUGIN).on_get("bank", "/", 200).run(&fixture("all", "")).text().to_owned();
    assert_ne!(run(), other);
}

#[test]
fn a_run_sees_its_own_writes() {
    let host = &mut Host::new(&PLUGIN).seed("a", "old");
    check(host, &["get a", "set a new", "get a", "delete a", "get a"], "old new -");
    check(host, &["get a", "add n 2", "add n -5", "number n", "set n 7", "add n 1", "delete n", "add n 4"], "- 2 -3 -3 8 4");
    assert_eq!(host.state("n"), Some("4"));
}

#[test]
fn versions_change_with_every_commit_and_not_within_a_run() {
    let host = &mut Host::new(&PLUGIN).seed("a", "1");
    check(host, &["version a", "set a 2", "version a"], "1 1");
    check(host, &["version a", "set b 1", "version b"], "2 0");
    check(host, &["delete a"], "");
    check(host, &["set a 3"], "");
    check(host, &["version a"], "4");
}

#[test]
fn a_value_lives_as_long_as_its_time_to_live() {
    let mut host = Host::new(&PLUGIN).now_ms(10_000);
    check(&mut host, &["set a 1 5", "set b 1"], "");
    let mut host = host.now_ms(14_999);
    check(&mut host, &["get a", "add a 1"], "1 2");
    let mut host = host.now_ms(15_000);
    check(&mut host, &["get a", "get b"], "- 1");
    assert_eq!((host.state("a"), host.state("b")), (None, Some("1")));
}

#[test]
fn what_was_read_and_is_written_must_not_have_changed() {
    let mut host = Host::new(&PLUGIN).seed("a", "1").seed("n", "1");
    host.race("a", "2");
    check(&mut host, &["get a", "set a 3"], "2");
    host.race("a", "4");
    check(&mut host, &["set a 5"], "");
    assert_eq!(host.state("a"), Some("5"), "it had not been read");
    host.race("a", "6");
    check(&mut host, &["get a", "set b 1"], "5");
    host.race("n", "10");
    check(&mut host, &["add n 1"], "2");
    assert_eq!(host.state("n"), Some("11"), "the addition is what commits");
}

#[test]
fn a_version_that_is_expected_must_be_there_at_the_commit() {
    let mut host = Host::new(&PLUGIN).seed("a", "1");
    check(&mut host, &["expect a 1", "set a 2"], "");
    check(&mut host, &["expect new", "set new 1"], "");
    for lines in [["expect a 1", "set a 3"], ["expect new", "set new 2"]] {
        let run = run(&mut host, &lines);
        assert!(run.is_retry() && run.text().contains("changed, again and again"), "{lines:?}: {}", run.text());
    }
    assert_eq!((host.state("a"), host.state("new")), (Some("2"), Some("1")));
}

#[test]
fn what_is_too_large_or_no_number_is_refused() {
    let host = &mut Host::new(&PLUGIN).seed("text", "x").seed("most", i64::MAX.to_string());
    let longest = "k".repeat(512);
    check(host, &[&format!("set {longest} 1"), "fill v 262144"], "");
    check_refused(host, &[&format!("set {longest}k 1")], "invalid_key");
    check_refused(host, &["get "], "invalid_key");
    check_refused(host, &["fill v 262145"], "value_too_large");
    check_refused(host, &["add text 1"], "not_a_number");
    check_refused(host, &["add most 1"], "overflow");
    check_refused(host, &["number text"], "wrong_shape");
    let many: Vec<String> = (0..17).map(|index| format!("fill v{index} 262144")).collect();
    check_refused(host, &many.iter().map(String::as_str).collect::<Vec<_>>(), "too_many_writes");
}

#[test]
fn a_run_asks_for_100_effects_of_4_mib() {
    let ask = |kind: &str, body: Value| Host::new(&PLUGIN).run(&fixture(kind, body.to_string()));
    assert!(ask("effects", json!({ "count": 100 })).is_done());
    assert!(ask("effects", json!({ "count": 101 })).text().contains("too_many_effects"));
    assert!(ask("body", json!({ "bytes": 4 << 20 })).is_done());
    assert!(ask("body", json!({ "bytes": (4 << 20) + 1 })).text().contains("too_many_effects"));
}

#[test]
fn a_chain_of_events_ends() {
    let mut host = Host::new(&PLUGIN);
    let mut event = fixture("deep", "");
    assert_eq!(host.run(&event).text(), "0 -");
    for depth in 1..16 {
        let parent = format!("{}.ledger", event.id);
        event = host.emitted().last().expect("the last of the chain").to_event();
        assert_eq!(event.source, "ledger");
        assert_eq!(host.run(&event).text(), format!("{depth} {parent}"));
    }
    let last = host.run(&host.emitted().last().expect("the sixteenth").to_event());
    assert!(last.is_dead_letter() && last.text().contains("too_deep"), "{}", last.text());
}

#[test]
fn what_is_not_granted_is_refused() {
    let check = |name: &str, expected: &str| {
        let run = Host::new(&PLUGIN).without_grant(name).on_get("bank", "/", 200).run(&fixture("all", ""));
        assert!(run.is_dead_letter() && run.text().starts_with(expected), "{name}: {}", run.text());
    };
    check("state", "state `count`: not_granted");
    check("audit", "emit to audit: not_granted");
    check("mail", "deliver PUT mail /messages: not_granted");
    check("bank", "GET bank /: not_granted");
}

#[test]
fn nothing_of_it_is_there_while_a_request_waits() {
    let mut host = Host::new(&PLUGIN);
    let rejection = host.admit(&hookfast_sdk::test::incoming("")).unwrap_err();
    assert_eq!(rejection.message, "not_granted not_granted not_granted not_granted");
    assert!(host.run(&fixture("now", "")).is_done());
}

#[test]
fn a_compensation_commits_what_it_asks_for_if_it_is_done() {
    let mut host = Host::new(&PLUGIN);
    let event = fixture("unknown", r#"{"order":7}"#);
    let _ = host.run(&event);
    let _ = host.run(&event);
    let failed = host.exhaust(&event, "it never worked");
    assert!(failed.is_retry());
    assert_eq!((host.state("undone"), host.delivered("bank").len()), (None, 0));

    assert_eq!(host.exhaust(&event, "the bank is gone").text(), "attempt 2");
    assert_eq!(host.state("undone"), Some("the bank is gone"));
    assert_eq!(host.delivered("bank")[0].path, "/orders/7/void");
    assert!(host.exhaust(&fixture("unknown", "{}"), "").is_dead_letter(), "its payload is parsed, too");
}

#[test]
fn the_description_says_that_it_compensates() {
    let description: Value = serde_json::from_str(&PLUGIN.describe()).expect("JSON");
    assert_eq!((&description["compensates"], &description["admits"]), (&json!(true), &json!(true)));
}
