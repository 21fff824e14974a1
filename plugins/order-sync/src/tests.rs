//! What the three upstreams see, whatever goes wrong between them.

use super::*;
use hookfast_sdk::test::{Answer, Answers, Host, Sent, fixture};

const PLACED: &str = include_str!("../fixtures/order.placed.json");
const PAID: (u16, &str) = (201, r#"{"id":"pay_7"}"#);

fn host(payment: impl Into<Answers>, inventory: impl Into<Answers>, mail: impl Into<Answers>) -> Host {
    let host = Host::new(&PLUGIN).on_post("payment", "/payments", payment);
    host.on_post("inventory", "/reservations", inventory).on_post("mail", "/messages", mail)
}

/// Methods and paths, in order.
fn requests(sent: &[&Sent]) -> Vec<String> {
    sent.iter().map(|sent| format!("{} {}", sent.method, sent.path)).collect()
}

#[test]
fn an_order_is_paid_reserved_confirmed_and_counted() {
    let mut host = host(PAID, 201, 202).seed("sold/espresso-cup", "40");
    assert_eq!(host.run(&fixture("order.placed", PLACED)).text(), "o_1001 is paid, reserved and confirmed");

    assert_eq!(host.sent("payment")[0].json::<Value>(), json!({ "order": "o_1001", "cents": 2500 }));
    assert_eq!(host.sent("inventory")[0].json::<Value>(), json!({ "order": "o_1001", "sku": "espresso-cup", "quantity": 2 }));
    let message = host.sent("mail")[0].json::<Value>();
    assert_eq!((&message["to"], &message["payment"]), (&json!("jenny.rosen@example.com"), &json!("pay_7")));
    assert_eq!(host.state("sold/espresso-cup"), Some("42"));
}

#[test]
fn a_later_attempt_makes_only_what_is_missing() {
    let mut host = host(PAID, [503, 201], [503, 202]);
    let event = fixture("order.placed", PLACED);
    assert!(host.run(&event).is_retry(), "the inventory is down");
    assert!(host.run(&event).is_retry(), "the mail is down");
    assert_eq!(host.state("sold/espresso-cup"), None, "nothing is sold before it is done");
    assert!(host.run(&event).is_done());

    let sent = ["payment", "inventory", "mail"].map(|upstream| host.sent(upstream).len());
    assert_eq!(sent, [1, 2, 2]);
    assert_eq!(host.state("sold/espresso-cup"), Some("2"));
}

#[test]
fn a_payment_that_nobody_answered_is_looked_for_before_it_is_made_again() {
    let lost = || Answer::fault("timeout");
    let event = fixture("order.placed", PLACED);

    let mut made = host(lost(), 201, 202).on_get("payment", "/payments/o_1001", (200, r#"{"id":"pay_6"}"#));
    assert!(made.run(&event).is_retry());
    assert!(made.run(&event).is_done());
    assert_eq!(requests(&made.sent("payment")), ["POST /payments", "GET /payments/o_1001"]);
    assert_eq!(made.sent("mail")[0].json::<Value>()["payment"], "pay_6");

    let mut not_made = host([lost(), PAID.into()], 201, 202).on_get("payment", "/payments/o_1001", 404);
    assert!(not_made.run(&event).is_retry());
    assert!(not_made.run(&event).is_done());
    assert_eq!(requests(&not_made.sent("payment")), ["POST /payments", "GET /payments/o_1001", "POST /payments"]);
}

#[test]
fn what_is_sold_out_is_a_dead_letter_and_taken_back() {
    let mut host = host(PAID, 409, 202);
    let event = fixture("order.placed", PLACED);
    let run = host.run(&event);
    assert!(run.is_dead_letter() && run.text() == "espresso-cup is sold out", "{}", run.text());

    assert_eq!(host.exhaust(&event, run.text()).text(), "o_1001 is taken back");
    let [release] = host.delivered("inventory")[..] else { panic!("one release") };
    assert_eq!((release.method.as_str(), release.path.as_str()), ("DELETE", "/reservations/o_1001"));
    let [void] = host.delivered("payment")[..] else { panic!("one refund") };
    assert_eq!((void.path.as_str(), void.json::<Value>()), ("/payments/o_1001/void", json!({ "reason": "espresso-cup is sold out" })));
    assert_eq!((host.sent("mail").len(), host.state("sold/espresso-cup")), (0, None));

    let replayed = host.run(&event);
    assert!(replayed.is_discard(), "its payment is void: {}", replayed.text());
}

#[test]
fn an_order_is_announced_where_the_operator_says_so() {
    let announced = |days: Answer| {
        let mut host = host(PAID, 201, 202).config("announce", "orders").on_get("inventory", "/delivery-days/espresso-cup", days);
        let run = host.run(&fixture("order.placed", PLACED));
        assert!(run.is_done(), "{}", run.text());
        let [event] = host.emitted() else { panic!("one event") };
        assert_eq!((event.target.as_str(), event.event_type.as_deref()), ("orders", Some("order.confirmed")));
        event.json::<Value>()["delivery_days"].clone()
    };
    assert_eq!(announced((200, "2").into()), 2);
    assert_eq!(announced(503.into()), 5);
    assert_eq!(announced((200, "<html>maintenance</html>").into()), 5);
}

#[test]
fn a_version_passes_its_own_fixture_where_everything_answers_200() {
    let mut host = host((200, "{}"), (200, "{}"), (200, "{}"));
    assert!(host.run(&fixture("order.placed", PLACED)).is_done());
}

#[test]
fn what_is_no_order_is_a_dead_letter_with_nothing_to_take_back() {
    let mut host = Host::new(&PLUGIN);
    let event = fixture("order.placed", r#"{"order":{"id":"o_1"}}"#);
    assert!(host.run(&event).is_dead_letter());
    assert!(host.exhaust(&event, "payload").is_dead_letter());
    assert!(host.delivered("payment").is_empty());
}

/// Indentation aside, since the guide shows parts of functions too.
#[test]
fn the_guide_shows_this_code() {
    let plain = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let code = plain(include_str!("lib.rs")) + &plain(include_str!("tests.rs"));
    let guide = include_str!("../../../docs/guides/reliable-handlers.md");
    let shown: Vec<&str> = guide.split("```rust\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(shown.len() > 5, "the guide has code");
    for block in shown {
        assert!(code.contains(&plain(block)), "not in order-sync any more:\n{block}");
    }
}
