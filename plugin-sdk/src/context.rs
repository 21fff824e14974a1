//! What a handler may ask of its host. Everything here is granted and bounded by the operator.

use crate::{Delivery, Emission, Request, Secret, State, host};
use std::fmt::Display;
use std::time::Duration;

/// The handler's view of the host during one attempt. In `admit`, while a request waits for its answer, upstreams, state and effects are
/// refused.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "prices", upstreams: ["shop"], otherwise => check, }
///
/// fn check(event: Event, cx: &mut Context) -> Outcome {
///     let currency = cx.config("currency").or_dead_letter("config `currency` is not set")?;
///     let price: u64 = cx.get("shop", format!("/price?in={currency}")).send()?.success()?.json()?;
///     cx.info("price read", &[("price", &price), ("attempt", &event.attempt)]);
///     done(format!("{price} {currency}"))
/// }
///
/// let mut host = Host::new(&PLUGIN).config("currency", "eur").on_get("shop", "/price?in=eur", (200, "1250"));
/// assert_eq!(host.run(&fixture("price.check", "")).text(), "1250 eur");
/// ```
#[derive(Debug)]
pub struct Context {
    _made_by_the_sdk: (),
}

/// Named values of a log line.
type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

impl Context {
    pub(crate) fn new() -> Self {
        Self { _made_by_the_sdk: () }
    }

    /// A `GET` of an upstream's path and query.
    pub fn get(&self, upstream: &str, path: impl Into<String>) -> Request {
        self.request("GET", upstream, path)
    }

    /// A `POST` to an upstream's path.
    pub fn post(&self, upstream: &str, path: impl Into<String>) -> Request {
        self.request("POST", upstream, path)
    }

    /// A `PUT` to an upstream's path.
    pub fn put(&self, upstream: &str, path: impl Into<String>) -> Request {
        self.request("PUT", upstream, path)
    }

    /// A `PATCH` of an upstream's path.
    pub fn patch(&self, upstream: &str, path: impl Into<String>) -> Request {
        self.request("PATCH", upstream, path)
    }

    /// A `DELETE` of an upstream's path.
    pub fn delete(&self, upstream: &str, path: impl Into<String>) -> Request {
        self.request("DELETE", upstream, path)
    }

    /// A request with any method; the path starts with `/` and is appended to the upstream's base URL.
    pub fn request(&self, method: &str, upstream: &str, path: impl Into<String>) -> Request {
        Request::new(method, upstream, path.into())
    }

    /// The plugin's state.
    pub fn state(&self) -> State {
        State::new()
    }

    /// An event for a source or topic that is granted to this plugin; it exists once this run is done.
    pub fn emit(&self, target: &str) -> Emission {
        Emission::new(target)
    }

    /// A `POST` that the host shall make on its own once this run is done, with retries; for what the handler needs no answer to.
    pub fn deliver(&self, upstream: &str, path: impl Into<String>) -> Delivery {
        Delivery::new(upstream, path.into())
    }

    /// A value from the operator's `[grants.NAME] config`. Not for secrets.
    pub fn config(&self, key: &str) -> Option<String> {
        host::config(key)
    }

    /// A secret of the source, to prove a request with; usable in `admit` only.
    pub fn secret(&self, name: &str) -> Secret {
        Secret::new(name)
    }

    /// Unix milliseconds of the host's clock; constant during one run, so that a run can be repeated.
    pub fn now_ms(&self) -> u64 {
        host::now_ms()
    }

    /// What is left of the attempt's wall-clock budget.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(host::remaining_ms())
    }

    /// Random bytes, at most 65,536, the same when the same attempt is repeated. Not for keys.
    pub fn random(&self, length: u32) -> Vec<u8> {
        host::random(length)
    }

    /// Logs an error.
    pub fn error(&self, message: &str, fields: Fields<'_>) {
        log(1, message, fields);
    }

    /// Logs a warning.
    pub fn warn(&self, message: &str, fields: Fields<'_>) {
        log(2, message, fields);
    }

    /// Logs what an operator wants to know by default; the host adds event, attempt, source and plugin.
    pub fn info(&self, message: &str, fields: Fields<'_>) {
        log(3, message, fields);
    }

    /// Logs what helps to find a mistake.
    pub fn debug(&self, message: &str, fields: Fields<'_>) {
        log(4, message, fields);
    }

    /// Logs the smallest steps.
    pub fn trace(&self, message: &str, fields: Fields<'_>) {
        log(5, message, fields);
    }
}

fn log(level: u8, message: &str, fields: Fields<'_>) {
    let fields: Vec<_> = fields.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
    host::log(level, message, &fields);
}
