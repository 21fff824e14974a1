//! What was refused is explained afterwards, to the operator and to nobody else.

use hookfast_tests::{Delivery, Sender, World};

/// The id of the last refused request.
async fn last(world: &World) -> String {
    let list = world.admin("GET /requests?limit=1").await.json();
    list["data"][0]["id"].as_str().expect("a refused request").to_owned()
}

/// What `requests show` says of a request that is refused.
async fn explained(world: &World, delivery: &Delivery) -> String {
    assert_eq!(world.deliver(delivery).await.text(), r#"401 {"error":"unauthorized"}"#);
    let id = last(world).await;
    let text = world.command(&["requests", "show", &id]).await;
    assert!(text.starts_with(&id), "{text}");
    text
}

fn has(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} in\n{text}"));
}

#[tokio::test]
async fn a_body_that_a_proxy_has_written_anew_is_explained_with_what_to_do_next() {
    let world = World::stripe().start().await;
    let good = world.sender("stripe").delivery_of(r#"{"id":"evt_1","amount":49.00,"type":"invoice.paid"}"#, world.clock.now());
    let altered = good.with_body(r#"{"id": "evt_1", "amount": 49.00, "type": "invoice.paid"}"#).with("cookie", "session=1");
    let text = explained(&world, &altered).await;
    has(
        &text,
        &["  source        stripe\n", "  cause         wrong_signature: ", "  next          let whatever stands before this server "],
    );
    has(&text, &["  diagnosis     body_json_layout: the signature holds for the same JSON written without blanks, as JavaScript does\n"]);
    has(&text, &["  stripe-signature: t=", "  cookie: [redacted]\n"]);
    world.finish().await;
}

#[tokio::test]
async fn a_secret_that_lost_its_newline_is_explained_and_never_shown() {
    let world = World::stripe().start().await;
    let forged = Sender::new("stripe", "stripe", "shared-secret\n\n").delivery("invoice.paid", "evt_1", world.clock.now());
    let text = explained(&world, &forged).await;
    has(&text, &["secret_spelling: secret 1 is the sender's with a newline at its end\n"]);
    assert!(!text.contains("shared-secret"), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn a_late_request_is_explained_with_its_skew() {
    let world = World::stripe().start().await;
    let late = world.sender("stripe").delivery("invoice.paid", "evt_1", world.clock.now() - std::time::Duration::from_secs(301));
    let text = explained(&world, &late).await;
    has(&text, &["  skew          301.000 s late\n", "  diagnosis     sent_late: ", "raise `timestamp_tolerance`"]);
    world.finish().await;
}

#[tokio::test]
async fn the_signature_of_another_provider_is_explained() {
    let world = World::stripe().start().await;
    let github = Sender::new("stripe", "github", "shared-secret").delivery("push", "evt_1", world.clock.now());
    let text = explained(&world, &github).await;
    has(
        &text,
        &["missing_header: ", "other_provider: header `x-hub-signature-256` is a proof of another provider (github), and with this"],
    );
    world.finish().await;
}

#[tokio::test]
async fn what_is_not_about_a_proof_has_no_diagnosis_and_a_stranger_s_id_is_not_found() {
    let world = World::stripe().start().await;
    let elsewhere = Delivery { path: "/in/strype".into(), ..world.delivery("stripe", "invoice.paid") };
    assert_eq!(world.deliver(&elsewhere).await.status, 404);
    let text = world.command(&["requests", "show", &last(&world).await]).await;
    has(&text, &["  cause         unknown_source: "]);
    assert!(!text.contains("diagnosis") && !text.contains("HEADERS"), "{text}");
    let absent = world.command(&["requests", "show", "req_019e0f3c1c6a7c538c0e0b1d2f3a4b5c"]).await;
    assert!(absent.contains("there is no refused request"), "{absent}");
    world.finish().await;
}

#[tokio::test]
async fn a_flood_leaves_room_for_the_diagnosis_of_another_source() {
    let world = World::stripe().source(hookfast_tests::Source::new("shop", "github")).start().await;
    for number in 0..30 {
        let forged = Sender::new("stripe", "stripe", "guess").delivery("invoice.paid", &format!("evt_{number}"), world.clock.now());
        assert_eq!(world.deliver(&forged).await.status, 401);
    }
    let spoiled = world.delivery("shop", "push");
    let body = [&spoiled.body[..], b"\n"].concat();
    assert_eq!(world.deliver(&spoiled.with_body(body)).await.status, 401);
    let diagnosed = async |source: &str| {
        let list = world.admin(&format!("GET /requests?source={source}&limit=200")).await.json();
        let rows = list["data"].as_array().expect("a list").clone();
        rows.iter().filter_map(|row| row["diagnosis"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(diagnosed("shop").await, ["body_newline_added"]);
    assert_eq!(diagnosed("stripe").await, ["other_secret"; 5]);
    world.finish().await;
}
