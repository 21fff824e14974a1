//! The last good answer stands in for one that does not come, and says how old it is.

use super::server::answer;
use super::*;

fn remembering(base: &str) -> UpstreamSettings {
    UpstreamSettings { stale_if_error: Some(Duration::from_mins(10)), ..settings(base) }
}

fn busy() -> Reply {
    Reply::Keep(answer("503 Service Unavailable", "", "busy"))
}

#[tokio::test]
async fn a_failing_upstream_is_stood_in_for_and_the_journal_keeps_what_was() {
    let server = Server::start([Reply::Keep(answer("200 OK", "etag: \"1\"\r\n", "good")), busy(), Reply::Reset]).await;
    let upstreams = upstreams(remembering(&server.url()));
    let fresh = upstreams.call(get("/x"), &context()).await.0.expect("an answer");
    assert_eq!(fresh.stale_for, None);

    for (status, fault) in [(Some(503), None), (None, Some("reset"))] {
        let (result, record) = upstreams.call(get("/x"), &context()).await;
        let stale = result.expect("an answer");
        assert_eq!((stale.status, &stale.body[..], stale.headers.text("etag")), (200, &b"good"[..], Some("\"1\"")));
        assert!(stale.stale_for.is_some_and(|age| age < Duration::from_mins(1)), "{:?}", stale.stale_for);
        assert!(!stale.is_final(), "no step is recorded with it");
        assert_eq!((record.status, record.fault.as_deref()), (status, fault));
    }
    let recovered = upstreams.call(get("/x"), &context()).await.0.expect("an answer");
    assert_eq!((&recovered.body[..], recovered.stale_for), (&b"ok"[..], None));
}

#[tokio::test]
async fn nothing_stands_in_for_another_request_or_another_plugins() {
    let server = Server::start([Reply::Keep(answer("200 OK", "", "good"))].into_iter().chain((0..6).map(|_| busy()))).await;
    let upstreams = upstreams(remembering(&server.url()));
    upstreams.call(get("/x?a=1"), &context()).await.0.expect("an answer");

    let other = CallContext { plugin: "other".parse().expect("a name"), ..context() };
    let mut accepting = get("/x?a=1");
    accepting.headers.push("accept", "text/html");
    for (request, context) in [
        (get("/x?a=1"), other),
        (get("/x?a=2"), context()),
        (accepting, context()),
        (OutboundRequest { path: "/x?a=1".into(), ..post("") }, context()),
        (OutboundRequest { method: "HEAD".into(), ..get("/x?a=1") }, context()),
    ] {
        let asked = format!("{request:?}");
        assert_eq!(upstreams.call(request, &context).await.0.expect("an answer").status, 503, "{asked}");
    }
    assert_eq!(upstreams.call(get("/x?a=1"), &context()).await.0.expect("an answer").status, 200);
}

#[tokio::test]
async fn an_upstream_for_which_it_is_not_asked_remembers_nothing() {
    let server = Server::start([Reply::Keep(answer("200 OK", "", "good")), busy()]).await;
    let upstreams = upstreams(settings(&server.url()));
    upstreams.call(get("/"), &context()).await.0.expect("an answer");
    assert_eq!(upstreams.call(get("/"), &context()).await.0.expect("an answer").status, 503);
}
