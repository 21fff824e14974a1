//! What the front door refuses: the sender hears the same few words whatever the cause, the operator finds the cause.

use std::time::Duration;

use expect_test::{Expect, expect};
use hookfast_tests::wait::within;
use hookfast_tests::{Delivery, Plan, Source, World};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MINUTE: Duration = Duration::from_mins(1);

/// Sends what `change` makes of a good request, and compares the answer and what is kept of it.
async fn check(change: impl FnOnce(&World, Delivery) -> Delivery, expected: Expect) {
    let world = World::stripe().start().await;
    let delivery = change(&world, world.delivery("stripe", "invoice.paid"));
    let answer = world.deliver(&delivery).await;
    let rows = world.refusals("stripe").await;
    expected.assert_eq(&format!("{}\n{}", answer.text(), rows.join("\n")));
    assert_eq!(world.admin("GET /events").await.json()["data"], serde_json::json!([]));
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_was_altered_is_refused() {
    let altered = |_: &World, good: Delivery| {
        let body = String::from_utf8(good.body.to_vec()).expect("text").replace("4900", "1");
        good.with_body(body)
    };
    check(altered, expect![[r#"
        401 {"error":"unauthorized"}
        401 wrong_signature: no live secret of this source makes this signature: the secret differs from the provider's, or the body was altered on its way"#]]).await;
}

#[tokio::test]
async fn another_secret_is_refused() {
    let forged = |world: &World, _| {
        let forger = hookfast_tests::Sender::new("stripe", "stripe", "another-secret");
        forger.delivery("invoice.paid", "evt_forged", world.clock.now())
    };
    check(forged, expect![[r#"
        401 {"error":"unauthorized"}
        401 wrong_signature: no live secret of this source makes this signature: the secret differs from the provider's, or the body was altered on its way"#]]).await;
}

#[tokio::test]
async fn a_request_without_a_signature_is_refused() {
    check(
        |_, good| good.without("stripe-signature"),
        expect![[r#"
        401 {"error":"unauthorized"}
        401 missing_header: header `stripe-signature` is missing; is signing switched on at the provider?"#]],
    )
    .await;
}

#[tokio::test]
async fn two_signatures_are_refused() {
    check(
        |_, good| good.with("stripe-signature", "t=1,v1=00"),
        expect![[r#"
        401 {"error":"unauthorized"}
        401 duplicate_header: header `stripe-signature` came more than once; a proxy may have added one"#]],
    )
    .await;
}

#[tokio::test]
async fn a_replayed_capture_is_refused_once_it_is_old() {
    let stale = |world: &World, good| {
        world.clock.advance(5 * MINUTE + Duration::from_secs(1));
        good
    };
    check(stale, expect![[r#"
        401 {"error":"unauthorized"}
        401 timestamp_too_old: the signed timestamp is 301 s old and the tolerance is 300 s; a late resend, a replayed capture, or a clock that is off"#]]).await;
}

#[tokio::test]
async fn a_signature_from_the_future_is_refused() {
    let early = |world: &World, _| world.sender("stripe").delivery("invoice.paid", "evt_1", world.clock.now() + 6 * MINUTE);
    check(
        early,
        expect![[r#"
        401 {"error":"unauthorized"}
        401 timestamp_too_new: the signed timestamp is 360 s in the future and the tolerance is 300 s; compare this machine's clock"#]],
    )
    .await;
}

#[tokio::test]
async fn a_get_is_told_to_post() {
    let world = World::stripe().start().await;
    let delivery = Delivery { method: Method::GET, ..world.delivery("stripe", "invoice.paid") };
    let answer = world.deliver(&delivery).await;
    assert_eq!(answer.text(), r#"405 {"error":"method not allowed"}"#);
    assert_eq!(answer.headers["allow"], "POST");
    world.finish().await;
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    check(
        |_, good| good.with("content-encoding", "gzip"),
        expect![[r#"
        415 {"error":"unsupported content encoding"}
        415 encoded_body: this Content-Encoding is not accepted; the provider must send the body as it is, or the source allow it in content_encodings"#]],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_source_is_not_found_and_its_request_is_kept() {
    let world = World::stripe().start().await;
    for path in ["/in/strype", "/", "/in/stripe/more", "/in/", "/in/%2e%2e"] {
        let delivery = Delivery { path: path.into(), ..world.delivery("stripe", "invoice.paid") };
        assert_eq!(world.deliver(&delivery).await.text(), r#"404 {"error":"not found"}"#, "{path}");
    }
    let requests = world.admin("GET /requests?cause=unknown_source").await.json();
    assert!(!requests["data"].as_array().expect("a list").is_empty());
    world.finish().await;
}

/// A source that takes bodies of exactly 1 KiB at most.
async fn one_kibibyte() -> World {
    World::with(Source::new("small", "hmac").set("max_body = \"1 KiB\"")).start().await
}

#[tokio::test]
async fn the_largest_body_is_taken_and_one_byte_more_is_not() {
    let world = one_kibibyte().await;
    let of_length = |length| world.sender("small").delivery_of(vec![b'a'; length], world.clock.now());
    assert_eq!(world.deliver(&of_length(1024)).await.status, 202);
    assert_eq!(world.deliver(&of_length(1025)).await.text(), r#"413 {"error":"payload too large"}"#);
    world.finish().await;
}

#[tokio::test]
async fn a_sender_that_is_still_sending_hears_that_its_body_is_too_large() {
    let world = one_kibibyte().await;
    let delivery = world.sender("small").delivery_of(vec![b'a'; 8 << 20], world.clock.now());
    let wire = delivery.on_the_wire();
    // As most clients do: all of the body first, and only then a look at the answer.
    let answer = raw(&world, async |stream| {
        let _ = stream.write_all(&wire).await;
    });
    let answer = answer.await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    assert!(answer.ends_with(r#"{"error":"payload too large"}"#), "{answer:?}");
    assert_eq!(world.refusals("small").await.len(), 1);
    world.finish().await;
}

/// Many clients take a failed write for the end of it, and never look at an answer that has come.
#[tokio::test]
async fn a_refused_sender_may_finish_its_sentence() {
    let world = one_kibibyte().await;
    let wire = world.sender("small").delivery_of(vec![b'a'; 3 << 20], world.clock.now()).on_the_wire();
    let mut stream = TcpStream::connect(world.ingest()).await.expect("a connection");
    let mut answer = String::new();
    within("the end of the connection", async {
        stream.write_all(&wire).await.expect("no broken pipe");
        stream.read_to_string(&mut answer).await.expect("no reset");
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_body_without_a_declared_length_is_cut_off_at_the_limit_too() {
    let world = one_kibibyte().await;
    let head = b"POST /in/small HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
    let answer = raw(&world, async |stream| {
        stream.write_all(head).await.expect("a head");
        while stream.write_all(&chunk).await.is_ok() {}
    });
    let answer = answer.await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    world.finish().await;
}

fn impatient() -> Plan {
    World::stripe().server("header_timeout = \"200ms\"").server("body_timeout = \"200ms\"")
}

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let world = impatient().start().await;
    for start in ["", "P", "POST /in/stripe HTTP/1.1\r\nhost: te", "PRI * HTTP/2.0\r\n"] {
        let answer = raw(&world, async |stream| stream.write_all(start.as_bytes()).await.expect("a start")).await;
        // HTTP/2 says goodbye in frames of its own.
        let is_quiet = answer.is_empty() || start.starts_with("PRI");
        assert!(is_quiet || answer.starts_with("HTTP/1.1 408 "), "{start:?}: {answer:?}");
    }
    world.finish().await;
}

/// A connection costs a look at each byte that comes, and nothing while none does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_head_that_stalls_costs_no_cpu() {
    let world = impatient().start().await;
    let before = cpu_time();
    raw(&world, async |stream| stream.write_all(b"P").await.expect("a byte")).await;
    let spent = cpu_time() - before;
    assert!(spent < Duration::from_millis(50), "{spent:?} of 200 ms");
    world.finish().await;
}

/// What this thread, which runs the listeners too, has spent so far.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_is_cut_off() {
    let world = impatient().start().await;
    let mut stream = TcpStream::connect(world.ingest()).await.expect("a connection");
    let questions = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".repeat(1000);
    within("the end of the connection", async { while stream.write_all(&questions).await.is_ok() {} }).await;
    world.finish().await;
}

#[tokio::test]
async fn a_slow_body_is_answered_and_kept_with_its_cause() {
    let world = impatient().start().await;
    let wire = world.delivery("stripe", "invoice.paid").on_the_wire();
    let answer = raw(&world, async |stream| stream.write_all(&wire[..wire.len() - 1]).await.expect("most of it")).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert_eq!(world.refusals("stripe").await, ["408 body_timeout: the body did not arrive in time"]);
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_event() {
    let world = World::stripe().start().await;
    let wire = world.delivery("stripe", "invoice.paid").on_the_wire();
    raw(&world, async |stream| {
        stream.write_all(&wire[..wire.len() - 1]).await.expect("most of it");
        stream.shutdown().await.expect("an end");
    })
    .await;
    assert_eq!(world.admin("GET /events").await.json()["data"], serde_json::json!([]));
    world.finish().await;
}

#[tokio::test]
async fn strangers_hear_nothing_from_the_admin_api() {
    let world = World::stripe().start().await;
    world.send("stripe", "invoice.paid").await;
    let wire = hookfast_tests::sender::Wire::new();
    let mut delivery = Delivery { method: Method::GET, path: "/api/v1/events".into(), ..world.delivery("stripe", "x") };
    delivery.headers.push("authorization", "Bearer hf_guess");
    let answer = wire.send(world.app().admin.address, &delivery).await.expect("an answer");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("unauthorized")));
    world.finish().await;
}

/// Everything that a raw connection gets back, after `send` has sent.
async fn raw(world: &World, send: impl AsyncFnOnce(&mut TcpStream)) -> String {
    let mut stream = TcpStream::connect(world.ingest()).await.expect("a connection");
    let mut answer = Vec::new();
    within("the end of the connection", async {
        send(&mut stream).await;
        // A reset after the answer does not take back what was received.
        let _ = stream.read_to_end(&mut answer).await;
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}
