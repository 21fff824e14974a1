//! What the chat room reads, and what becomes of an event when the room does not answer well.

use super::*;
use hookfast_sdk::test::{Answer, Host, Run, fixture};
use std::time::Duration;

const PUSH: &str = include_str!("../fixtures/push.json");
const RELEASE: &str = include_str!("../fixtures/release.json");

fn check_text(event_type: &str, body: &str, expected: &str) {
    let mut host = Host::new(&PLUGIN).on_post("chat", "/messages", 200);
    assert_eq!(host.run(&fixture(event_type, body)), Run::Done(Some(expected.to_owned())));
    assert_eq!(host.sent("chat")[0].json::<Value>(), json!({ "text": expected }));
}

fn answered(answer: Answer) -> Run {
    Host::new(&PLUGIN).on_post("chat", "/messages", answer).run(&fixture("push", PUSH))
}

/// The fixture with some of its fields replaced.
fn push_with(changes: Value) -> String {
    let mut push: Value = hookfast_sdk::serde_json::from_str(PUSH).expect("a fixture of JSON");
    for (key, value) in changes.as_object().expect("an object of changes") {
        push[key] = value.clone();
    }
    push.to_string()
}

#[test]
fn a_push_says_who_what_and_where() {
    check_text(
        "push",
        PUSH,
        "octocat pushed 2 commits to main of octo-org/hello-world: Read the port from the configuration \
         (https://github.com/octo-org/hello-world/compare/6113728f27ae...f95f852bd8fc)",
    );
}

#[test]
fn tags_deletions_and_forced_pushes_are_told_apart() {
    let url = "https://github.com/octo-org/hello-world/compare/6113728f27ae...f95f852bd8fc";
    let check = |changes: Value, expected: &str| check_text("push", &push_with(changes), expected);
    check(json!({ "ref": "refs/tags/v1.2", "commits": [] }), &format!("octocat pushed tag v1.2 of octo-org/hello-world ({url})"));
    check(
        json!({ "forced": true, "commits": [{ "message": "Fix" }] }),
        &format!("octocat force-pushed 1 commit to main of octo-org/hello-world: Fix ({url})"),
    );
    check(
        json!({ "ref": "refs/heads/feature/login", "deleted": true, "commits": [] }),
        "octocat deleted feature/login of octo-org/hello-world",
    );
}

#[test]
fn a_published_release_is_announced_once() {
    check_text(
        "release",
        RELEASE,
        "octo-org/hello-world released v1.2.0: Spring release (https://github.com/octo-org/hello-world/releases/tag/v1.2.0)",
    );
    let prerelease = RELEASE.replace(r#""prerelease": false"#, r#""prerelease": true"#).replace("Spring release", "v1.2.0");
    check_text(
        "release",
        &prerelease,
        "octo-org/hello-world pre-released v1.2.0 (https://github.com/octo-org/hello-world/releases/tag/v1.2.0)",
    );

    let edited = RELEASE.replace(r#""action": "published""#, r#""action": "edited""#);
    let run = Host::new(&PLUGIN).run(&fixture("release", edited));
    assert!(run.is_discard() && run.text() == "not handled: release edited", "{}", run.text());
}

#[test]
fn a_chat_that_is_down_is_tried_again_under_the_same_key() {
    let mut host = Host::new(&PLUGIN).on_post("chat", "/messages", [503, 200]);
    let event = fixture("push", PUSH);
    assert!(host.run(&event).is_retry());
    assert!(host.run(&event).is_done());
    let key = format!("{}.github-notify/chat", event.id);
    assert!(host.sent("chat").iter().all(|sent| sent.header("idempotency-key") == Some(&key)));
    assert_eq!(host.sent("chat").len(), 2);
}

#[test]
fn the_chats_answer_decides() {
    let busy = answered(Answer::status(429).header("retry-after", "3"));
    assert_eq!((busy.is_retry(), busy.after()), (true, Some(Duration::from_secs(3))));
    assert!(answered(Answer::fault("reset")).is_retry());
    assert!(answered(Answer::status(400)).is_dead_letter());
}

#[test]
fn garbage_is_a_dead_letter_and_other_events_are_discarded() {
    for event_type in ["push", "release"] {
        for garbage in ["", "payload=%7B%7D", "{}", "[]"] {
            assert!(Host::new(&PLUGIN).run(&fixture(event_type, garbage)).is_dead_letter(), "{event_type} {garbage}");
        }
    }
    for other in ["ping", "pull_request", "push.extra"] {
        assert!(Host::new(&PLUGIN).run(&fixture(other, "{}")).is_discard(), "{other}");
    }
}
