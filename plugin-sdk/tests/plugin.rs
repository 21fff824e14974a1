//! The `plugin!` table and the test host's own promises.

#![expect(clippy::needless_pass_by_value, reason = "a handler takes its event by value, whether it consumes it or not")]

use hookfast_sdk::prelude::*;
use hookfast_sdk::test::{Host, fixture};

hookfast_sdk::plugin! {
    name: "letters",
    upstreams: ["mail", "archive"],
    on "letter.sent" => sent,
    on "letter.*" => any_letter,
    otherwise => rest,
}

fn sent(event: Event, cx: &mut Context) -> Outcome {
    cx.put("archive", "/letters").step("archive").body(event.body).send()?.success()?;
    cx.post("mail", "/receipts").step("receipt").send()?.success()?;
    done(format!("attempt {}", event.attempt))
}

fn any_letter(_: Event, _: &mut Context) -> Outcome {
    done("letter")
}

fn rest(event: Event, cx: &mut Context) -> Outcome {
    let path: String = event.data_at("")?;
    match path.as_str() {
        "undeclared" => drop(cx.get("elsewhere", "/").send()),
        "twice" => {
            cx.get("mail", "/a").step("same").send()?;
            cx.get("mail", "/b").step("same").send()?;
        }
        "bad step" => drop(cx.get("mail", "/a").step("a step").send()?),
        "random" => return done(format!("{:?}", cx.random(20))),
        path => drop(cx.get("mail", path).send()?),
    }
    done("rest")
}

fn check_route(event_type: Option<&str>, expected: &str) {
    let mut event = fixture("", "\"random\"");
    event.event_type = event_type.map(str::to_owned);
    let run = Host::new(&PLUGIN).run(&event);
    assert!(run.text().starts_with(expected), "{event_type:?}: {}", run.text());
}

#[test]
fn the_first_line_that_fits_takes_the_event() {
    check_route(Some("letter.opened"), "letter");
    check_route(Some("letter.opened.again"), "letter");
    check_route(Some("letter."), "letter");
    check_route(Some("letter"), "[");
    check_route(Some("letters.opened"), "[");
    check_route(Some("Letter.opened"), "[");
    check_route(Some(""), "[");
    check_route(None, "[");
}

#[test]
fn the_description_is_made_of_the_table_and_the_manifest() {
    let description: Value = serde_json::from_str(&PLUGIN.describe()).expect("JSON");
    let expected = json!({
        "name": "letters",
        "version": env!("CARGO_PKG_VERSION"),
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "upstreams": ["mail", "archive"],
        "events": ["letter.sent", "letter.*", "*"],
    });
    assert_eq!(description, expected);
}

#[test]
fn a_step_that_succeeded_is_not_sent_again_at_the_next_attempt() {
    let mut host = Host::new(&PLUGIN).on("PUT", "archive", "/letters", 200).on_post("mail", "/receipts", [503, 202]);
    let event = fixture("letter.sent", "Dear all");
    assert!(host.run(&event).is_retry());
    assert_eq!(host.run(&event).text(), "attempt 2");

    assert_eq!(host.sent("archive").len(), 1);
    assert_eq!(host.sent("archive")[0].body, b"Dear all");
    let receipts = host.sent("mail");
    assert_eq!(receipts.len(), 2);
    let key = format!("{}.letters/receipt", event.id);
    assert!(receipts.iter().all(|sent| sent.header("idempotency-key") == Some(&key)));
}

#[test]
fn a_step_that_was_refused_for_good_stays_refused() {
    let mut host = Host::new(&PLUGIN).on("PUT", "archive", "/letters", 422);
    let event = fixture("letter.sent", "");
    assert!(host.run(&event).is_dead_letter());
    assert!(host.run(&event).is_dead_letter());
    assert_eq!(host.sent("archive").len(), 1);
}

#[test]
#[should_panic(expected = "no answer is left for GET mail /inbox")]
fn a_call_that_nobody_scripted_fails_the_test() {
    let _ = Host::new(&PLUGIN).run(&fixture("x", "\"/inbox\""));
}

#[test]
#[should_panic(expected = "`elsewhere` is not among the plugin's `upstreams`")]
fn a_call_of_an_undeclared_upstream_fails_the_test() {
    let _ = Host::new(&PLUGIN).run(&fixture("x", "\"undeclared\""));
}

#[test]
fn requests_that_the_host_would_refuse_are_refused() {
    let check = |body: &str, expected: &str| {
        let mut host = Host::new(&PLUGIN).on_get("mail", "/a", 200);
        let run = host.run(&fixture("x", body));
        assert!(run.is_dead_letter() && run.text().contains(expected), "{body}: {}", run.text());
    };
    check("\"inbox\"", "invalid_request: path `inbox` does not start with `/`");
    check("\"bad step\"", "invalid_request: step `a step`");
    check("\"twice\"", "invalid_request: step `same` is used twice");
}

#[test]
fn randomness_repeats_for_an_attempt_and_differs_between_attempts() {
    let event = fixture("x", "\"random\"");
    let (mut one, mut other) = (Host::new(&PLUGIN), Host::new(&PLUGIN));
    let first = one.run(&event);
    assert_eq!(first, other.run(&event));
    assert_ne!(first, one.run(&event));
    assert_eq!(first.text().split(',').count(), 20);
}
