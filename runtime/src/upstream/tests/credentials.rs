//! Credentials are the host's: they are sent, and a plugin cannot set, see or replace them.

use super::*;
use crate::domain::Secret;

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes())
}

fn signing() -> Auth {
    Auth::StandardWebhooks(standard_webhooks_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key"))
}

#[tokio::test]
async fn each_kind_arrives_at_the_upstream() {
    let basic = Auth::Basic { user: "u".into(), password: secret("p") };
    let own = Auth::Header { name: "X-Api-Key".into(), value: secret("k1") };
    for (auth, name, value) in
        [(Auth::Bearer(secret("t1")), "authorization", "Bearer t1"), (basic, "authorization", "Basic dTpw"), (own, "x-api-key", "k1")]
    {
        assert_eq!(sent(auth, get("/")).await.header(name), Some(value));
    }
}

#[tokio::test]
async fn a_signed_call_has_id_time_and_signature_of_exactly_its_body() {
    let seen = sent(signing(), post("{\"a\":1}")).await;
    assert_eq!((seen.header("webhook-id"), seen.header("webhook-timestamp")), (Some(EVENT), Some("1700000000")));
    // python: base64.b64encode(hmac.digest(key, b'evt_….1700000000.{"a":1}', 'sha256')), computed outside this program
    assert_eq!(seen.header("webhook-signature"), Some("v1,SbGyAKXK7q0rHuJMZiqK/NfUoLDIhxzcSnhs1LHzTDk="));
}

#[tokio::test]
async fn a_signed_message_is_named_by_the_plugin_or_by_its_step() {
    assert_eq!(sent(signing(), with_header("webhook-id", "order-1")).await.header("webhook-id"), Some("order-1"));
    let seen = sent(signing(), with_step("notify.v2")).await;
    assert_eq!(seen.header("webhook-id"), Some(&*format!("{EVENT}/billing/notify~v2")));
    assert_eq!(
        fault(UpstreamSettings { auth: signing(), ..settings("http://crm") }, with_header("webhook-id", "a.b")).await.kind,
        CallFaultKind::InvalidRequest
    );
}

#[tokio::test]
async fn a_plugin_cannot_set_the_header_that_carries_them() {
    let own = || Auth::Header { name: "X-Api-Key".into(), value: secret("k1") };
    for (auth, name) in [
        (Auth::Bearer(secret("t1")), "authorization"),
        (own(), "x-api-key"),
        (signing(), "webhook-signature"),
        (signing(), "webhook-timestamp"),
    ] {
        let fault = fault(UpstreamSettings { auth, ..settings("http://crm") }, with_header(name, "mine")).await;
        assert_eq!(
            (fault.kind, fault.message),
            (CallFaultKind::InvalidRequest, format!("`{name}` is set by Hookfast; a plugin cannot set it"))
        );
    }
    assert_eq!(sent(own(), with_header("authorization", "mine")).await.header("authorization"), Some("mine"));
}

#[tokio::test]
async fn credentials_that_cannot_be_sent_are_refused_when_the_upstream_is_built() {
    let bad = UpstreamSettings { auth: Auth::Bearer(secret("hunter2\n")), ..settings("http://crm") };
    let error = Upstreams::new([bad]).err().expect("refused").to_string();
    assert!(error.starts_with("[upstreams.crm] auth: ") && !error.contains("hunter2"), "{error}");
}
