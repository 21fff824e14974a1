//! Documents that providers publish: read once, from public addresses, within bounds.

use super::super::connector::Guard;
use super::super::fetch::{fetch_public, read};
use super::*;
use crate::domain::Secret;

async fn found(reply: &str) -> Result<(u16, Bytes), CallFault> {
    let server = Server::start([Reply::Close(reply.into())]).await;
    let uri = format!("{}/keys", server.url()).parse().expect("a URL");
    let found = read(uri, Guard::Anywhere, false, Some(&Secret::new(&b"a token\n"[..]))).await;
    let seen = server.seen().remove(0);
    assert!(seen.head.starts_with("GET /keys HTTP/1.1"));
    assert_eq!(seen.header("authorization"), Some("Bearer a token"));
    found
}

#[tokio::test]
async fn a_document_is_read_and_a_redirect_is_not_followed() {
    assert_eq!(found("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await, Ok((200, Bytes::from_static(b"{}"))));
    let redirect = "HTTP/1.1 302 Found\r\nlocation: https://elsewhere.example/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(found(redirect).await, Ok((302, Bytes::new())));
}

#[tokio::test]
async fn a_document_of_256_kib_is_read_and_no_larger_one() {
    let reply = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length));
    assert_eq!(found(&reply(256 << 10)).await.map(|(_, body)| body.len()), Ok(256 << 10));
    assert_eq!(found(&reply((256 << 10) + 1)).await.expect_err("too large").kind, CallFaultKind::ResponseTooLarge);
}

#[tokio::test]
async fn nothing_is_read_in_the_own_network_or_in_the_clear() {
    let server = Server::start([]).await;
    let private = fetch_public(&format!("https://127.0.0.1:{}/keys", server.port()), None).await;
    assert_eq!(private.expect_err("private").kind, CallFaultKind::PrivateAddress);
    let clear = fetch_public(&server.url(), None).await;
    assert_eq!(clear.expect_err("not https").message, "is not https");
    assert!(server.seen().is_empty());
}
