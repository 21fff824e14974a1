//! Calls against real local servers, spoken to over real sockets. Short timeouts are the behaviour under test, never a wait.

mod answers;
mod certificates;
mod credentials;
mod faults;
mod guard;
pub(super) mod oauth;
mod on_purpose;
mod policies;
mod published;
mod redirects;
mod reload;
pub(super) mod server;
mod stale;
mod traces;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::domain::Headers;
use server::{Reply, Seen, Server};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_500);
const EVENT: &str = "evt_018bcfe568007fffbfffffffffffffff";

/// Long enough for a loaded machine, short enough for a test that waits for it.
const SHORT: Duration = Duration::from_millis(150);

fn settings(base: &str) -> UpstreamSettings {
    let name = "crm".parse().expect("a name");
    // Each call is one try unless a test is about more of them.
    let policies = Policies { retries: 0, ..Policies::default() };
    UpstreamSettings { allow_private: true, policies, ..UpstreamSettings::new(name, base.parse().expect("a base URL")) }
}

fn upstreams(settings: UpstreamSettings) -> Upstreams {
    Upstreams::new([settings]).expect("good settings")
}

fn context() -> CallContext {
    CallContext {
        plugin: "billing".parse().expect("a name"),
        lineage: format!("{EVENT}.billing").parse().expect("a lineage"),
        replays: 0,
        now: NOW,
    }
}

fn get(path: &str) -> OutboundRequest {
    OutboundRequest {
        upstream: "crm".into(),
        method: "GET".into(),
        path: path.into(),
        headers: Headers::default(),
        body: Bytes::new(),
        timeout: None,
        step: None,
    }
}

fn post(body: &'static str) -> OutboundRequest {
    OutboundRequest { method: "POST".into(), body: Bytes::from_static(body.as_bytes()), ..get("/") }
}

fn with_header(name: &str, value: &'static str) -> OutboundRequest {
    let mut request = get("/");
    request.headers.push(name, value);
    request
}

fn with_step(step: &str) -> OutboundRequest {
    OutboundRequest { step: Some(step.parse().expect("a step")), ..get("/") }
}

/// What one call came to.
async fn call(settings: UpstreamSettings, request: OutboundRequest) -> (Result<OutboundAnswer, CallFault>, CallRecord) {
    upstreams(settings).call(request, &context()).await
}

/// What a server that answers 200 sees of a call.
async fn sent(auth: Auth, request: OutboundRequest) -> Seen {
    let server = Server::start([]).await;
    let (result, _) = call(UpstreamSettings { auth, ..settings(&server.url()) }, request).await;
    assert_eq!(result.expect("an answer").status, 200);
    server.seen().remove(0)
}

/// Calls and expects a fault; journal and plugin see the same code.
async fn fault(settings: UpstreamSettings, request: OutboundRequest) -> CallFault {
    let (result, record) = call(settings, request).await;
    let fault = result.expect_err("an answer came");
    assert_eq!((record.fault.as_deref(), record.status), (Some(fault.kind.code()), None));
    fault
}
