//! Each way in which no answer comes, from a server that really behaves so, or a request that never leaves.

use std::net::TcpListener;

use super::server::answer;
use super::*;

fn impatient(base: &str) -> UpstreamSettings {
    UpstreamSettings { timeouts: Timeouts { connect: SHORT, read: SHORT, total: SHORT * 20 }, ..settings(base) }
}

/// The server has read the request by the time that it misbehaves; but a GET has no effect.
async fn check(reply: Reply, kind: CallFaultKind, message: &str) {
    let server = Server::start([reply]).await;
    let fault = fault(UpstreamSettings { response_bytes_max: 8, ..impatient(&server.url()) }, get("/")).await;
    assert_eq!(fault, CallFault::new(kind, message));
}

#[tokio::test]
async fn silence_after_the_request_or_in_the_answer_is_a_timeout() {
    let message = "upstream `crm` was silent for 150ms";
    check(Reply::Silence(String::new()), CallFaultKind::Timeout, message).await;
    check(Reply::Silence("HTTP/1.1 200 OK\r\n".into()), CallFaultKind::Timeout, message).await;
    check(Reply::Silence("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc".into()), CallFaultKind::Timeout, message).await;
}

#[tokio::test]
async fn an_answer_that_drips_for_ever_ends_with_the_total_timeout() {
    let server = Server::start([Reply::Drip("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".into())]).await;
    let mut settings = impatient(&server.url());
    settings.timeouts.total = SHORT * 3;
    let (result, record) = call(settings, get("/")).await;
    assert_eq!(result.expect_err("a fault").message, "upstream `crm` had not answered in full within 450ms");
    assert!((450..5_000).contains(&record.ms), "{} ms", record.ms);
}

#[tokio::test]
async fn a_plugin_can_shorten_the_total_timeout_and_not_lengthen_it() {
    let server = Server::start([Reply::Silence(String::new()), Reply::Silence(String::new())]).await;
    let asking = |timeout| OutboundRequest { timeout: Some(timeout), ..get("/") };
    let within = |total| UpstreamSettings { timeouts: Timeouts { total, ..Timeouts::default() }, ..settings(&server.url()) };
    let shortened = fault(within(SHORT * 100), asking(SHORT)).await;
    let capped = fault(within(SHORT), asking(SHORT * 100)).await;
    assert_eq!((shortened.kind, &shortened), (CallFaultKind::Timeout, &capped));
    assert_eq!(capped.message, "upstream `crm` had not answered in full within 150ms");
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_is_a_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("https://{}", listener.local_addr().expect("an address"));
    let fault = fault(impatient(&base), get("/")).await;
    assert_eq!(fault, CallFault::new(CallFaultKind::Timeout, "no connection to upstream `crm` within 150ms"));
}

#[tokio::test]
async fn a_refused_connection_and_a_name_that_does_not_exist_are_connect_faults() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let refused = fault(settings(&format!("http://{free}")), get("/")).await;
    assert_eq!(refused, CallFault::new(CallFaultKind::Connect, "no connection could be made to upstream `crm`"));
    let nowhere = fault(settings("http://nowhere.invalid"), get("/")).await; // RFC 6761 §6.4: never exists
    assert_eq!(nowhere, CallFault::new(CallFaultKind::Connect, "the host name of upstream `crm` could not be resolved"));
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_reset() {
    let message = "the connection to upstream `crm` broke before the answer was complete";
    check(Reply::Reset, CallFaultKind::Reset, message).await;
    check(Reply::Close(String::new()), CallFaultKind::Reset, message).await;
    check(Reply::Close("HTTP/1.1 200 OK\r\n".into()), CallFaultKind::Reset, message).await;
    check(Reply::Close("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc".into()), CallFaultKind::Reset, message).await;
    check(Reply::Close("no HTTP at all\r\n\r\n".into()), CallFaultKind::Reset, "upstream `crm` sent an answer that is not valid HTTP")
        .await;
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_fault() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        std::future::pending::<()>().await;
    });
    let fault = fault(settings(&base), get("/")).await;
    assert_eq!((fault.kind, fault.may_have_happened), (CallFaultKind::Tls, false), "{}", fault.message);
}

#[tokio::test]
async fn an_answer_at_the_cap_passes_and_one_byte_more_does_not() {
    let message = "the answer of upstream `crm` is larger than the 8 bytes allowed";
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    // Refused by its announced length: the rest never comes.
    check(Reply::Silence("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".into()), CallFaultKind::ResponseTooLarge, message).await;
    check(Reply::Silence(format!("{endless}9\r\n123456789\r\n")), CallFaultKind::ResponseTooLarge, message).await;
    check(Reply::Silence(format!("{endless}5\r\n12345\r\n4\r\n6789\r\n")), CallFaultKind::ResponseTooLarge, message).await;
    check(Reply::Drip("HTTP/1.1 200 OK\r\n\r\n".into()), CallFaultKind::ResponseTooLarge, message).await;

    let server = Server::start([Reply::Keep(answer("200 OK", "", "12345678"))]).await;
    let (result, _) = call(UpstreamSettings { response_bytes_max: 8, ..settings(&server.url()) }, get("/")).await;
    assert_eq!(result.expect("an answer").body, "12345678");
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_too_large() {
    let message = "the headers of the answer of upstream `crm` are too many or too large";
    for headers in ["x: y\r\n".repeat(101), format!("x: {}\r\n", "y".repeat(70_000))] {
        check(Reply::Keep(answer("200 OK", &headers, "")), CallFaultKind::ResponseTooLarge, message).await;
    }
}

#[tokio::test]
async fn a_name_that_is_no_upstream_is_told_and_kept_short() {
    let request = OutboundRequest { upstream: "x".repeat(1000), ..get("/") };
    let (result, record) = call(settings("http://crm"), request).await;
    assert_eq!(result.expect_err("a fault").kind, CallFaultKind::UnknownUpstream);
    assert_eq!((record.upstream.len(), record.fault.as_deref()), (64, Some("unknown_upstream")));
}

#[tokio::test]
async fn invalid_requests_never_leave() {
    let server = Server::start([]).await;
    let method = |method: &str| OutboundRequest { method: method.into(), ..get("/") };
    let keyed = OutboundRequest { step: with_step("s").step, ..with_header("idempotency-key", "mine") };
    let requests = [
        method("CONNECT"),
        method("TRACE"),
        method("post"),
        method("GET / HTTP/1.1\r\nx:"),
        get("//evil.example/"),
        get("/../admin"),
        get("/%2e%2e/admin"),
        get("/a b"),
        with_header("host", "evil.example"),
        with_header("content-length", "0"),
        with_header("transfer-encoding", "chunked"),
        with_header("x-a", "1\r\nhost: evil"),
        keyed,
    ];
    for request in requests {
        let asked = format!("{request:?}");
        assert_eq!(fault(settings(&server.url()), request).await.kind, CallFaultKind::InvalidRequest, "{asked}");
    }
    assert!(server.seen().is_empty());
}
