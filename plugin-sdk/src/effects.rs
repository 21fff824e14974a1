//! What is to happen if a run is done: events to emit, requests to hand over. They commit together with the outcome, or not at all.

use crate::bindings::hookfast::plugin::effects::{Delivery as WireDelivery, NewEvent};
use crate::content::Content;
use crate::{Fault, host};
use serde::Serialize;
use std::time::Duration;

/// An event that is being built; made by [`Context::emit`](crate::Context::emit). One run emits and delivers at most 100 times, 4 MiB
/// together.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "shop", on "order.paid" => paid, }
///
/// fn paid(event: Event, cx: &mut Context) -> Outcome {
///     let week = std::time::Duration::from_secs(7 * 24 * 3600);
///     cx.emit("reviews").event_type("review.due").json(&json!({ "order": 7 })).delay(week).send()?;
///     done("a review is due in a week")
/// }
///
/// let mut host = Host::new(&PLUGIN);
/// assert!(host.run(&fixture("order.paid", "")).is_done());
/// assert_eq!(host.emitted()[0].target, "reviews");
/// assert_eq!(host.emitted()[0].json::<Value>()["order"], 7);
/// ```
#[derive(Debug)]
#[must_use = "nothing is emitted before `send`"]
pub struct Emission {
    target: String,
    event_type: Option<String>,
    content: Content,
    dedupe_key: Option<String>,
    delay: Option<Duration>,
}

impl Emission {
    pub(crate) fn new(target: &str) -> Self {
        Self { target: target.to_owned(), event_type: None, content: Content::default(), dedupe_key: None, delay: None }
    }

    /// Says what happened, for example `review.due`.
    pub fn event_type(self, event_type: impl Into<String>) -> Self {
        Self { event_type: Some(event_type.into()), ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.content.header(name, value);
        self
    }

    /// Gives it these bytes; say what they are with `header("content-type", …)`.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.content.body(bytes);
        self
    }

    /// Gives it this value as `application/json`. A value that cannot be JSON fails `send` with `invalid_request`.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.content.json(value);
        self
    }

    /// Stores the event once under this key. Without one a run that is repeated makes the same event, and two runs make two.
    pub fn dedupe_key(self, key: impl Into<String>) -> Self {
        Self { dedupe_key: Some(key.into()), ..self }
    }

    /// Lets its handlers wait so long, at most a year.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// Emits the event if this run is done; its id.
    ///
    /// # Errors
    /// The host refuses it: `not_granted`, `unknown_target`, `too_deep` (a chain of emitted events is at its end), `too_many_effects`,
    /// `invalid_request`; `?` makes each a dead letter.
    pub fn send(self) -> Result<String, Fault> {
        let subject = format!("emit to {}", self.target);
        let (headers, body) = self.content.finish(&subject)?;
        let event = NewEvent {
            target: self.target,
            event_type: self.event_type,
            headers,
            body,
            dedupe_key: self.dedupe_key,
            delay_ms: self.delay.map(milliseconds),
            attributes: Vec::new(),
        };
        host::emit(&event).map_err(|fault| Fault::of_host(subject, &fault))
    }
}

/// A request that the host shall make on its own, with retries, breaker and dead letter; made by
/// [`Context::deliver`](crate::Context::deliver). One run emits and delivers at most 100 times, 4 MiB together.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "users", on "user.deleted" => deleted, }
///
/// fn deleted(event: Event, cx: &mut Context) -> Outcome {
///     cx.deliver("search", "/users/7").method("DELETE").send()?;
///     cx.deliver("mail", "/messages").json(&json!({ "template": "goodbye" })).send()?;
///     done("handed over")
/// }
///
/// let mut host = Host::new(&PLUGIN);
/// let event = fixture("user.deleted", "");
/// assert!(host.run(&event).is_done());
/// assert_eq!(host.delivered("search")[0].method, "DELETE");
/// assert_eq!(host.delivered("mail")[0].id, format!("{}.users:2", event.id));
/// ```
#[derive(Debug)]
#[must_use = "nothing is handed over before `send`"]
pub struct Delivery {
    upstream: String,
    method: String,
    path: String,
    content: Content,
    delay: Option<Duration>,
}

impl Delivery {
    pub(crate) fn new(upstream: &str, path: String) -> Self {
        Self { upstream: upstream.to_owned(), method: "POST".to_owned(), path, content: Content::default(), delay: None }
    }

    /// Uses this method in place of `POST`.
    pub fn method(self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.content.header(name, value);
        self
    }

    /// Sends these bytes; say what they are with `header("content-type", …)`.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.content.body(bytes);
        self
    }

    /// Sends this value as `application/json`. A value that cannot be JSON fails `send` with `invalid_request`.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.content.json(value);
        self
    }

    /// Sends it so long after this run is done, at most a year.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// Hands the request over if this run is done; its lineage, which is its `Idempotency-Key` too.
    ///
    /// # Errors
    /// The host refuses it: `not_granted`, `unknown_upstream`, `too_many_effects`, `invalid_request`; `?` makes each a dead letter.
    pub fn send(self) -> Result<String, Fault> {
        let subject = format!("deliver {} {} {}", self.method, self.upstream, self.path);
        let (headers, body) = self.content.finish(&subject)?;
        let delivery = WireDelivery {
            upstream: self.upstream,
            method: self.method,
            path: self.path,
            headers,
            body,
            delay_ms: self.delay.map(milliseconds),
            attributes: Vec::new(),
        };
        host::deliver(&delivery).map_err(|fault| Fault::of_host(subject, &fault))
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
