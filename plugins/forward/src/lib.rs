//! Forwards every event to the upstream `target`, byte for byte, under the Standard Webhooks header names. The path
//! is the operator's (config `path`, `/` by default); a signature is made by the upstream's `auth`, never here.

use hookfast_sdk::prelude::*;

hookfast_sdk::plugin! {
    name: "forward",
    upstreams: ["target"],
    otherwise => forward,
}

fn forward(event: Event, cx: &mut Context) -> Outcome {
    let path = cx.config("path").unwrap_or_else(|| "/".to_owned());
    let mut request = cx
        .post("target", path)
        .step("forward")
        .header("webhook-id", event.id.as_str())
        .header("webhook-timestamp", (cx.now_ms() / 1000).to_string());
    for header in event.headers.iter().filter(|header| header.name == "content-type") {
        request = request.header(&header.name, header.value.as_slice());
    }
    let response = request.body(event.body).send()?.success()?;
    done(format!("forwarded, answered {}", response.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_sdk::Header;
    use hookfast_sdk::test::{Answer, Host, Run, fixture};
    use std::time::Duration;

    /// Latin-1, so that any decoding on the way would show.
    const ORDER: &[u8] = include_bytes!("../fixtures/order.xml");

    fn order() -> Event {
        let mut event = fixture("order.created", ORDER);
        event.headers = vec![Header::new("content-type", "application/xml; charset=ISO-8859-1"), Header::new("x-secret", "s")];
        event
    }

    fn answered(answer: Answer) -> Run {
        Host::new(&PLUGIN).on_post("target", "/", answer).run(&order())
    }

    #[test]
    fn body_and_content_type_arrive_unchanged_and_nothing_else_of_the_sender_does() {
        let event = order();
        let mut host = Host::new(&PLUGIN).now_ms(1_767_225_600_999).config("path", "/in?from=hookfast");
        host = host.on_post("target", "/in?from=hookfast", 204);
        assert_eq!(host.run(&event).text(), "forwarded, answered 204");

        let sent = host.sent("target")[0];
        assert_eq!(sent.body, ORDER);
        let key = format!("{}.forward/forward", event.id);
        let expected = [
            ("webhook-id", event.id.as_str()),
            ("webhook-timestamp", "1767225600"),
            ("content-type", "application/xml; charset=ISO-8859-1"),
            ("idempotency-key", &key),
        ];
        assert_eq!(sent.headers, expected.map(|(name, value)| Header::new(name, value)));
    }

    #[test]
    fn an_event_without_type_content_type_or_body_is_forwarded_too() {
        let mut event = fixture("", []);
        event.event_type = None;
        event.headers.clear();
        let mut host = Host::new(&PLUGIN).on_post("target", "/", 200);
        assert!(host.run(&event).is_done());
        assert_eq!(host.sent("target")[0].header("content-type"), None);
    }

    #[test]
    fn a_retry_keeps_id_and_idempotency_key_so_that_the_receiver_can_deduplicate() {
        let mut host = Host::new(&PLUGIN).on_post("target", "/", [503, 200]);
        let event = order();
        assert!(host.run(&event).is_retry());
        assert!(host.run(&event).is_done());
        let sent = host.sent("target");
        assert_eq!(sent.len(), 2);
        for name in ["webhook-id", "idempotency-key"] {
            assert!(sent[0].header(name).is_some());
            assert_eq!(sent[0].header(name), sent[1].header(name));
        }
    }

    #[test]
    fn the_receivers_answer_decides() {
        let busy = answered(Answer::status(429).header("retry-after", "7"));
        assert_eq!((busy.is_retry(), busy.after()), (true, Some(Duration::from_secs(7))));
        assert!(answered(Answer::fault("connect")).is_retry());
        assert!(answered(Answer::status(400)).is_dead_letter());
        assert!(answered(Answer::status(302)).is_dead_letter());
        assert!(answered(Answer::fault("not_granted")).is_dead_letter());
    }

    #[test]
    fn a_path_without_a_leading_slash_is_a_dead_letter_that_says_so() {
        let run = Host::new(&PLUGIN).config("path", "in").run(&order());
        assert!(run.is_dead_letter() && run.text().contains("does not start with `/`"), "{}", run.text());
    }
}
