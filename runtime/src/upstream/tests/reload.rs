//! A reload changes what was changed, and leaves the open connections of the rest alone.

use super::*;

#[tokio::test]
async fn an_unchanged_upstream_keeps_its_connections_and_a_changed_one_does_not() {
    let server = Server::start([]).await;
    let before = upstreams(settings(&server.url()));
    let same = before.reloaded([settings(&server.url())]).expect("good settings");
    let changed = same.reloaded([UpstreamSettings { response_bytes_max: 9, ..settings(&server.url()) }]).expect("good settings");
    for upstreams in [&before, &same, &changed] {
        upstreams.call(get("/"), &context()).await.0.expect("an answer");
    }
    assert_eq!(server.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0, 1]);
}

#[tokio::test]
async fn an_upstream_that_is_no_longer_configured_is_unknown() {
    let after = upstreams(settings("http://crm")).reloaded([]).expect("good settings");
    let fault = after.call(get("/"), &context()).await.0.expect_err("a fault");
    assert_eq!(fault.kind, CallFaultKind::UnknownUpstream);
}
