//! Proves the webhooks of Exact Online. It signs the text of `Content` as it stands in the body, which no file of the catalogue can say:
//! `{"Content":{"Topic":"Accounts","Action":"Update",…},"HashCode":"<HMAC-SHA256 in hexadecimal digits>"}`.
//!
//! In the configuration: `provider = "plugin:exact-online"`, with the app's webhook secret as the source's. An event is the `Content`, of
//! the type `Accounts.Update`; its routes lead to the plugins that handle it.

use hookfast_sdk::prelude::*;
use serde_json::value::RawValue;

hookfast_sdk::plugin! {
    name: "exact-online",
    admit => admit,
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow, rename = "Content")]
    content: &'a RawValue,
    #[serde(rename = "HashCode")]
    hash_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    topic: String,
    action: String,
}

fn admit(request: Incoming, cx: &mut Context) -> Ruling {
    // Before it takes a subscription, Exact Online asks whether anybody is there.
    if request.body.is_empty() {
        return respond(200, "");
    }
    let notification: Notification<'_> = serde_json::from_slice(&request.body).or_reject("malformed", "no notification")?;
    let signature = hex::decode(&notification.hash_code).or_reject("malformed", "HashCode")?;
    let content = notification.content.get();
    cx.secret("default").verify("hmac-sha256", content, signature)?;
    let Content { topic, action } = serde_json::from_str(content).or_reject("malformed", "Content")?;
    accept(Arrival::new().event_type(format!("{topic}.{action}")).body(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_sdk::Admission;
    use hookfast_sdk::test::{Host, incoming};

    // Of python's hmac over the content, with the key `shared-secret`.
    const SIGNED: &str = r#"{"Content":{"Topic":"Accounts", "Action":"Update","Key":"7a5b"},"HashCode":"@"}"#;
    const HASH: &str = "A58767D07137BF1288138E7658B615099879AA8E0FA964FDA617930A7DFABC44";

    fn asked(body: &str) -> Ruling {
        Host::new(&PLUGIN).secret("default", "another").secret("default", "shared-secret").admit(&incoming(body))
    }

    #[test]
    fn a_signed_content_is_an_event() {
        let Ok(Admission::Accept { events, receipt: None }) = asked(&SIGNED.replace('@', HASH)) else { panic!("not accepted") };
        let content = r#"{"Topic":"Accounts", "Action":"Update","Key":"7a5b"}"#;
        assert_eq!(events, [Arrival::new().event_type("Accounts.Update").body(content)]);
    }

    #[test]
    fn what_is_changed_is_turned_away() {
        let signed = SIGNED.replace('@', HASH);
        let code = |body: &str| asked(body).expect_err("a rejection").code;
        assert_eq!(code(&signed.replace("7a5b", "7a5c")), "wrong_signature");
        assert_eq!(code(&signed.replace(", ", ",")), "wrong_signature", "the text is signed, not its meaning");
        assert_eq!(code(&SIGNED.replace('@', "xyz")), "malformed");
        assert_eq!(code(r#"{"Content":{},"Content":{},"HashCode":""}"#), "malformed");
    }

    #[test]
    fn a_question_whether_anybody_is_there_is_answered() {
        assert!(matches!(asked(""), Ok(Admission::Respond { status: 200, .. })));
    }
}
