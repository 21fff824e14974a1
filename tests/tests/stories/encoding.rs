//! Bodies under a content coding: proven as they were sent, kept as what they say, and never unpacked for strangers.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hookfast_tests::{Delivery, Source, World};

fn gzip(body: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

async fn that_takes_gzip(provider: &str, line: &str) -> World {
    World::with(Source::new("orders", provider).set("content_encodings = [\"gzip\"]").set(line)).start().await
}

/// A request whose packed body is signed, as it should be.
fn packed(world: &World, body: &[u8]) -> Delivery {
    let sent = gzip(body, Compression::best());
    world.sender("orders").delivery_of(sent, world.clock.now()).with("content-encoding", "gzip")
}

/// The answer's status and the last refusal's cause, where it is refused.
async fn told(world: &World, delivery: &Delivery) -> String {
    let answer = world.deliver(delivery).await;
    let refusals = world.refusals("orders").await;
    let last = refusals.last().filter(|_| answer.status != 202);
    last.map_or_else(|| answer.status.to_string(), |row| row.split(':').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_packed_body_is_proven_as_sent_and_kept_unpacked() {
    let world = that_takes_gzip("stripe", "").await;
    let plain = world.delivery("orders", "invoice.paid").body;
    let event = world.deliver(&packed(&world, &plain)).await.event();
    let event = world.event(event).await;
    assert_eq!(event.event_type.as_deref(), Some("invoice.paid"));
    let (headers, body) = event.content.expect("content");
    assert_eq!(body, plain);
    assert_eq!(headers.text("content-encoding"), Some("identity"));
    assert_eq!(headers.text("content-length"), Some(plain.len().to_string().as_str()));
    world.finish().await;
}

#[tokio::test]
async fn a_proof_of_the_unpacked_body_is_no_proof() {
    let world = that_takes_gzip("stripe", "").await;
    let plain = world.delivery("orders", "invoice.paid");
    let sent = gzip(&plain.body, Compression::best());
    assert_eq!(told(&world, &plain.with_body(sent).with("content-encoding", "gzip")).await, "401 wrong_signature");
    world.finish().await;
}

#[tokio::test]
async fn one_message_that_is_packed_in_two_ways_is_one_event() {
    let world = that_takes_gzip("hmac", "").await;
    let of = |level| {
        let delivery = world.sender("orders").delivery_of(gzip(b"a heartbeat of no id", level), world.clock.now());
        delivery.with("content-encoding", "gzip")
    };
    let (best, none) = (of(Compression::best()), of(Compression::none()));
    assert_ne!(best.body, none.body);
    assert_eq!(world.deliver(&best).await.event(), world.deliver(&none).await.event());
    world.finish().await;
}

#[tokio::test]
async fn deflate_is_the_zlib_format() {
    let world = World::with(Source::new("orders", "hmac").set("content_encodings = [\"gzip\", \"deflate\"]")).start().await;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"{\"number\":1}").expect("memory");
    let delivery = world.sender("orders").delivery_of(encoder.finish().expect("memory"), world.clock.now());
    let event = world.deliver(&delivery.with("content-encoding", "deflate")).await.event();
    assert_eq!(&world.event(event).await.content.expect("content").1[..], b"{\"number\":1}");
    world.finish().await;
}

#[tokio::test]
async fn only_what_the_source_allows_is_taken() {
    let world = that_takes_gzip("hmac", "").await;
    for header in ["deflate", "br", "gzip, gzip", "identity, br", ""] {
        let delivery = world.delivery("orders", "example").with("content-encoding", header);
        assert_eq!(told(&world, &delivery).await, "415 encoded_body", "{header}");
    }
    let twice = packed(&world, b"{}").with("content-encoding", "gzip");
    assert_eq!(told(&world, &twice).await, "415 encoded_body");
    assert_eq!(told(&world, &world.delivery("orders", "example").with("content-encoding", "Identity")).await, "202");
    world.finish().await;
}

#[tokio::test]
async fn what_a_body_becomes_is_bounded_as_what_is_sent() {
    let world = that_takes_gzip("hmac", "max_body = \"1 KiB\"").await;
    assert_eq!(told(&world, &packed(&world, &[b'a'; 1024])).await, "202");
    assert_eq!(told(&world, &packed(&world, &[b'a'; 1025])).await, "413 decoded_body_too_large");
    world.finish().await;
}

#[tokio::test]
async fn a_bomb_is_put_out_at_a_hundred_times_its_size() {
    let world = that_takes_gzip("hmac", "").await;
    let bomb = packed(&world, &vec![b'a'; 1 << 20]);
    let limit = bomb.body.len() * 100;
    assert!(limit < 1 << 20, "{limit}");
    let answer = world.deliver(&bomb).await;
    assert_eq!(answer.text(), r#"413 {"error":"payload too large"}"#);
    let told = format!(
        "413 decoded_body_too_large: the decoded body is over {limit} bytes: the source's max_body, or a hundred times what was sent"
    );
    assert_eq!(world.refusals("orders").await, [told]);
    world.finish().await;
}

#[tokio::test]
async fn a_stranger_s_body_is_not_unpacked_and_a_broken_one_is_no_event() {
    let world = that_takes_gzip("hmac", "").await;
    let stranger = hookfast_tests::Sender::new("orders", "hmac", "another-secret");
    let bomb = gzip(&vec![b'a'; 1 << 20], Compression::best());
    let forged = stranger.delivery_of(bomb, world.clock.now()).with("content-encoding", "gzip");
    assert_eq!(told(&world, &forged).await, "401 wrong_signature");
    let plain = world.delivery("orders", "example").with("content-encoding", "gzip");
    assert_eq!(told(&world, &plain).await, "400 encoding_broken");
    world.finish().await;
}
