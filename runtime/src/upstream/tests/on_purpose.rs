//! Faults on purpose: a plugin, a policy and the upstream itself see what they would see of a real one.

use super::*;
use crate::domain::CallFaultClass;

fn failing(server: &Server, faults: &str) -> UpstreamSettings {
    let (_, faults) = Faults::parse(&format!("crm:{faults}"), 0).expect("faults");
    let timeouts = Timeouts { connect: SHORT, read: SHORT, total: SHORT * 5 };
    UpstreamSettings { faults, timeouts, ..settings(&server.url()) }
}

/// What a POST comes to, and how many requests the upstream has seen of it.
async fn outcome(faults: &str) -> (Result<OutboundAnswer, CallFault>, u64, usize) {
    let server = Server::start([]).await;
    let (result, record) = call(failing(&server, faults), post("order")).await;
    (result, record.ms, server.seen().len())
}

async fn check_fault(faults: &str, kind: CallFaultKind, class: CallFaultClass, sent: usize) {
    let (result, _, seen) = outcome(faults).await;
    let fault = result.expect_err("an answer came");
    assert_eq!((fault.kind, fault.class(), seen), (kind, class, sent), "{faults}: {}", fault.message);
}

#[tokio::test]
async fn a_fault_is_what_it_is_in_earnest() {
    check_fault("refuse=always", CallFaultKind::Connect, CallFaultClass::Transient, 0).await;
    check_fault("reset=always", CallFaultKind::Reset, CallFaultClass::Ambiguous, 1).await;
    check_fault("truncate=1", CallFaultKind::Reset, CallFaultClass::Ambiguous, 1).await;
    check_fault("hang=always", CallFaultKind::Timeout, CallFaultClass::Ambiguous, 1).await;
    check_fault("drip=always@1m", CallFaultKind::Timeout, CallFaultClass::Ambiguous, 1).await;
    check_fault("latency=always@1m", CallFaultKind::Timeout, CallFaultClass::Transient, 0).await;
}

#[tokio::test]
async fn an_answer_on_purpose_never_reaches_the_upstream() {
    let answered = |faults| async move {
        let (result, _, seen) = outcome(faults).await;
        assert_eq!(seen, 0, "{faults}");
        result.expect("an answer")
    };
    let busy = answered("too_many=always@1500ms").await;
    assert_eq!((busy.status, busy.retry_after(NOW)), (429, Some(Duration::from_secs(2))));
    assert_eq!(answered("server_error=always@502").await.status, 502);
    let page = answered("html=always").await;
    assert_eq!((page.status, page.headers.text("content-type")), (200, Some("text/html; charset=utf-8")));
}

#[tokio::test]
async fn what_is_slow_comes_in_the_end() {
    for (faults, least) in [("latency=always@50ms", 50), ("drip=always@10ms", 100), ("latency=always@50ms,drip=always@10ms", 150)] {
        let (result, ms, seen) = outcome(faults).await;
        assert_eq!((result.expect("an answer").status, seen), (200, 1), "{faults}");
        assert!(ms >= least, "{faults}: {ms} ms");
    }
}

#[tokio::test]
async fn the_first_calls_fail_and_the_upstream_recovers() {
    let server = Server::start([]).await;
    let upstreams = upstreams(failing(&server, "server_error=first:2"));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(upstreams.call(get("/"), &context()).await.0.expect("an answer").status);
    }
    assert_eq!(statuses, [503, 503, 200, 200]);
}

#[tokio::test]
async fn what_is_active_can_be_seen() {
    let server = Server::start([]).await;
    let shown = |upstreams: Upstreams| upstreams.view("crm", NOW).expect("an upstream").faults;
    assert_eq!(shown(upstreams(failing(&server, "refuse=0.1,drip=first:3@1s"))).as_deref(), Some("refuse=0.1,drip=first:3@1s"));
    assert_eq!(shown(upstreams(settings("http://crm"))), None);
}

#[tokio::test]
async fn only_what_was_sent_and_has_effects_may_have_happened() {
    let class = |reply, request: OutboundRequest| async move {
        let server = Server::start([reply]).await;
        let timeouts = Timeouts { read: SHORT, ..Timeouts::default() };
        fault(UpstreamSettings { timeouts, ..settings(&server.url()) }, request).await.class()
    };
    assert_eq!(class(Reply::Reset, post("order")).await, CallFaultClass::Ambiguous);
    assert_eq!(class(Reply::Silence(String::new()), post("order")).await, CallFaultClass::Ambiguous);
    assert_eq!(class(Reply::Reset, get("/")).await, CallFaultClass::Transient);
}
