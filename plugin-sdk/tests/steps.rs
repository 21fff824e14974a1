//! Steps over several attempts: what is remembered, what is refused, and what is checked before it is done again.

#![expect(clippy::needless_pass_by_value, reason = "a handler takes its event by value, whether it consumes it or not")]

use hookfast_sdk::prelude::*;
use hookfast_sdk::test::{Answer, Host, Run, fixture};

#[derive(Deserialize)]
struct Payment {
    id: String,
}

hookfast_sdk::plugin! {
    name: "steps",
    upstreams: ["bank", "mail"],
    on "pay" => pay,
    on "pay then mail" => pay_then_mail,
    on "changing" => changing,
    on "recorded" => recorded,
    on "begin without a name" => begin_without_a_name,
}

fn pay(_: Event, cx: &mut Context) -> Outcome {
    done(charge(cx)?.id)
}

fn pay_then_mail(_: Event, cx: &mut Context) -> Outcome {
    let payment = charge(cx)?;
    cx.post("mail", "/receipts").step("receipt").json(&payment.id).send()?.success()?;
    done(payment.id)
}

fn charge(cx: &Context) -> Result<Payment, Fault> {
    let request = cx.post("bank", "/payments").json(&json!({ "order": 7 }));
    request.checked_step("pay", || find_payment(cx)).send()?.json()
}

fn find_payment(cx: &Context) -> Result<Option<Payment>, Fault> {
    let payments: Vec<Payment> = cx.get("bank", "/payments?order=7").send()?.success()?.json()?;
    Ok(payments.into_iter().next())
}

/// Its step's body is another one at each attempt, or its path, as the event says.
fn changing(event: Event, cx: &mut Context) -> Outcome {
    let attempt = event.attempt;
    let request = match event.data_at::<String>("")?.as_str() {
        "body" => cx.post("mail", "/letters").json(&attempt),
        "header" => cx.post("mail", "/letters").header("x-attempt", attempt.to_string()),
        _ => cx.post("mail", format!("/letters/{attempt}")),
    };
    request.step("letter").send()?.success()?;
    retry("again")
}

fn recorded(_: Event, cx: &mut Context) -> Outcome {
    let letter = cx.post("mail", "/letters").step("letter").send()?.success()?;
    let page = cx.get("mail", "/page").send()?;
    assert!(!page.is_recorded(), "it is no step");
    match letter.is_recorded() {
        false => retry("sent"),
        true => done("recorded"),
    }
}

fn begin_without_a_name(_: Event, cx: &mut Context) -> Outcome {
    cx.get("bank", "/").checked_step("", || find_payment(cx)).send()?;
    done("unreachable")
}

const FOUND: (u16, &str) = (200, r#"[{"id":"p_found"}]"#);
const MADE: (u16, &str) = (201, r#"{"id":"p_made"}"#);

/// The first attempt's call ends like this; gives the host for the second.
fn after_a_first_attempt(kind: &str, first: Answer, rest: impl FnOnce(Host) -> Host) -> (Run, Host) {
    let mut host = rest(Host::new(&PLUGIN).on_post("bank", "/payments", first));
    let event = fixture(kind, "");
    let first = host.run(&event);
    assert!(first.is_retry(), "{}", first.text());
    (host.run(&event), host)
}

#[test]
fn a_first_attempt_acts_without_a_check() {
    let mut host = Host::new(&PLUGIN).on_post("bank", "/payments", MADE);
    assert_eq!(host.run(&fixture("pay", "")).text(), "p_made");
    assert_eq!(host.sent("bank").len(), 1);
}

#[test]
fn after_an_ambiguous_call_the_check_comes_first() {
    let lost = || Answer::fault("timeout");
    let (found, host) = after_a_first_attempt("pay", lost(), |host| host.on_get("bank", "/payments?order=7", FOUND));
    assert_eq!(found.text(), "p_found");
    assert_eq!(host.sent("bank").iter().filter(|sent| sent.method == "POST").count(), 1, "it is not made twice");

    let nothing = |host: Host| host.on_get("bank", "/payments?order=7", (200, "[]")).on_post("bank", "/payments", MADE);
    let (made, host) = after_a_first_attempt("pay", lost(), nothing);
    assert_eq!(made.text(), "p_made");
    assert_eq!(host.sent("bank").iter().filter(|sent| sent.method == "POST").count(), 2, "it had not been made");
}

#[test]
fn a_check_that_fails_decides_and_nothing_is_done() {
    let (run, host) = after_a_first_attempt("pay", Answer::status(503), |host| host.on_get("bank", "/payments?order=7", 503));
    assert!(run.is_retry(), "{}", run.text());
    assert_eq!(host.sent("bank").last().expect("the check").method, "GET");
}

#[test]
fn a_recorded_response_is_given_without_check_or_request() {
    let event = fixture("pay then mail", "");
    let mut host = Host::new(&PLUGIN).on_post("bank", "/payments", MADE).on_post("mail", "/receipts", [503, 200]);
    assert!(host.run(&event).is_retry());
    assert_eq!(host.run(&event).text(), "p_made");
    assert_eq!(host.sent("bank").len(), 1);
}

#[test]
fn a_step_belongs_to_one_event() {
    let mut host = Host::new(&PLUGIN).on_post("bank", "/payments", [MADE, (201, r#"{"id":"p_other"}"#)]);
    assert_eq!(host.run(&fixture("pay", "")).text(), "p_made");
    assert_eq!(host.run(&fixture("pay", "")).text(), "p_other");
}

#[test]
fn a_recorded_step_refuses_another_request_and_names_both() {
    let second = |what: &str, host: Host| {
        let event = fixture("changing", format!("{what:?}"));
        let mut host = host;
        assert!(host.run(&event).is_retry());
        host.run(&event)
    };
    let path = second("path", Host::new(&PLUGIN).on_post("mail", "/letters/1", 200));
    let expected =
        "POST mail /letters/2: step_changed: step `letter` is recorded for POST mail /letters/1, and is now POST mail /letters/2";
    assert_eq!((path.is_dead_letter(), path.text()), (true, expected));

    let body = second("body", Host::new(&PLUGIN).on_post("mail", "/letters", 200));
    assert!(body.is_dead_letter() && body.text().ends_with("is now POST mail /letters with another body"), "{}", body.text());

    let header = second("header", Host::new(&PLUGIN).on_post("mail", "/letters", 200));
    assert!(header.is_retry(), "a header may tell the attempt");
}

#[test]
fn a_step_that_is_not_recorded_may_change() {
    let mut host = Host::new(&PLUGIN).on_post("mail", "/letters/1", 503).on_post("mail", "/letters/2", 200);
    let event = fixture("changing", "\"path\"");
    assert_eq!(host.run(&event).text(), "POST mail /letters/1 answered 503");
    assert_eq!(host.run(&event).text(), "again");
}

#[test]
fn only_final_responses_are_recorded() {
    let check = |status: u16, is_final: bool| {
        let mut host = Host::new(&PLUGIN).on_post("bank", "/payments", [Answer::status(status), MADE.into()]);
        host = host.on_get("bank", "/payments?order=7", (200, "[]"));
        let event = fixture("pay", "");
        let _ = host.run(&event);
        let _ = host.run(&event);
        let posts = host.sent("bank").iter().filter(|sent| sent.method == "POST").count();
        assert_eq!(posts == 1, is_final, "{status}");
    };
    [200, 204, 301, 400, 404, 409, 422, 499].into_iter().for_each(|status| check(status, true));
    [401, 403, 408, 425, 429, 500, 503, 599].into_iter().for_each(|status| check(status, false));
}

#[test]
fn an_answer_says_whether_it_was_recorded() {
    let mut host = Host::new(&PLUGIN).on_post("mail", "/letters", 200).on_get("mail", "/page", [200, 200]);
    let event = fixture("recorded", "");
    assert_eq!(host.run(&event).text(), "sent");
    assert_eq!(host.run(&event).text(), "recorded");
}

#[test]
fn a_step_without_a_name_cannot_begin() {
    let run = Host::new(&PLUGIN).run(&fixture("begin without a name", ""));
    assert!(run.is_dead_letter() && run.text().contains("invalid_request"), "{}", run.text());
}
