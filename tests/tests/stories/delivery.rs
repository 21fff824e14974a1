//! From a provider's request to an effect.

use std::collections::BTreeSet;
use std::time::Duration;

use expect_test::expect;
use futures_util::future::join_all;
use hookfast_tests::sender::Wire;
use hookfast_tests::wait::within;
use hookfast_tests::{Source, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_signed_event_is_handled_and_its_effect_carries_the_idempotency_key() {
    let world = World::stripe().start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;

    let calls = world.upstream.calls();
    assert_eq!(world.upstream.keys(), [format!("POST /crm/invoices {event}.stripe-crm/crm")]);
    assert_eq!(calls[0].json()["amount_paid"], 4900);
    world
        .check_attempts(
            event,
            expect![[r#"
                1 at 0s [200] done — synced in_1S2xQKLkdIwHu7ixAbCdEfGh
                stripe-crm is done
            "#]],
        )
        .await;
    world.finish().await;
}

#[tokio::test]
async fn a_resend_gets_the_first_answer_and_runs_nothing() {
    let world = World::stripe().start().await;
    let delivery = world.delivery("stripe", "invoice.paid");
    let first = world.deliver(&delivery).await;
    world.settle().await;
    let resent = world.deliver(&delivery).await;
    world.settle().await;

    assert_eq!(first.status, 202);
    assert_eq!(resent.text(), first.text());
    assert_eq!(world.upstream.calls().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn twenty_senders_of_one_event_at_once_share_one_answer_and_one_run() {
    let world = World::stripe().start().await;
    let delivery = world.delivery("stripe", "invoice.paid");
    let answers: BTreeSet<_> = join_all((0..20).map(|_| world.deliver(&delivery))).await.iter().map(hookfast_tests::Answer::text).collect();
    world.settle().await;

    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(world.upstream.calls().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn an_event_id_is_free_again_once_its_window_has_passed() {
    let world = World::stripe().start().await;
    let sender = world.sender("stripe");
    let first = world.deliver(&sender.delivery("invoice.paid", "evt_1", world.clock.now())).await.event();
    world.pass(3 * DAY - Duration::from_secs(1)).await;
    let just_before = world.deliver(&sender.delivery("invoice.paid", "evt_1", world.clock.now())).await.event();
    world.pass(Duration::from_secs(2)).await;
    let after = world.deliver(&sender.delivery("invoice.paid", "evt_1", world.clock.now())).await.event();

    assert_eq!(just_before, first);
    assert_ne!(after, first);
    world.finish().await;
}

#[tokio::test]
async fn a_source_without_dedupe_takes_every_heartbeat() {
    let world = World::with(Source::new("beats", "hmac").set("dedupe = \"none\"")).start().await;
    let beat = world.delivery("beats", "example");
    assert_ne!(world.deliver(&beat).await.event(), world.deliver(&beat).await.event());
    world.finish().await;
}

#[tokio::test]
async fn a_source_without_routes_stores_exactly_what_came() {
    let world = World::with(Source::new("archive", "hmac")).start().await;
    let body = b"\xff\x00 not even text";
    let delivery = world.sender("archive").delivery_of(&body[..], world.clock.now()).with("x-twice", "1").with("x-twice", "2");
    let event = world.event(world.deliver(&delivery).await.event()).await;

    assert_eq!((event.status as u8, event.jobs.len()), (hookfast::store::EventStatus::Stored as u8, 0));
    let (headers, stored) = event.content.expect("content");
    assert_eq!(stored, &body[..]);
    assert_eq!(headers.all("x-twice").collect::<Vec<_>>(), [b"1", b"2"]);
    world.finish().await;
}

#[tokio::test]
async fn each_route_of_an_event_is_a_job_of_its_own() {
    let world = World::with(Source::new("stripe", "stripe").to("stripe-crm").to("forward")).start().await;
    let event = world.send("stripe", "invoice.paid").await;
    world.settle().await;

    let mut keys = world.upstream.keys();
    keys.sort();
    assert_eq!(keys, [format!("POST /crm/invoices {event}.stripe-crm/crm"), format!("POST /target/ {event}.forward/forward")]);
    world.finish().await;
}

#[tokio::test]
async fn what_is_forwarded_is_what_came_byte_for_byte() {
    let world = World::with(Source::new("orders", "hmac").to("forward")).start().await;
    let body = b"<order>\xe4</order>\r\n";
    let delivery = world.sender("orders").delivery_of(&body[..], world.clock.now()).with("content-type", "application/xml");
    let event = world.deliver(&delivery).await.event();
    world.settle().await;

    let call = &world.upstream.calls()[0];
    assert_eq!(call.body, &body[..]);
    assert_eq!((call.header("content-type"), call.header("webhook-id")), ("application/xml", event.to_string().as_str()));
    assert!(!call.headers.contains_key("x-signature"), "the sender's proof stays here");
    world.finish().await;
}

#[tokio::test]
async fn slacks_challenge_is_answered_and_is_no_event() {
    let world = World::with(Source::new("slack", "slack")).start().await;
    let challenge = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}"#;
    let signed = world.sender("slack").delivery_of(challenge, world.clock.now());
    let answer = world.deliver(&signed).await;
    assert_eq!(answer.text(), "200 3eZbrw1aBm2rZgRNFdxV");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");

    let forged = signed.without("x-slack-signature").with("x-slack-signature", "v0=00");
    assert_eq!(world.deliver(&forged).await.text(), r#"401 {"error":"unauthorized"}"#);
    assert_eq!(world.admin("GET /events").await.json()["data"], serde_json::json!([]));
    world.finish().await;
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let world = World::stripe().start().await;
    let wire = Wire::http2();
    let events = (0..20).map(|_| world.delivery("stripe", "invoice.paid"));
    let answers = join_all(events.map(async |delivery| wire.send(world.ingest(), &delivery).await.expect("an answer").event())).await;
    assert_eq!(answers.into_iter().collect::<BTreeSet<_>>().len(), 20);
    world.finish().await;
}

#[tokio::test]
async fn http2_that_begins_in_pieces_is_http2_all_the_same() {
    let world = World::stripe().start().await;
    let mut stream = TcpStream::connect(world.ingest()).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    for piece in [&b"P"[..], b"R", b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0]] {
        stream.write_all(piece).await.expect("sent");
        // The server's turn: it looks at each piece by itself.
        tokio::task::yield_now().await;
    }
    let mut frame = [0; 9];
    within("the server's settings", stream.read_exact(&mut frame)).await.expect("a frame");
    assert_eq!(frame[3], 4, "SETTINGS (RFC 9113 §6.5): {frame:?}");
    drop(stream);
    world.finish().await;
}

#[tokio::test]
async fn a_sender_can_be_answered_as_it_wishes() {
    let source = Source::new("picky", "hmac").set("response = { status = 200, body = \"OK\" }");
    let world = World::with(source).start().await;
    let delivery = world.delivery("picky", "example");
    assert_eq!(world.deliver(&delivery).await.text(), "200 OK");
    assert_eq!(world.deliver(&delivery).await.text(), "200 OK", "a duplicate too");
    world.finish().await;
}
