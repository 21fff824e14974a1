//! One call of an upstream: the request and its response. It never retries: the host does, by running the handler
//! again.

use crate::bindings::hookfast::plugin::{types, upstream::Outgoing};
use crate::checked::CheckedRequest;
use crate::content::Content;
use crate::event::find_header;
use crate::{Fault, Header, host, retry_after};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::time::Duration;

/// How much of a body is shown in the outcome's reason.
const EXCERPT_CHARACTERS_MAX: usize = 200;

/// A request that is being built; made by [`Context`](crate::Context).
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "thumbnails", upstreams: ["images"], on "image.uploaded" => upload, }
///
/// fn upload(event: Event, cx: &mut Context) -> Outcome {
///     let request = cx.put("images", "/thumbnails/7").step("upload").timeout(std::time::Duration::from_secs(2));
///     request.header("content-type", "image/png").body(event.body).send()?.success()?;
///     done("uploaded")
/// }
///
/// let mut host = Host::new(&PLUGIN).on("PUT", "images", "/thumbnails/7", 204);
/// assert!(host.run(&fixture("image.uploaded", b"\x89PNG")).is_done());
/// assert_eq!(host.sent("images")[0].header("content-type"), Some("image/png"));
/// ```
#[derive(Debug)]
#[must_use = "nothing goes out before `send`"]
pub struct Request {
    upstream: String,
    method: String,
    path: String,
    content: Content,
    timeout: Option<Duration>,
    step: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &str, upstream: &str, path: String) -> Self {
        Self { upstream: upstream.to_owned(), method: method.to_owned(), path, content: Content::default(), timeout: None, step: None }
    }

    /// Names this call, uniquely within the job: 1 to 64 of `a-z A-Z 0-9 _ . -`. Its first final response (any status but 401, 403, 408,
    /// 425, 429 and from 500) is then durable and given to later attempts without a request, and the upstream gets an `Idempotency-Key`
    /// that stays the same over them. The request must stay the same, too; another one is refused with `step_changed`.
    pub fn step(self, name: &str) -> Self {
        Self { step: Some(name.to_owned()), ..self }
    }

    /// As [`Request::step`], for an upstream that knows no idempotency keys: where an earlier attempt's call may have had its effect, the
    /// check looks for it first, and the call is made only if that gives `None`. See [`Checked`](crate::Checked).
    pub fn checked_step<T, E, F>(self, name: &str, check: F) -> CheckedRequest<'_, F>
    where
        F: FnOnce() -> Result<Option<T>, E>,
    {
        CheckedRequest { request: self.step(name), step: name, check }
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

    /// Asks for JSON, by `accept: application/json`. Of a step a 2xx that is none (a proxy's page, an answer cut short) is then not final:
    /// the next attempt makes the call again.
    pub fn expect_json(self) -> Self {
        self.header("accept", "application/json")
    }

    /// Shortens the upstream's own total timeout; it never lengthens it.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Sends the request. Any HTTP status is a response; [`Response::success`] judges it.
    ///
    /// # Errors
    /// There is no response: nothing came back, or the host refused the request.
    pub fn send(self) -> Result<Response, Fault> {
        self.prepare()?.send()
    }

    pub(crate) fn prepare(self) -> Result<Prepared, Fault> {
        let Self { upstream, method, path, content, timeout, step } = self;
        let subject = format!("{method} {upstream} {path}");
        let (headers, body) = content.finish(&subject)?;
        let timeout_ms = timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        let outgoing = Outgoing { upstream, method, path, headers, body, timeout_ms, step, attributes: Vec::new() };
        Ok(Prepared { subject, outgoing })
    }
}

/// A request that can go out.
pub(crate) struct Prepared {
    /// Method, upstream and path, as faults name it.
    pub(crate) subject: String,
    outgoing: Outgoing,
}

impl Prepared {
    pub(crate) fn send(self) -> Result<Response, Fault> {
        let Self { subject, outgoing } = self;
        match host::call(&outgoing) {
            Ok(response) => Ok(Response::new(subject, outgoing.step.is_some() && !expects_json(&outgoing), response)),
            Err(fault) => Err(Fault::of_call(subject, &fault)),
        }
    }
}

/// Whether only JSON is a final response of this step.
pub(crate) fn expects_json(outgoing: &Outgoing) -> bool {
    outgoing.headers.iter().any(|header| header.name == "accept" && header.value.starts_with(b"application/json"))
}

/// An upstream's answer, whatever its status.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Host, fixture};
///
/// hookfast_sdk::plugin! { name: "accounts", upstreams: ["crm"], on "user.deleted" => delete, }
///
/// fn delete(_: Event, cx: &mut Context) -> Outcome {
///     let response = cx.delete("crm", "/users/7").step("delete").send()?;
///     if response.status == 404 {
///         return discard("already gone");
///     }
///     let report: Value = response.success()?.json()?;
///     done(format!("deleted {}", report["deleted"]))
/// }
///
/// let mut host = Host::new(&PLUGIN).on("DELETE", "crm", "/users/7", [(200, r#"{"deleted":3}"#), (404, "")]);
/// assert_eq!(host.run(&fixture("user.deleted", "")).text(), "deleted 3");
/// assert_eq!(host.run(&fixture("user.deleted", "")).text(), "already gone");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// In the order of arrival.
    pub headers: Vec<Header>,
    /// The bytes of the body.
    pub body: Vec<u8>,
    /// Further facts from the host, by name.
    pub attributes: Vec<(String, String)>,
    subject: String,
    /// Whether later attempts get the same one, whatever it holds.
    is_durable: bool,
}

impl Response {
    fn new(subject: String, is_durable: bool, response: types::Response) -> Self {
        let headers = response.headers.into_iter().map(Header::from).collect();
        let types::Response { status, body, attributes, .. } = response;
        Self { status, headers, body, attributes, subject, is_durable }
    }

    /// The first header of that name (any case), if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// Whether it is a step's response that an earlier attempt got, so that nothing was sent.
    pub fn is_recorded(&self) -> bool {
        self.attribute("recorded") == Some("true")
    }

    /// How old it is, if the upstream did not answer and the operator lets a remembered answer stand in (`stale_if_error`).
    ///
    /// ```
    /// use hookfast_sdk::prelude::*;
    /// use hookfast_sdk::test::{Answer, Host, fixture};
    /// use std::time::Duration;
    ///
    /// hookfast_sdk::plugin! { name: "rates", upstreams: ["bank"], otherwise => convert, }
    ///
    /// fn convert(_: Event, cx: &mut Context) -> Outcome {
    ///     let rates = cx.get("bank", "/rates").send()?.success()?;
    ///     match rates.stale_for() {
    ///         Some(age) if age > Duration::from_secs(3600) => retry("the rates are too old"),
    ///         _ => done("converted"),
    ///     }
    /// }
    ///
    /// let hours = |hours: u64| Answer::status(200).stale_for(Duration::from_secs(hours * 3600));
    /// let mut host = Host::new(&PLUGIN).on_get("bank", "/rates", [hours(2), hours(1), 200.into()]);
    /// let event = fixture("order.paid", "");
    /// assert!(host.run(&event).is_retry());
    /// assert!(host.run(&event).is_done());
    /// ```
    pub fn stale_for(&self) -> Option<Duration> {
        self.attribute("stale-ms")?.parse().ok().map(Duration::from_millis)
    }

    /// The response if its status is 2xx.
    ///
    /// # Errors
    /// Any other status; `?` retries 401, 403, 408, 425, 429 and those from 500, after `Retry-After`, and makes the rest dead letters.
    pub fn success(self) -> Result<Self, Fault> {
        if self.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    /// The body as JSON, whatever the status.
    ///
    /// # Errors
    /// - Of a status that is not 2xx: as [`Response::success`].
    /// - It is not JSON, but HTML or cut off (`not_json`): `?` retries, since a proxy's page passes. A step's response is durable and would
    ///   be the same again: dead letter, unless its request says [`Request::expect_json`].
    /// - It is JSON, but not a `T` (`wrong_shape`): `?` makes it a dead letter.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| if self.is_success() { self.malformed(&error) } else { self.refusal() })
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn refusal(&self) -> Fault {
        let retry_after = self.header("retry-after").and_then(|value| retry_after::parse(value, host::now_ms()));
        Fault::of_status(self.subject.clone(), self.status, &excerpt(&self.body), retry_after)
    }

    fn malformed(&self, error: &serde_json::Error) -> Fault {
        let fault = |code, message, is_permanent| Fault::of_answer(self.subject.clone(), self.status, code, message, is_permanent);
        if serde_json::from_slice::<IgnoredAny>(&self.body).is_ok() {
            return fault("wrong_shape", error.to_string(), true);
        }
        let hint = if self.is_durable { " (this step's answer is kept; with `expect_json()` only JSON is)" } else { "" };
        fault("not_json", format!("{error}{hint}: {}", excerpt(&self.body)), self.is_durable)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

fn excerpt(body: &[u8]) -> String {
    let start = &body[..body.len().min(4 * EXCERPT_CHARACTERS_MAX)];
    let text = String::from_utf8_lossy(start);
    let printable = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    printable.take(EXCERPT_CHARACTERS_MAX).collect::<String>().trim().to_owned()
}
