//! Redirects are followed as far as the operator allows, and never to where the credentials are not meant for.

use super::server::answer;
use super::*;
use crate::domain::Secret;

fn following(server: &Server, redirects_max: u32) -> UpstreamSettings {
    let auth = Auth::Bearer(Secret::new(&b"t1"[..]));
    UpstreamSettings { redirects_max, auth, ..settings(&server.url()) }
}

fn to(status: &str, location: &str) -> Reply {
    Reply::Keep(answer(status, &format!("location: {location}\r\n"), ""))
}

fn lines(server: &Server) -> Vec<String> {
    let line = |seen: &Seen| format!("{} {}", seen.head.split(" HTTP").next().unwrap_or_default(), seen.body);
    server.seen().iter().map(line).collect()
}

#[tokio::test]
async fn each_status_keeps_or_changes_the_method_as_its_rfc_says() {
    for (method, status, second) in [
        ("POST", "301 Moved Permanently", "GET /x "),
        ("POST", "302 Found", "GET /x "),
        ("POST", "303 See Other", "GET /x "),
        ("PUT", "303 See Other", "GET /x "),
        ("PUT", "302 Found", "PUT /x body"),
        ("POST", "307 Temporary Redirect", "POST /x body"),
        ("POST", "308 Permanent Redirect", "POST /x body"),
    ] {
        let server = Server::start([to(status, "/x")]).await;
        let request = OutboundRequest { method: method.into(), ..post("body") };
        assert_eq!(call(following(&server, 1), request).await.0.expect("an answer").status, 200);
        assert_eq!(lines(&server), [format!("{method} / body"), second.to_owned()], "{status}");
    }
}

#[tokio::test]
async fn credentials_go_along_and_what_described_the_body_goes_with_it() {
    let server = Server::start([to("303 See Other", "x")]).await;
    let mut request = post("{}");
    request.headers.push("content-type", "application/json");
    request.headers.push("x-own", "1");
    call(following(&server, 1), request).await.0.expect("an answer");
    let seen = server.seen().remove(1);
    let shown = ["authorization", "x-own", "content-type"].map(|name| seen.header(name));
    assert_eq!(shown, [Some("Bearer t1"), Some("1"), None]);
}

#[tokio::test]
async fn a_signature_over_the_path_is_made_anew_for_each_hop() {
    let server = Server::start([to("307 Temporary Redirect", "/x")]).await;
    let signing = HmacSigning {
        secret: Secret::new(&b"k"[..]),
        algorithm: HmacAlgorithm::Sha256,
        encoding: HmacEncoding::Hex,
        header: "x-signature".into(),
        prefix: "sha256=".parse().expect("a template"),
        over: "{method} {path}\n{body}".parse().expect("a template"),
        timestamp_header: None,
    };
    let settings = UpstreamSettings { auth: Auth::Hmac(signing), ..following(&server, 1) };
    call(settings, post("body")).await.0.expect("an answer");
    let signatures: Vec<_> = server.seen().iter().map(|seen| seen.header("x-signature").unwrap_or_default().to_owned()).collect();
    // python: hmac.new(b"k", b"POST /\nbody", "sha256").hexdigest(), and the same with /x
    assert_eq!(
        signatures,
        [
            "sha256=7714ff14bec87814a9a5f1c29c22c49466c110b8630055aeef5b845991ebb3a6",
            "sha256=2b0276c904d0fbae6071e708ae2dbe279994343cc701af491b9abc7cfd44a6ac"
        ]
    );
}

#[tokio::test]
async fn as_many_are_followed_as_the_operator_says() {
    let chain = |count: usize| (0..count).map(|_| to("302 Found", "/x"));
    let server = Server::start(chain(3)).await;
    assert_eq!(call(following(&server, 3), get("/")).await.0.expect("an answer").status, 200);
    assert_eq!(server.seen().len(), 4);

    let server = Server::start(chain(4)).await;
    let fault = fault(following(&server, 3), get("/")).await;
    let message = "upstream `crm` redirects more often than the 3 times that are followed";
    assert_eq!(fault, CallFault::new(CallFaultKind::TooManyRedirects, message));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn another_origin_is_never_followed() {
    let elsewhere = Server::start([]).await;
    let by_name = format!("http://localhost:{}/x", elsewhere.port());
    for location in [elsewhere.url(), by_name, "http://169.254.169.254/latest/meta-data".into(), "//evil.example/x".into()] {
        let server = Server::start([to("307 Temporary Redirect", &location)]).await;
        let fault = fault(following(&server, 3), post("secret")).await;
        assert_eq!(fault.kind, CallFaultKind::TooManyRedirects, "{location}");
        assert!(!fault.message.contains(&location), "{}", fault.message);
        assert_eq!(server.seen().len(), 1);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn what_was_done_before_a_redirect_stays_done() {
    let broken_after = |status| async move {
        let server = Server::start([to(status, "/x"), Reply::Reset]).await;
        fault(following(&server, 1), post("order")).await
    };
    assert!(broken_after("303 See Other").await.may_have_happened);
    let server = Server::start([to("303 See Other", "http://elsewhere.example/")]).await;
    let away = fault(following(&server, 1), post("order")).await;
    assert_eq!(away.kind, CallFaultKind::TooManyRedirects);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_answer() {
    for reply in [
        answer("302 Found", "", ""),
        answer("304 Not Modified", "location: /x\r\n", ""),
        answer("300 Multiple Choices", "location: /x\r\n", ""),
    ] {
        let server = Server::start([Reply::Keep(reply)]).await;
        let status = call(following(&server, 3), get("/")).await.0.expect("an answer").status;
        assert_eq!((status / 100, server.seen().len()), (3, 1));
    }
}
