//! What one source, one sender and all of them together may take of the server, from both sides of each limit.

use std::time::Duration;

use bytes::Bytes;
use hookfast_tests::wait::{eventually, within};
use hookfast_tests::{Delivery, Source, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

// --- the rate of a source ---

fn orders(line: &str) -> Source {
    Source::new("orders", "hmac").set(line)
}

#[tokio::test]
async fn a_source_takes_its_burst_and_then_an_even_pace() {
    let world = World::with(orders("rate = { per_second = 0.5, burst = 3 }")).source(Source::new("other", "hmac")).start().await;
    for _ in 0..3 {
        world.send("orders", "example").await;
    }
    let delivery = world.delivery("orders", "example");
    let answer = world.deliver(&delivery).await;
    assert_eq!(answer.text(), r#"429 {"error":"too many requests"}"#);
    assert_eq!(answer.headers["retry-after"], "2");
    let told = "429 rate_limited: more requests than the source's `rate` lets through; the sender was told to try again";
    assert_eq!(world.refusals("orders").await, [told]);
    world.send("other", "example").await;

    world.clock.advance(Duration::from_millis(1999));
    let answer = world.deliver(&delivery).await;
    assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &"1".parse().expect("a value")), "rounded up");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.deliver(&delivery).await.status, 202);
    assert_eq!(world.deliver(&world.delivery("orders", "example")).await.status, 429);
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"hookfast_requests_total{source="orders",result="rate_limited"} 3"#), "{metrics}");
    world.finish().await;
}

#[tokio::test]
async fn a_reload_forgets_what_was_counted_only_where_the_rule_is_another() {
    let mut world = World::with(orders("rate = \"2/m\"")).start().await;
    world.send("orders", "example").await;
    world.send("orders", "example").await;
    world.add_source(Source::new("more", "hmac")).await;
    assert_eq!(world.deliver(&world.delivery("orders", "example")).await.status, 429);

    let rate = |world: &World| world.app().current.load().settings.sources["orders"].rate;
    let before = rate(&world);
    world.configure_anew(|file| file.replace("2/m", "3/m"));
    eventually("the new rate", async || rate(&world) != before).await;
    world.send("orders", "example").await;
    world.finish().await;
}

// --- the memory for bodies of all sources ---

const MEBIBYTE: usize = 1 << 20;

/// A connection that has sent `head` and no body.
async fn begin(world: &World, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.ingest()).await.expect("a connection");
    stream.write_all(format!("POST /in/orders HTTP/1.1\r\nhost: test\r\n{head}\r\n\r\n").as_bytes()).await.expect("a head");
    stream
}

async fn one_mebibyte() -> World {
    World::with(Source::new("orders", "hmac")).server("body_budget = \"1 MiB\"").start().await
}

fn of_length(world: &World, length: usize) -> Delivery {
    world.sender("orders").delivery_of(vec![b'a'; length], world.clock.now())
}

async fn until_busy(world: &World, length: usize) {
    eventually("the budget to be taken", async || world.deliver(&of_length(world, length)).await.status == 503).await;
}

#[tokio::test]
async fn bodies_share_the_memory_that_there_is_for_them() {
    let world = one_mebibyte().await;
    let first = begin(&world, &format!("content-length: {}", MEBIBYTE - 1000)).await;
    until_busy(&world, 1001).await;
    assert_eq!(world.deliver(&of_length(&world, 1000)).await.status, 202);
    let answer = world.deliver(&of_length(&world, 1001)).await;
    assert_eq!(answer.text(), r#"503 {"error":"unavailable"}"#);
    assert_eq!(answer.headers["retry-after"], "5");
    let told = "503 busy: bodies on their way in took all of server.body_budget; the sender was told to try again";
    assert_eq!(world.refusals("orders").await.last().map(String::as_str), Some(told));

    drop(first);
    eventually("the memory to be free again", async || world.deliver(&of_length(&world, MEBIBYTE)).await.status == 202).await;
    world.finish().await;
}

#[tokio::test]
async fn a_body_of_no_declared_length_counts_as_the_largest() {
    let world = one_mebibyte().await;
    let mut first = begin(&world, "transfer-encoding: chunked").await;
    until_busy(&world, 1).await;
    first.write_all(b"0\r\n\r\n").await.expect("an end");
    // Answered, if only with a refusal, it takes nothing any more, also while its connection stays.
    eventually("the memory to be free again", async || world.deliver(&of_length(&world, MEBIBYTE)).await.status == 202).await;
    drop(first);
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_never_comes_gives_its_memory_back() {
    let world = World::with(Source::new("orders", "hmac")).server("body_budget = \"1 MiB\"").server("body_timeout = \"200ms\"");
    let world = world.start().await;
    let mut first = begin(&world, &format!("content-length: {MEBIBYTE}")).await;
    let mut answer = Vec::new();
    within("the end of the connection", first.read_to_end(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
    assert_eq!(world.deliver(&of_length(&world, MEBIBYTE)).await.status, 202);
    world.finish().await;
}

// --- one body ---

#[tokio::test]
async fn the_largest_body_of_all_is_stored_to_the_byte() {
    let world = World::with(orders("max_body = \"32 MiB\"")).start().await;
    let delivery = of_length(&world, 32 * MEBIBYTE);
    let event = world.deliver(&delivery).await.event();
    let (_, body) = world.event(event).await.content.expect("content");
    assert_eq!(body, delivery.body);
    assert_eq!(world.deliver(&of_length(&world, 32 * MEBIBYTE + 1)).await.status, 413);
    world.finish().await;
}

#[tokio::test]
async fn a_body_is_bytes_whatever_it_calls_itself() {
    let world = World::with(Source::new("orders", "hmac")).start().await;
    let bodies: [(&str, Bytes); 6] = [
        ("application/json; charset=iso-8859-1", Bytes::from_static(b"{\"name\":\"M\xfcller\"}")),
        ("text/xml; charset=utf-16", Bytes::from_static(b"\xff\xfe<\0a\0/\0>\0")),
        ("application/x-www-form-urlencoded", Bytes::from_static(b"a=1&a=2&b=%00+%ff")),
        ("multipart/form-data; boundary=x", Bytes::from_static(b"--x\r\n\r\n\0\x01\r\n--x--\r\n")),
        ("no/such; type", (0..=255).collect()),
        ("application/octet-stream", Bytes::new()),
    ];
    for (content_type, sent) in bodies {
        let delivery = world.sender("orders").delivery_of(sent.clone(), world.clock.now()).with("content-type", content_type);
        let event = world.deliver(&delivery).await.event();
        let (headers, body) = world.event(event).await.content.expect("content");
        assert_eq!((headers.text("content-type"), body), (Some(content_type), sent));
    }
    world.finish().await;
}

// --- one connection ---

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The error code of the goodbye among a server's frames, if there is one.
fn goodbye(mut frames: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = rest.get(..length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        frames = &rest[length..];
    }
    None
}

/// Streams that are opened and at once reset, as in CVE-2023-44487.
#[tokio::test]
async fn a_peer_that_opens_streams_only_to_reset_them_is_sent_away() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let world = World::stripe().start().await;
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(4, 0, 0, &[]));
    for stream in (1..2000).step_by(2) {
        // POST, http, `/`, and `test` as the authority.
        attack.extend(frame(1, 0x5, stream, b"\x83\x86\x84\x41\x04test"));
        attack.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut stream = TcpStream::connect(world.ingest()).await.expect("a connection");
    let mut told = Vec::new();
    within("the end of the connection", async {
        // It may be cut off in the middle of it.
        let _ = stream.write_all(&attack).await;
        world.send("stripe", "invoice.paid").await;
        let _ = stream.read_to_end(&mut told).await;
    })
    .await;
    assert_eq!(goodbye(&told), Some(ENHANCE_YOUR_CALM), "{told:?}");
    world.finish().await;
}
