//! What one source, one sender and all of them together may take of the server, from both sides of each limit.

use bytes::Bytes;
use hookfast_tests::wait::within;
use hookfast_tests::{Delivery, Source, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn orders(line: &str) -> Source {
    Source::new("orders", "hmac").set(line)
}

const MEBIBYTE: usize = 1 << 20;

fn of_length(world: &World, length: usize) -> Delivery {
    world.sender("orders").delivery_of(vec![b'a'; length], world.clock.now())
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
