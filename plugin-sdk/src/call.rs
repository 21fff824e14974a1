//! One call of an upstream: the request and its response. It never retries: the host does, by running the handler
//! again.

use crate::bindings::hookfast::plugin::{types, upstream::Outgoing};
use crate::event::find_header;
use crate::{Fault, Header, Payload, PayloadError, StatusError, host, retry_after};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How much of a refusal's body is shown in the outcome's reason.
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
    outgoing: Outgoing,
    unserializable: Option<serde_json::Error>,
}

impl Request {
    pub(crate) fn new(method: &str, upstream: &str, path: String) -> Self {
        let outgoing = Outgoing {
            upstream: upstream.to_owned(),
            method: method.to_owned(),
            path,
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
            step: None,
        };
        Self { outgoing, unserializable: None }
    }

    /// Names this call, uniquely within the job: 1 to 64 of `a-z A-Z 0-9 _ . -`. Its final response is then durable
    /// and replayed to later attempts, and the upstream gets an `Idempotency-Key` that stays the same over them.
    pub fn step(mut self, name: &str) -> Self {
        self.outgoing.step = Some(name.to_owned());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.outgoing.headers.push(Header::new(name, value).into());
        self
    }

    /// Sends these bytes; say what they are with `header("content-type", …)`.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.outgoing.body = bytes.into();
        self
    }

    /// Sends this value as `application/json`. A value that cannot be JSON fails `send` with `invalid_request`.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => return self.header("content-type", "application/json").body(bytes),
            Err(error) => self.unserializable = Some(error),
        }
        self
    }

    /// Shortens the upstream's own total timeout; it never lengthens it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.outgoing.timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Sends the request. Any HTTP status is a response; [`Response::success`] judges it.
    ///
    /// # Errors
    /// There is no response: nothing came back, or the host refused the request.
    pub fn send(self) -> Result<Response, Fault> {
        let request = format!("{} {} {}", self.outgoing.method, self.outgoing.upstream, self.outgoing.path);
        if let Some(error) = self.unserializable {
            return Err(Fault { request, code: "invalid_request".to_owned(), message: error.to_string() });
        }
        match host::call(&self.outgoing) {
            Ok(response) => Ok(Response::new(request, response)),
            Err(fault) => Err(Fault { request, code: fault.code, message: fault.message }),
        }
    }
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
    request: String,
}

impl Response {
    fn new(request: String, response: types::Response) -> Self {
        let headers = response.headers.into_iter().map(Header::from).collect();
        Self { status: response.status, headers, body: response.body, request }
    }

    /// The first header of that name (any case), if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// The response if its status is 2xx.
    ///
    /// # Errors
    /// Any other status; `?` retries 408, 425, 429 and 5xx after `Retry-After`, and makes the rest dead letters.
    pub fn success(self) -> Result<Self, StatusError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let retry_after = self.header("retry-after").and_then(|value| retry_after::parse(value, host::now_ms()));
        Err(StatusError { status: self.status, retry_after, excerpt: excerpt(&self.body), request: self.request })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// The body is not a `T`; `?` makes it a dead letter.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        T::parse(&self.body, "")
    }
}

fn excerpt(body: &[u8]) -> String {
    let start = &body[..body.len().min(4 * EXCERPT_CHARACTERS_MAX)];
    let text = String::from_utf8_lossy(start);
    let printable = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    printable.take(EXCERPT_CHARACTERS_MAX).collect::<String>().trim().to_owned()
}
