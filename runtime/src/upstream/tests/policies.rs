//! An upstream that fails is left alone, is tried again, and is never asked twice for what must happen once.

use super::server::answer;
use super::*;
use crate::domain::{CallFaultClass, Secret};

fn with(base: &str, policies: Policies) -> UpstreamSettings {
    UpstreamSettings { policies, ..settings(base) }
}

fn status(line: &str) -> Reply {
    Reply::Keep(answer(line, "", ""))
}

fn brittle() -> Policies {
    let breaker = BreakerPolicy { minimum_calls: 4, open: SHORT, ..BreakerPolicy::default() };
    Policies { retries: 0, breaker: Some(breaker), ..Policies::default() }
}

async fn told(upstreams: &Upstreams) -> Result<u16, CallFault> {
    upstreams.call(get("/"), &context()).await.0.map(|answer| answer.status)
}

/// Calls that are refused without being made.
async fn refused(upstreams: &Upstreams, server: &Server) -> CallFault {
    server.seen();
    let fault = told(upstreams).await.expect_err("no answer");
    assert!(server.seen().is_empty(), "it was sent");
    assert!(fault.kind.is_upstream_down() && !fault.may_have_happened && fault.retry_after.is_some(), "{fault:?}");
    fault
}

fn crm() -> UpstreamName {
    "crm".parse().expect("a name")
}

fn view(upstreams: &Upstreams) -> UpstreamView {
    upstreams.view("crm", NOW).expect("it is there")
}

/// The states it went through, newest first.
fn states(upstreams: &Upstreams) -> Vec<&'static str> {
    view(upstreams).changes.iter().map(|change| change.to.code()).collect()
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_alone_until_probes_find_it_well() {
    let server = Server::start((0..4).map(|_| status("503 Service Unavailable"))).await;
    let upstreams = upstreams(with(&server.url(), brittle()));
    for _ in 0..4 {
        assert_eq!(told(&upstreams).await, Ok(503));
    }
    let fault = refused(&upstreams, &server).await;
    assert_eq!((fault.kind, fault.class()), (CallFaultKind::BreakerOpen, CallFaultClass::Transient));
    assert_eq!(upstreams.takes(&crm(), NOW), 0);
    tokio::time::sleep(fault.retry_after.expect("a time")).await;
    assert_eq!(upstreams.takes(&crm(), NOW), 3);
    for _ in 0..3 {
        assert_eq!(told(&upstreams).await, Ok(200));
    }
    assert_eq!(states(&upstreams), ["closed", "half_open", "open"]);
    assert_eq!((view(&upstreams).refused.breaker_open, upstreams.takes(&crm(), NOW)), (1, 3), "it recovers step by step");
}

#[tokio::test]
async fn calls_that_are_given_up_by_their_callers_open_it_if_they_took_long() {
    let server = Server::start((0..8).map(|_| Reply::Silence(String::new()))).await;
    let breaker = BreakerPolicy { minimum_calls: 4, slow_after: Some(SHORT), ..BreakerPolicy::default() };
    let upstreams = upstreams(with(&server.url(), Policies { retries: 0, breaker: Some(breaker), ..Policies::default() }));
    let impatient = |time: Duration| {
        let upstreams = &upstreams;
        async move { tokio::time::timeout(time, told(upstreams)).await.expect_err("nobody answers") }
    };
    for _ in 0..4 {
        impatient(SHORT / 3).await;
    }
    assert_eq!(view(&upstreams).state, UpstreamState::Closed, "they gave it no time");
    for _ in 0..4 {
        impatient(SHORT * 2).await;
    }
    assert_eq!(view(&upstreams).state, UpstreamState::Open);
}

#[tokio::test]
async fn a_plugin_with_little_patience_opens_no_breaker() {
    let server = Server::start((0..8).map(|_| Reply::Silence(String::new()))).await;
    let upstreams = upstreams(with(&server.url(), brittle()));
    for _ in 0..8 {
        let request = OutboundRequest { timeout: Some(SHORT / 3), ..get("/") };
        let fault = upstreams.call(request, &context()).await.0.expect_err("nobody answers");
        assert_eq!(fault.kind, CallFaultKind::Timeout);
    }
    assert_eq!(view(&upstreams).state, UpstreamState::Closed);
}

#[tokio::test]
async fn a_plugin_with_more_patience_than_the_operator_hides_no_silence() {
    let server = Server::start((0..8).map(|_| Reply::Silence(String::new()))).await;
    let timeouts = Timeouts { read: SHORT, ..Timeouts::default() };
    let upstreams = upstreams(UpstreamSettings { timeouts, ..with(&server.url(), brittle()) });
    for _ in 0..4 {
        let request = OutboundRequest { timeout: Some(timeouts.total - SHORT), ..get("/") };
        let fault = upstreams.call(request, &context()).await.0.expect_err("nobody answers");
        assert_eq!(fault.kind, CallFaultKind::Timeout);
    }
    assert_eq!(view(&upstreams).state, UpstreamState::Open);
}

#[tokio::test]
async fn without_a_breaker_every_call_is_made() {
    let server = Server::start((0..50).map(|_| status("503 Service Unavailable"))).await;
    let upstreams = upstreams(with(&server.url(), Policies { breaker: None, retries: 0, ..Policies::default() }));
    for _ in 0..50 {
        assert_eq!(told(&upstreams).await, Ok(503));
    }
    assert_eq!(upstreams.takes(&crm(), NOW), u32::MAX);
}

#[tokio::test]
async fn refused_credentials_stop_the_calls_until_a_secret_is_mended_or_an_operator_says_so() {
    let server = Server::start((0..6).map(|number| status(if number % 2 == 0 { "401 Unauthorized" } else { "403 Forbidden" }))).await;
    let with_secret = |secret: &str| UpstreamSettings { auth: Auth::Bearer(Secret::new(secret.as_bytes())), ..settings(&server.url()) };
    let old = upstreams(with_secret("old"));
    for status in [401, 403, 401] {
        assert_eq!(told(&old).await, Ok(status));
    }
    let fault = refused(&old, &server).await;
    assert_eq!((fault.kind, fault.class()), (CallFaultKind::AuthFailed, CallFaultClass::Auth));
    assert!(fault.message.contains("`auth` under [upstreams.crm]"), "{}", fault.message);
    assert_eq!((view(&old).state, old.takes(&crm(), NOW)), (UpstreamState::AuthFailed, 0));

    let unchanged = old.reloaded([with_secret("old")]).expect("good settings");
    assert_eq!(refused(&unchanged, &server).await.kind, CallFaultKind::AuthFailed);
    let mended = unchanged.reloaded([with_secret("new")]).expect("good settings");
    assert_eq!(mended.takes(&crm(), NOW), u32::MAX);
    assert_eq!((view(&mended).why.as_deref(), states(&mended)), (Some("its configuration changed"), vec!["closed", "auth_failed"]));
    for status in [403, 401, 403] {
        assert_eq!(told(&mended).await, Ok(status));
    }
    assert!(mended.reset("crm") && !mended.reset("erp"));
    assert_eq!(told(&mended).await, Ok(200));
}

#[tokio::test]
async fn a_refusal_of_one_resource_or_of_a_plugins_own_credentials_is_an_answer() {
    let refusals = || (0..9).map(|number| status(if number % 3 == 2 { "200 OK" } else { "403 Forbidden" }));
    let server = Server::start(refusals()).await;
    let own = UpstreamSettings { auth: Auth::Bearer(Secret::new(&b"t"[..])), ..settings(&server.url()) };
    let ours = upstreams(own);
    for number in 0..9 {
        assert_eq!(told(&ours).await, Ok(if number % 3 == 2 { 200 } else { 403 }));
    }
    let server = Server::start((0..9).map(|_| status("401 Unauthorized"))).await;
    let theirs = upstreams(settings(&server.url()));
    for _ in 0..9 {
        assert_eq!(told(&theirs).await, Ok(401));
    }
}

#[tokio::test]
async fn tls_that_fails_again_and_again_stops_the_calls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstreams = upstreams(settings(&format!("https://{}", listener.local_addr().expect("an address"))));
    let accepted = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        }
    });
    for _ in 0..3 {
        assert_eq!(told(&upstreams).await.expect_err("a fault").kind, CallFaultKind::Tls);
    }
    accepted.await.expect("three connections");
    let fault = told(&upstreams).await.expect_err("a fault");
    assert_eq!((fault.kind, fault.class()), (CallFaultKind::TlsFailed, CallFaultClass::Auth));
    assert_eq!((view(&upstreams).state, view(&upstreams).refused.tls_failed), (UpstreamState::TlsFailed, 1));
}

#[tokio::test]
async fn a_429_with_its_time_holds_all_calls_for_that_time() {
    let server = Server::start([Reply::Keep(answer("429 Too Many Requests", "retry-after: 120\r\n", ""))]).await;
    let upstreams = upstreams(settings(&server.url()));
    assert_eq!(told(&upstreams).await, Ok(429));
    let fault = refused(&upstreams, &server).await;
    assert_eq!((fault.kind, fault.class()), (CallFaultKind::RateLimited, CallFaultClass::RateLimited));
    assert!(fault.retry_after.is_some_and(|after| after > Duration::from_secs(100)), "{fault:?}");
    assert_eq!((upstreams.takes(&crm(), NOW), upstreams.takes(&crm(), NOW + Duration::from_secs(120))), (0, u32::MAX));
}

#[tokio::test]
async fn a_call_waits_for_its_turn_and_is_told_to_come_again_when_there_is_none() {
    let server = Server::start([Reply::Silence(String::new())]).await;
    let policies = Policies { concurrency: Some(1), wait: SHORT, ..Policies::default() };
    let upstreams = upstreams(with(&server.url(), policies));
    let silent = tokio::spawn({
        let upstreams = upstreams.clone();
        async move { told(&upstreams).await }
    });
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let fault = refused(&upstreams, &server).await;
    assert_eq!(fault.message, "upstream `crm` has no room: as many calls as it takes, 1, are under way");
    silent.abort();
    assert!(silent.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!((told(&upstreams).await, view(&upstreams).in_flight), (Ok(200), 0), "a call that is given up leaves its place");
}

/// How often a server that fails once, so, is asked, and what comes of it.
async fn asked(reply: Reply, request: OutboundRequest, policies: Policies) -> (usize, Result<u16, CallFaultClass>) {
    let server = Server::start([reply]).await;
    let upstreams = upstreams(with(&server.url(), policies));
    let answer = upstreams.call(request, &context()).await.0;
    (server.seen().len(), answer.map(|answer| answer.status).map_err(|fault| fault.class()))
}

#[tokio::test]
async fn a_try_is_repeated_where_that_is_safe_and_may_help() {
    let plain = Policies { retries: 1, ..Policies::default() };
    let idempotent = Policies { idempotent: true, ..plain };
    let method = |method: &str| OutboundRequest { method: method.into(), ..get("/") };
    let step = || OutboundRequest { step: Some("pay".parse().expect("a step")), ..post("x") };
    let bad_gateway = || status("502 Bad Gateway");
    let busy = || Reply::Keep(answer("503 Service Unavailable", "retry-after: 1\r\n", ""));
    for method_name in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        assert_eq!(asked(bad_gateway(), method(method_name), plain).await, (2, Ok(200)), "{method_name}");
    }
    assert_eq!(asked(Reply::Reset, get("/"), plain).await, (2, Ok(200)));
    assert_eq!(asked(Reply::Reset, step(), idempotent).await, (2, Ok(200)));
    assert_eq!(asked(bad_gateway(), step(), idempotent).await, (2, Ok(200)));

    assert_eq!(asked(Reply::Reset, step(), plain).await, (1, Err(CallFaultClass::Ambiguous)));
    assert_eq!(asked(Reply::Reset, post("x"), idempotent).await, (1, Err(CallFaultClass::Ambiguous)), "it has no key");
    assert_eq!(asked(bad_gateway(), method("PATCH"), plain).await, (1, Ok(502)));
    assert_eq!(asked(busy(), get("/"), plain).await, (1, Ok(503)), "it said when");
    assert_eq!(asked(status("500 Internal Server Error"), get("/"), plain).await, (1, Ok(500)));
    assert_eq!(asked(status("429 Too Many Requests"), get("/"), plain).await, (1, Ok(429)));
    assert_eq!(asked(bad_gateway(), get("/"), Policies { retries: 0, ..plain }).await, (1, Ok(502)));
}

#[tokio::test]
async fn each_try_has_the_same_key_and_counts_for_the_breaker() {
    let server = Server::start([status("504 Gateway Timeout"), status("502 Bad Gateway"), status("503 Service Unavailable")]).await;
    let upstreams = upstreams(with(&server.url(), Policies { retries: 2, idempotent: true, ..Policies::default() }));
    let (answer, _) = upstreams.call(with_step("pay"), &context()).await;
    assert_eq!(answer.expect("an answer").status, 503);
    let keys: Vec<_> = server.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys, vec![Some(format!("{EVENT}.billing/pay")); 3]);
    let document = serde_json::to_value(view(&upstreams)).expect("JSON");
    assert_eq!((&document["window"], &document["repeated"]), (&serde_json::json!({ "calls": 3, "failed": 3, "slow": 0 }), &2.into()));
}

#[tokio::test]
async fn what_was_never_sent_is_sent_again_whatever_it_is() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let upstreams = upstreams(with(&format!("http://{free}"), Policies { retries: 2, ..Policies::default() }));
    let fault = upstreams.call(post("x"), &context()).await.0.expect_err("a fault");
    assert_eq!((fault.kind, fault.class()), (CallFaultKind::Connect, CallFaultClass::Transient));
    assert_eq!(view(&upstreams).repeated, 2);
}

#[tokio::test]
async fn repetitions_stay_within_the_total_timeout() {
    let server = Server::start((0..9).map(|_| Reply::Silence(String::new()))).await;
    let mut settings = with(&server.url(), Policies { retries: 5, ..Policies::default() });
    settings.timeouts = Timeouts { connect: SHORT, read: SHORT, total: SHORT * 4 };
    let put = OutboundRequest { method: "PUT".into(), ..get("/") };
    let (result, record) = call(settings, put).await;
    assert_eq!(result.expect_err("a fault").class(), CallFaultClass::Ambiguous);
    // A try and its pause take 200 ms at least.
    assert!((2..=3).contains(&server.seen().len()) && record.ms >= 300, "{} ms", record.ms);
}

#[tokio::test]
async fn an_upstream_that_nobody_has_configured_takes_every_job() {
    let upstreams = upstreams(settings("http://crm"));
    assert_eq!(upstreams.takes(&"erp".parse().expect("a name"), NOW), u32::MAX);
    assert!(upstreams.view("erp", NOW).is_none());
}
