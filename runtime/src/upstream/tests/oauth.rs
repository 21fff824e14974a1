//! Tokens of an authorization server: asked for once, kept, renewed, and never shown.

use futures_util::future::join_all;

use super::server::answer;
use super::*;
use crate::domain::{CallFaultClass, Secret};

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes())
}

fn oauth(token_server: &Server) -> OAuth {
    OAuth {
        token_url: token_url(&format!("{}/token?tenant=1", token_server.url())).expect("a URL"),
        client_id: "my client".into(),
        client_secret: secret("s:ä/&"),
        style: ClientAuthentication::Basic,
        scope: None,
        audience: None,
        refresh_token: None,
        parameters: Vec::new(),
    }
}

fn with(oauth: OAuth, upstream: &Server) -> UpstreamSettings {
    UpstreamSettings { auth: Auth::OAuth(oauth), ..settings(&upstream.url()) }
}

/// A token that is good for so many seconds.
pub(in crate::upstream) fn token(name: &str, seconds: u32) -> Reply {
    let body = format!(r#"{{"access_token":"{name}","token_type":"Bearer","expires_in":{seconds}}}"#);
    Reply::Keep(answer("200 OK", "content-type: application/json\r\n", &body))
}

fn status(line: &str) -> Reply {
    Reply::Keep(answer(line, "", ""))
}

fn bearers(upstream: &Server) -> Vec<String> {
    upstream.seen().iter().map(|seen| seen.header("authorization").unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_client_says_who_it_is_in_a_header_or_in_the_body() {
    let upstream = Server::start([]).await;
    let token_server = Server::start([token("t1", 60), token("t2", 60)]).await;
    let scoped = OAuth { scope: Some("read write".into()), audience: Some("https://crm".into()), ..oauth(&token_server) };
    let resource = vec![("resource".to_owned(), "a/b".to_owned())];
    let body = OAuth { style: ClientAuthentication::Body, parameters: resource, ..oauth(&token_server) };
    for settings in [with(scoped, &upstream), with(body, &upstream)] {
        call(settings, get("/")).await.0.expect("an answer");
    }
    assert_eq!(bearers(&upstream), ["Bearer t1", "Bearer t2"]);

    let seen = token_server.seen();
    assert!(seen[0].head.starts_with("POST /token?tenant=1 HTTP/1.1\r\n"), "{}", seen[0].head);
    assert_eq!(seen[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    // python: base64.b64encode(b"my+client:s%3A%C3%A4%2F%26"), both halves form-encoded (RFC 6749 §2.3.1)
    assert_eq!(seen[0].header("authorization"), Some("Basic bXkrY2xpZW50OnMlM0ElQzMlQTQlMkYlMjY="));
    assert_eq!(seen[0].body, "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fcrm");
    assert_eq!(seen[1].header("authorization"), None);
    assert_eq!(seen[1].body, "grant_type=client_credentials&resource=a%2Fb&client_id=my+client&client_secret=s%3A%C3%A4%2F%26");
}

#[tokio::test]
async fn fifty_calls_at_once_ask_for_one_token_and_later_ones_use_it() {
    let upstream = Server::start([]).await;
    let token_server = Server::start([token("t1", 3600)]).await;
    let upstreams = upstreams(with(oauth(&token_server), &upstream));
    let calls = (0..50).map(|_| async { upstreams.call(get("/"), &context()).await.0.expect("an answer").status });
    assert_eq!(join_all(calls).await, [200; 50]);
    upstreams.call(get("/"), &context()).await.0.expect("an answer");
    assert_eq!(token_server.seen().len(), 1);
    assert_eq!(bearers(&upstream), ["Bearer t1"; 51]);
}

#[tokio::test]
async fn calls_that_wait_for_the_same_token_share_its_failure() {
    let upstream = Server::start([]).await;
    let token_server = Server::start((0..50).map(|_| status("503 Service Unavailable"))).await;
    let upstreams = upstreams(with(oauth(&token_server), &upstream));
    let calls = (0..50).map(|_| async { upstreams.call(get("/"), &context()).await.0.expect_err("no token").kind });
    assert_eq!(join_all(calls).await, [CallFaultKind::Connect; 50]);
    assert_eq!((token_server.seen().len(), upstream.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_token_that_has_expired_is_asked_for_again() {
    let upstream = Server::start([]).await;
    let token_server = Server::start([token("t1", 0), token("t2", 0)]).await;
    let upstreams = upstreams(with(oauth(&token_server), &upstream));
    for _ in 0..2 {
        upstreams.call(get("/"), &context()).await.0.expect("an answer");
    }
    assert_eq!(bearers(&upstream), ["Bearer t1", "Bearer t2"]);
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_replaced_once() {
    let upstream = Server::start([status("401 Unauthorized")]).await;
    let token_server = Server::start([token("t1", 3600), token("t2", 3600), token("t3", 3600)]).await;
    let upstreams = upstreams(with(oauth(&token_server), &upstream));
    let made = upstreams.call(post("order"), &context()).await.0.expect("an answer");
    assert_eq!(made.status, 200);
    let seen = upstream.seen();
    let sent: Vec<_> = seen.iter().map(|seen| (seen.header("authorization"), &*seen.body)).collect();
    assert_eq!(sent, [(Some("Bearer t1"), "order"), (Some("Bearer t2"), "order")]);
    assert_eq!(token_server.seen().len(), 2);
}

#[tokio::test]
async fn an_upstream_that_refuses_every_token_is_asked_twice_in_a_try() {
    let upstream = Server::start((0..2).map(|_| status("401 Unauthorized"))).await;
    let token_server = Server::start([token("t1", 3600), token("t2", 3600)]).await;
    let (result, record) = call(with(oauth(&token_server), &upstream), get("/")).await;
    assert_eq!((result.expect("an answer").status, record.status), (401, Some(401)));
    assert_eq!((upstream.seen().len(), token_server.seen().len()), (2, 2));
}

#[tokio::test]
async fn other_credentials_are_sent_once_however_they_are_received() {
    let upstream = Server::start([status("401 Unauthorized")]).await;
    let (result, _) = call(UpstreamSettings { auth: Auth::Bearer(secret("t")), ..settings(&upstream.url()) }, get("/")).await;
    assert_eq!((result.expect("an answer").status, upstream.seen().len()), (401, 1));
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_used_from_then_on() {
    let upstream = Server::start([]).await;
    let rotating = |name| {
        let body = format!(r#"{{"access_token":"t","token_type":"bearer","expires_in":0,"refresh_token":"{name}"}}"#);
        Reply::Keep(answer("200 OK", "", &body))
    };
    let token_server = Server::start([rotating("r2"), rotating("r3"), token("t", 0), token("t", 0), rotating("r4"), token("t", 0)]).await;
    let mut settings = with(OAuth { refresh_token: Some(secret("r1")), ..oauth(&token_server) }, &upstream);
    let first = upstreams(settings.clone());
    let mut upstreams = first.reloaded([settings.clone()]).expect("usable");
    for _ in 0..4 {
        upstreams.call(get("/"), &context()).await.0.expect("an answer");
        // A change of anything else does not bring the first one back.
        settings.redirects_max += 1;
        upstreams = upstreams.reloaded([settings.clone()]).expect("usable");
    }
    // An attempt that began before the reloads asks with the newest, and what it is given is the newest for all.
    for upstreams in [&first, &upstreams] {
        upstreams.call(get("/"), &context()).await.0.expect("an answer");
    }
    let bodies: Vec<_> = token_server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["r1", "r2", "r3", "r3", "r3", "r4"].map(|token| format!("grant_type=refresh_token&refresh_token={token}")));
}

#[tokio::test]
async fn a_client_that_is_refused_is_an_auth_fault_without_its_secret() {
    let upstream = Server::start([]).await;
    let refusing = Reply::Keep(answer("401 Unauthorized", "", r#"{"error":"invalid_client","error_description":"hunter2"}"#));
    let token_server = Server::start([refusing]).await;
    let settings = with(OAuth { client_secret: secret("hunter2"), ..oauth(&token_server) }, &upstream);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let fault = fault(settings, post("x")).await;
    let message = "the token endpoint of upstream `crm` refuses the credentials it is asked with: it answered 401 invalid_client";
    assert_eq!(fault, CallFault::new(CallFaultKind::AuthFailed, message));
    assert_eq!((fault.class(), upstream.seen().len()), (CallFaultClass::Auth, 0));
}

#[tokio::test]
async fn a_token_endpoint_that_breaks_or_hangs_is_a_passing_fault_of_a_call_that_was_not_made() {
    let upstream = Server::start([]).await;
    for (reply, kind) in [
        (Reply::Reset, CallFaultKind::Reset),
        (Reply::Silence(String::new()), CallFaultKind::Timeout),
        (Reply::Keep(answer("200 OK", "", "<html>")), CallFaultKind::Connect),
    ] {
        let token_server = Server::start([reply]).await;
        let mut settings = with(oauth(&token_server), &upstream);
        settings.timeouts.read = SHORT;
        let fault = fault(settings, post("x")).await;
        assert_eq!((fault.kind, fault.class()), (kind, CallFaultClass::Transient), "{}", fault.message);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_token_endpoint_inside_the_own_network_needs_the_operators_leave() {
    let token_server = Server::start([]).await;
    let settings = UpstreamSettings { allow_private: false, auth: Auth::OAuth(oauth(&token_server)), ..settings("http://crm") };
    let fault = fault(settings, get("/")).await;
    assert_eq!(fault.kind, CallFaultKind::PrivateAddress);
    assert!(fault.message.contains("token endpoint of upstream `crm`") && fault.message.contains("[upstreams.crm]"), "{}", fault.message);
    assert!(token_server.seen().is_empty());
}

#[tokio::test]
async fn a_plugin_cannot_bring_a_token_of_its_own() {
    let upstream = Server::start([]).await;
    let token_server = Server::start([token("t1", 60)]).await;
    let fault = fault(with(oauth(&token_server), &upstream), with_header("authorization", "mine")).await;
    assert_eq!((fault.kind, upstream.seen().len()), (CallFaultKind::InvalidRequest, 0));
}
