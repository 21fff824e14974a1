//! Batches: a request whose body is a list of events becomes one event for each. Cuts only; the items keep their bytes.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::domain::{EVENTS_PER_REQUEST_MAX, RefusalCause};

use super::raw_json;
use super::verifier::Verifier;

/// An event's place in the request that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The SHA-256 of the request's body.
    pub(super) request: [u8; 32],
    /// Counted from 0.
    pub(super) number: usize,
}

impl Part {
    /// Those of so many events of a request; of a lone one there is none.
    pub fn all(body: &Bytes, count: usize) -> Vec<Option<Self>> {
        let request = if count > 1 { Some(Sha256::digest(body).into()) } else { None };
        (0..count).map(|number| request.map(|request| Self { request, number })).collect()
    }
}

impl Verifier {
    /// The bodies of a request's events: the items where the provider sends several at once, else the one body. Each item has its part.
    pub fn split(&self, body: &Bytes) -> Result<Vec<(Bytes, Option<Part>)>, RefusalCause> {
        let items = self.items.as_ref().and_then(|items| raw_json::items(body, items));
        // What is no list, or an empty one, is an event all the same: nothing that was proved is dropped.
        let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(vec![(body.clone(), None)]) };
        if items.len() > EVENTS_PER_REQUEST_MAX {
            return Err(RefusalCause::TooManyItems { limit: EVENTS_PER_REQUEST_MAX });
        }
        let request = Sha256::digest(body).into();
        let part = |(number, item)| (body.slice(raw_json::span(body, item)), Some(Part { request, number }));
        Ok(items.into_iter().enumerate().map(part).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sender::Sender;
    use super::*;

    fn split(provider: &str, body: &str) -> Result<Vec<String>, RefusalCause> {
        let parts = Sender::of(provider, "").verifier.split(&Bytes::copy_from_slice(body.as_bytes()))?;
        Ok(parts.into_iter().map(|(body, _)| String::from_utf8(body.to_vec()).expect("text")).collect())
    }

    #[test]
    fn items_keep_their_bytes() {
        let body = r#" {"events": [ {"id" : "EV1", "n":1.0}, {"id":"EV2"}] , "meta":{}}"#;
        assert_eq!(split("gocardless", body).expect("items"), [r#"{"id" : "EV1", "n":1.0}"#, r#"{"id":"EV2"}"#]);
        let body = r#"{"notificationItems":[{"NotificationRequestItem":{"a":1}},{"NotificationRequestItem":{"a":2}}]}"#;
        assert_eq!(split("adyen", body).expect("items"), [r#"{"a":1}"#, r#"{"a":2}"#]);
    }

    #[test]
    fn what_is_no_list_stays_whole() {
        for body in ["", "x", "{}", "[]", r#"{"events":[]}"#, r#"{"events":{}}"#, r#"{"events":[1],"events":[2]}"#, r#"{"events":[1]"#] {
            assert_eq!(split("gocardless", body).expect("a body"), [body]);
        }
        assert_eq!(split("stripe", r#"[{},{}]"#).expect("a body"), [r#"[{},{}]"#]);
        assert_eq!(split("adyen", r#"{"notificationItems":[{"NotificationRequestItem":{}},{}]}"#).expect("a body").len(), 1);
    }

    #[test]
    fn five_thousand_items_are_taken_and_one_more_is_refused() {
        let body = |count: usize| format!(r#"{{"events":[{}]}}"#, vec!["0"; count].join(","));
        assert_eq!(split("gocardless", &body(EVENTS_PER_REQUEST_MAX)).expect("items").len(), EVENTS_PER_REQUEST_MAX);
        assert_eq!(
            split("gocardless", &body(EVENTS_PER_REQUEST_MAX + 1)),
            Err(RefusalCause::TooManyItems { limit: EVENTS_PER_REQUEST_MAX })
        );
    }
}
