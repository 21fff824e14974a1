//! What an accepted request is answered: as the source says, and a resend as the first time.

use hookfast_tests::wait::eventually;
use hookfast_tests::{Answer, Source, World};

fn orders(response: &str) -> Source {
    Source::new("orders", "hmac").set(&format!("response = {response}"))
}

/// Status, content type, the header `x-taken`, body.
fn told(answer: &Answer) -> String {
    let header = |name| answer.headers.get(name).map_or("-", |value| value.to_str().expect("text"));
    format!("{} {} {} {:?}", answer.status, header("content-type"), header("x-taken"), answer.body)
}

#[tokio::test]
async fn a_source_names_status_headers_and_body() {
    let response = "{ status = 200, headers = { \"Content-Type\" = \"text/xml\", x-taken = \"yes\" }, body = \"<Response/>\" }";
    let mut world = World::with(orders(response)).start().await;
    let delivery = world.delivery("orders", "example");
    let first = told(&world.deliver(&delivery).await);
    assert_eq!(first, r#"200 text/xml yes "<Response/>""#);
    assert_eq!(told(&world.deliver(&delivery).await), first);
    world.stop().await;
    world.start_again().await;
    assert_eq!(told(&world.deliver(&delivery).await), first);
    world.finish().await;
}

#[tokio::test]
async fn a_source_may_say_nothing_at_all() {
    for (response, expected) in [
        ("{ status = 200, body = \"\" }", r#"200 - - """#),
        ("{ status = 204 }", r#"204 - - """#),
        ("{ headers = { x-taken = \"yes\" }, body = \"\" }", r#"202 - yes """#),
    ] {
        let mut world = World::with(orders(response)).start().await;
        let delivery = world.delivery("orders", "example");
        let answer = world.deliver(&delivery).await;
        assert_eq!(told(&answer), expected, "{response}");
        let length = answer.headers.get("content-length").map(|length| length.as_bytes());
        assert_eq!(length, (answer.status != 204).then_some(b"0".as_slice()), "{response}");
        world.stop().await;
        world.start_again().await;
        assert_eq!(told(&world.deliver(&delivery).await), expected, "{response}, of the store");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_refused_request_and_a_handshake_get_none_of_it() {
    let response = "response = { headers = { x-taken = \"yes\" }, body = \"ok\" }";
    let world = World::with(Source::new("chat", "slack").set(response)).start().await;
    let hello = "{\"type\":\"url_verification\",\"challenge\":\"abc\"}";
    let handshake = world.sender("chat").delivery_of(hello, world.clock.now());
    assert_eq!(told(&world.deliver(&handshake).await), r#"200 text/plain; charset=utf-8 - "abc""#);
    let refused = world.deliver(&handshake.with_body("other")).await;
    assert_eq!(told(&refused), r#"401 application/json - "{\"error\":\"unauthorized\"}""#);
    world.finish().await;
}

#[tokio::test]
async fn a_resend_gets_the_first_status_and_body_with_the_present_headers() {
    let mut world = World::with(orders("{ status = 200, headers = { x-taken = \"one\" }, body = \"ok\" }")).start().await;
    let delivery = world.delivery("orders", "example");
    assert_eq!(told(&world.deliver(&delivery).await), r#"200 text/plain; charset=utf-8 one "ok""#);
    world.configure_anew(|file| file.replace("status = 200", "status = 201").replace("\"one\"", "\"two\""));
    let is_new = |world: &World| world.app().current.load().settings.sources["orders"].answer.status == 201;
    eventually("the new answer", async || is_new(&world)).await;
    assert_eq!(told(&world.deliver(&delivery).await), r#"200 text/plain; charset=utf-8 two "ok""#);
    world.finish().await;
}
