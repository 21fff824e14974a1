//! What `?` makes of each failure, seen as an author sees it: through a plugin and the test host.

#![expect(clippy::needless_pass_by_value, reason = "a handler takes its event by value, whether it consumes it or not")]

use hookfast_sdk::prelude::*;
use hookfast_sdk::test::{Answer, Host, Run, fixture};
use std::time::Duration;

#[derive(Deserialize)]
struct Order {
    id: String,
}

hookfast_sdk::plugin! {
    name: "orders",
    upstreams: ["shop"],
    on "order.paid" at "/order" => paid,
    on "order.odd" => odd,
    on "order.priced" at "/step" => priced,
    on "order.classed" => classed,
    on "order.*" => any_order,
}

fn paid(event: Event<Order>, cx: &mut Context) -> Outcome {
    cx.post("shop", "/paid").step("paid").json(&event.data.id).send()?.success()?;
    done(event.data.id)
}

/// JSON has no object keys that are not text.
fn odd(_: Event, cx: &mut Context) -> Outcome {
    let unserializable = std::collections::BTreeMap::from([((1, 2), 3)]);
    cx.post("shop", "/paid").json(&unserializable).send()?;
    done("sent")
}

/// Reads JSON, with a step or without.
fn priced(event: Event<bool>, cx: &mut Context) -> Outcome {
    let request = cx.get("shop", "/price");
    let answer = if event.data { request.step("price") } else { request }.send()?;
    let price: u64 = answer.json()?;
    done(price.to_string())
}

/// Goes on without an answer where the class says so, and tells the class otherwise.
fn classed(_: Event, cx: &mut Context) -> Outcome {
    let status = status(cx).fallback(&[FaultClass::RateLimited, FaultClass::Ambiguous], |fault| fault.class.to_string());
    match status {
        Ok(text) => done(text),
        Err(fault) => discard(fault.class.as_str()),
    }
}

fn status(cx: &Context) -> Result<String, Fault> {
    Ok(cx.post("shop", "/paid").send()?.success()?.status.to_string())
}

fn any_order(event: Event, _: &mut Context) -> Outcome {
    let class: String = event.data_at("")?;
    let error: Result<(), &str> = Err("it said no");
    match class.as_str() {
        "retry" => error.or_retry("why")?,
        "retry after" => error.or_retry_after(Duration::from_secs(9), "why")?,
        "discard" => error.or_discard("why")?,
        "dead letter" => error.or_dead_letter("why")?,
        "panic" => panic!("no order called {class}"),
        _ => return retry_after(Duration::from_secs(5), "later"),
    }
    done("unreachable")
}

const ORDER: &str = r#"{"order":{"id":"o_1"}}"#;

/// One word a class, so that the tables below read.
fn class(run: &Run) -> String {
    match run {
        Run::Done(_) => "done".to_owned(),
        Run::Failed(Failure::Retry { after: None, .. }) => "retry".to_owned(),
        Run::Failed(Failure::Retry { after: Some(after), .. }) => format!("retry after {}", after.as_secs()),
        Run::Failed(Failure::Discard(_)) => "discard".to_owned(),
        Run::Failed(Failure::DeadLetter(_)) => "dead letter".to_owned(),
        Run::Trapped(_) => "trap".to_owned(),
    }
}

fn answered(answer: Answer) -> Run {
    Host::new(&PLUGIN).on_post("shop", "/paid", answer).run(&fixture("order.paid", ORDER))
}

#[test]
fn a_status_decides_between_done_retry_and_dead_letter() {
    let check = |statuses: &[u16], expected: &str| {
        for status in statuses {
            assert_eq!(class(&answered(Answer::status(*status))), expected, "{status}");
        }
    };
    check(&[200, 201, 202, 204, 299], "done");
    check(&[401, 403, 408, 425, 429, 500, 501, 502, 503, 504, 599, 600], "retry");
    check(&[199, 300, 301, 304, 400, 402, 404, 407, 409, 410, 413, 422, 424, 426, 428, 499], "dead letter");
}

#[test]
fn a_fault_code_decides_between_retry_and_dead_letter() {
    let check = |codes: &[&str], expected: &str| {
        for code in codes {
            assert_eq!(class(&answered(Answer::fault(code))), expected, "{code}");
        }
    };
    check(&["timeout", "connect", "reset", "tls", "breaker_open", "rate_limited", "auth_failed", "tls_failed"], "retry");
    check(&["a_code_of_tomorrow", ""], "retry");
    check(&["unknown_upstream", "not_granted", "private_address", "too_many_redirects"], "dead letter");
    check(&["invalid_request", "response_too_large", "too_many_calls", "step_changed"], "dead letter");
}

#[test]
fn an_author_sees_the_class_and_names_those_to_go_on_without() {
    let check = |answer: Answer, expected: &str| {
        let mut host = Host::new(&PLUGIN).on_post("shop", "/paid", answer);
        let run = host.run(&fixture("order.classed", ""));
        assert_eq!(format!("{} {}", class(&run), run.text()), expected);
        let warned = host.logs().iter().any(|line| line.level == 2 && line.message.starts_with("going on without an answer: POST shop"));
        assert_eq!(warned, expected.starts_with("done") && expected != "done 200", "{expected}");
    };
    check(Answer::status(200), "done 200");
    check(Answer::status(429), "done rate_limited");
    check(Answer::fault("rate_limited"), "done rate_limited");
    check(Answer::fault("timeout"), "done ambiguous");
    check(Answer::fault("timeout").class(FaultClass::Transient), "discard transient");
    check(Answer::fault("a_code_of_tomorrow").class(FaultClass::Auth), "discard auth");
    check(Answer::fault("connect"), "discard transient");
    check(Answer::fault("auth_failed"), "discard auth");
    check(Answer::status(401), "discard auth");
    check(Answer::status(403), "discard auth");
    check(Answer::status(503), "discard transient");
    check(Answer::status(404), "discard permanent");
    check(Answer::fault("not_granted"), "discard permanent");
}

#[test]
fn the_class_of_the_host_counts_and_its_wait_is_honoured() {
    let permanent = answered(Answer::fault("a_code_of_tomorrow").class(FaultClass::Permanent));
    assert_eq!(class(&permanent), "dead letter");
    let limited = answered(Answer::fault("rate_limited").retry_after(Duration::from_secs(8)));
    assert_eq!(class(&limited), "retry after 8");
    assert_eq!(class(&answered(Answer::status(429).retry_after(Duration::from_secs(8)))), "retry after 8");
}

#[test]
fn json_that_was_promised_and_did_not_come_is_told_apart() {
    let check = |status: u16, body: &str, of_call: &str, of_step: &str| {
        for (step, expected) in [(false, of_call), (true, of_step)] {
            let mut host = Host::new(&PLUGIN).on_get("shop", "/price", (status, body));
            let run = host.run(&fixture("order.priced", json!({ "step": step }).to_string()));
            assert_eq!(class(&run), expected, "{status} {body:?}, step {step}: {}", run.text());
        }
    };
    check(200, "1250", "done", "done");
    for unreadable in ["<html>maintenance</html>", "", "12,", r#"{"cents":"#, "\"1250"] {
        check(200, unreadable, "retry", "dead letter");
    }
    for other in [r#"{"cents":1250}"#, "-1", "null", "\"1250\""] {
        check(200, other, "dead letter", "dead letter");
    }
    check(503, "<html>", "retry", "retry");
    check(503, r#"{"error":"later"}"#, "retry", "retry");
    check(404, r#"{"error":"unknown"}"#, "dead letter", "dead letter");
}

#[test]
fn retry_after_is_honoured_in_seconds_and_as_a_date_of_the_hosts_clock() {
    let check = |status: u16, value: &str, expected: &str| {
        let answer = Answer::status(status).header("Retry-After", value);
        // Thu, 01 Jan 2026 00:00:00 GMT
        let mut host = Host::new(&PLUGIN).now_ms(1_767_225_600_000).on_post("shop", "/paid", answer);
        assert_eq!(class(&host.run(&fixture("order.paid", ORDER))), expected, "{status} {value}");
    };
    check(429, "17", "retry after 17");
    check(503, "Thu, 01 Jan 2026 00:02:00 GMT", "retry after 120");
    check(503, "Wed, 31 Dec 2025 00:00:00 GMT", "retry after 0");
    check(503, "when I feel like it", "retry");
    check(400, "17", "dead letter");
    check(200, "17", "done");
}

#[test]
fn a_refusal_names_the_request_the_status_and_the_start_of_the_body() {
    let long = format!("no such\ncustomer {}", "x".repeat(500));
    let run = answered(Answer::status(404).body(long));
    assert!(run.text().starts_with("POST shop /paid answered 404: no such customer xxx"), "{}", run.text());
    assert!(run.text().len() < 300, "the body is only quoted from");
    assert_eq!(answered(Answer::fault("tls")).text(), "POST shop /paid: tls: scripted tls");
}

#[test]
fn a_payload_that_does_not_parse_is_a_dead_letter_and_nothing_is_sent() {
    for body in ["", "not json", "{}", r#"{"order":{}}"#, r#"{"order":{"id":7}}"#] {
        let mut host = Host::new(&PLUGIN);
        assert_eq!(class(&host.run(&fixture("order.paid", body))), "dead letter", "{body}");
        assert!(host.sent("shop").is_empty(), "{body}");
    }
}

#[test]
fn a_request_that_cannot_be_json_is_a_dead_letter_and_is_not_sent() {
    let mut host = Host::new(&PLUGIN);
    assert_eq!(class(&host.run(&fixture("order.odd", ""))), "dead letter");
    assert!(host.sent("shop").is_empty());
}

#[test]
fn an_author_overrides_the_class() {
    let check = |wanted: &str, expected: &str, reason: &str| {
        let run = Host::new(&PLUGIN).run(&fixture("order.other", format!("{wanted:?}")));
        assert_eq!((class(&run).as_str(), run.text()), (expected, reason));
    };
    check("retry", "retry", "why: it said no");
    check("retry after", "retry after 9", "why: it said no");
    check("discard", "discard", "why: it said no");
    check("dead letter", "dead letter", "why: it said no");
    check("neither", "retry after 5", "later");
}

#[test]
fn a_panic_is_a_trap_and_its_message_file_and_line_are_logged() {
    let mut host = Host::new(&PLUGIN);
    let event = fixture("order.other", "\"panic\"");
    assert_eq!(host.run(&event), Run::Trapped("no order called panic".to_owned()));

    let line = host.logs().last().expect("a log line");
    assert_eq!(line.level, 1);
    assert!(line.message.contains("tests/classes.rs:"), "{}", line.message);
    assert!(line.message.ends_with(": no order called panic"), "{}", line.message);
    assert_eq!(line.fields[0].0, "file");
    assert!(line.fields[1].1.parse::<u32>().is_ok(), "{:?}", line.fields);

    assert!(host.run(&event).is_trap(), "the host survives it");
}
