//! What crosses in a call that is answered, and what the journal keeps of it.

use super::server::answer;
use super::*;

#[tokio::test]
async fn a_call_carries_what_the_plugin_said_and_the_answer_comes_back() {
    let reply = answer("201 Created", "X-One: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: timeout=5\r\n", "made");
    let server = Server::start([Reply::Keep(reply)]).await;
    let mut request = OutboundRequest { path: "/v1/customers?email=a%40b&x".into(), ..post("{\"a\":1}") };
    request.headers.push("content-type", "application/json");
    let (result, record) = call(settings(&format!("{}/api/", server.url())), request).await;

    let got = result.expect("an answer");
    let headers: Vec<_> = got.headers.iter().map(|(name, value)| (name, std::str::from_utf8(value).expect("text"))).collect();
    assert_eq!((got.status, &got.body[..]), (201, &b"made"[..]));
    assert_eq!(headers, [("x-one", "1"), ("set-cookie", "a"), ("set-cookie", "b"), ("content-length", "4")]);

    let seen = server.seen().remove(0);
    assert!(seen.head.starts_with("POST /api/v1/customers?email=a%40b&x HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!((seen.header("content-type"), &*seen.body), (Some("application/json"), "{\"a\":1}"));
    assert_eq!(seen.header("host").map(|host| format!("http://{host}")), Some(server.url()));
    assert_eq!(seen.header("user-agent"), Some(concat!("hookfast/", env!("CARGO_PKG_VERSION"))));

    let kept = CallRecord {
        upstream: "crm".into(),
        method: "POST".into(),
        path: "/v1/customers?email&x".into(),
        step: None,
        idempotency_key: None,
        status: Some(201),
        fault: None,
        recorded: false,
        ms: record.ms,
    };
    assert_eq!(record, kept);
}

#[tokio::test]
async fn a_step_is_sent_as_an_idempotency_key_that_hangs_on_the_lineage() {
    let server = Server::start([]).await;
    let (_, record) = call(settings(&server.url()), with_step("create.customer")).await;
    let key = format!("{EVENT}.billing/create.customer");
    assert_eq!(server.seen()[0].header("idempotency-key"), Some(&*key));
    assert_eq!((record.step.as_deref(), record.idempotency_key), (Some("create.customer"), Some(key)));
}

#[tokio::test]
async fn without_a_step_the_plugin_may_send_its_own_key_and_agent() {
    let mut request = with_header("idempotency-key", "mine");
    request.headers.push("user-agent", "crm-sync/2");
    let seen = sent(Auth::None, request).await;
    assert_eq!((seen.header("idempotency-key"), seen.header("user-agent")), (Some("mine"), Some("crm-sync/2")));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::start([]).await;
    let redirecting =
        Server::start([Reply::Keep(answer("307 Temporary Redirect", &format!("Location: {}/x\r\n", server.url()), ""))]).await;
    let (result, _) = call(settings(&redirecting.url()), post("secret")).await;
    let got = result.expect("an answer");
    assert_eq!((got.status, got.headers.text("location")), (307, Some(&*format!("{}/x", server.url()))));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn error_statuses_are_answers() {
    let server = Server::start([Reply::Keep(answer("503 Service Unavailable", "retry-after: 7\r\n", "busy"))]).await;
    let (result, record) = call(settings(&server.url()), get("/")).await;
    assert_eq!(result.expect("an answer").headers.text("retry-after"), Some("7"));
    assert_eq!((record.status, record.fault), (Some(503), None));
}

#[tokio::test]
async fn calls_share_a_connection_that_is_kept_alive() {
    let server = Server::start([]).await;
    let upstreams = upstreams(settings(&server.url()));
    for _ in 0..3 {
        upstreams.clone().call(post("x"), &context()).await.0.expect("an answer");
    }
    assert_eq!(server.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0, 0]);
}

#[tokio::test]
async fn an_answer_in_many_pieces_is_put_together() {
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n0\r\nx-trailer: 1\r\n\r\n";
    let server = Server::start([Reply::Keep(chunks.into())]).await;
    let got = call(settings(&server.url()), get("/")).await.0.expect("an answer");
    assert_eq!((&got.body[..], got.headers.len()), (&b"abcdef"[..], 0));
}

#[tokio::test]
async fn the_length_that_a_head_request_asks_for_is_not_a_body() {
    let server = Server::start([Reply::Keep("HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\n\r\n".into())]).await;
    let request = OutboundRequest { method: "HEAD".into(), ..get("/") };
    let got = call(settings(&server.url()), request).await.0.expect("an answer");
    assert_eq!((got.headers.text("content-length"), got.body.len()), (Some("9000000000"), 0));
}

#[tokio::test]
async fn the_command_line_reaches_its_own_machine() {
    let server = Server::start([Reply::Keep(answer("404 Not Found", "", "none"))]).await;
    let headers = [("authorization", Bytes::from_static(b"Bearer t1"))].into_iter().collect();
    let got = fetch("GET", &format!("{}/api/v1/events?limit=1", server.url()), headers, Bytes::new(), SHORT * 10).await;
    assert_eq!(got.expect("an answer").status, 404);
    let seen = server.seen().remove(0);
    assert!(seen.head.starts_with("GET /api/v1/events?limit=1 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("authorization"), Some("Bearer t1"));
}

#[tokio::test]
async fn the_command_line_learns_what_failed_and_where() {
    let fetch = |url| fetch("GET", url, Headers::default(), Bytes::new(), SHORT * 10);
    let fault = fetch("http://127.0.0.1:1/").await.expect_err("a fault");
    assert_eq!(fault, CallFault::new(CallFaultKind::Connect, "no connection could be made to 127.0.0.1:1"));
    for url in ["127.0.0.1:1/x", "/x", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/"] {
        assert_eq!(fetch(url).await.expect_err("a fault").kind, CallFaultKind::InvalidRequest, "{url}");
    }
}
