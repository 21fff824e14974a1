//! Sources that are open to some addresses only, and whose word on an address counts.

use hookfast_tests::{Plan, Source, World};

const STRIPE: &str = "allow_from = [\"3.18.12.0/24\", \"2600::/32\"]";

fn open_to(line: &str) -> Plan {
    World::with(Source::new("orders", "hmac").set(line))
}

/// The status that a request with these headers gets.
async fn status(world: &World, headers: &[(&str, &'static str)]) -> u16 {
    let delivery = headers.iter().fold(world.delivery("orders", "example"), |delivery, (name, value)| delivery.with(name, value));
    world.deliver(&delivery).await.status
}

#[tokio::test]
async fn an_address_that_is_not_listed_is_refused_and_named() {
    let world = open_to(STRIPE).start().await;
    let answer = world.deliver(&world.delivery("orders", "example")).await;
    assert_eq!(answer.text(), r#"403 {"error":"forbidden"}"#);
    let told = "403 address_not_allowed: 127.0.0.1 is not in the source's allow_from; behind a proxy, see server.trusted_proxies";
    assert_eq!(world.refusals("orders").await, [told]);
    world.finish().await;
}

#[tokio::test]
async fn an_address_that_is_listed_may_send() {
    let world = open_to("allow_from = [\"3.18.12.0/24\", \"127.0.0.1\"]").start().await;
    assert_eq!(status(&world, &[]).await, 202);
    world.finish().await;
}

#[tokio::test]
async fn a_sender_cannot_speak_for_itself() {
    let world = open_to(STRIPE).start().await;
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        assert_eq!(status(&world, &[(header, "3.18.12.63")]).await, 403, "{header}");
    }
    // A proxy is trusted, but it is another one.
    let other = open_to(STRIPE).server("trusted_proxies = [\"10.0.0.0/8\"]").start().await;
    assert_eq!(status(&other, &[("x-forwarded-for", "3.18.12.63")]).await, 403);
    other.finish().await;
    world.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_sender_and_a_sender_before_it_does_not() {
    let world = open_to(STRIPE).server("trusted_proxies = [\"127.0.0.0/8\"]").start().await;
    assert_eq!(status(&world, &[("x-forwarded-for", "3.18.12.63")]).await, 202);
    assert_eq!(status(&world, &[("x-forwarded-for", "203.0.113.7, 3.18.12.63, 127.0.0.2")]).await, 202);
    assert_eq!(status(&world, &[("x-forwarded-for", "3.18.12.63, 203.0.113.7")]).await, 403);
    assert_eq!(status(&world, &[("x-forwarded-for", "3.18.12.63"), ("x-forwarded-for", "203.0.113.7")]).await, 403);
    assert_eq!(status(&world, &[("forwarded", "for=3.18.12.63")]).await, 403, "not the header that this proxy writes");
    assert_eq!(status(&world, &[("x-forwarded-for", "unknown")]).await, 403);
    assert_eq!(status(&world, &[]).await, 403);
    let told = "403 address_not_allowed: an address that the proxy does not tell is not in the source's allow_from; \
                behind a proxy, see server.trusted_proxies";
    assert!(world.refusals("orders").await.contains(&told.to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn a_proxy_may_write_the_standard_header() {
    let plan = open_to(STRIPE).server("trusted_proxies = [\"127.0.0.1\"]").server("forwarded_header = \"forwarded\"");
    let world = plan.start().await;
    assert_eq!(status(&world, &[("forwarded", "for=\"[2600::1]:4711\";proto=https")]).await, 202);
    assert_eq!(status(&world, &[("forwarded", "for=3.18.12.63, for=203.0.113.7")]).await, 403);
    assert_eq!(status(&world, &[("x-forwarded-for", "3.18.12.63")]).await, 403);
    world.finish().await;
}
