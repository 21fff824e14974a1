//! The two ways in which a call fails, and which of them another attempt can mend.

use std::fmt;
use std::time::Duration;

/// There is no response; `?` retries, or gives up where another attempt would be refused again.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Answer, Host, fixture};
///
/// hookfast_sdk::plugin! { name: "enrich", upstreams: ["geo"], otherwise => enrich, }
///
/// fn enrich(_: Event, cx: &mut Context) -> Outcome {
///     match cx.get("geo", "/lookup").send() {
///         Err(fault) if fault.code == "timeout" => done("without a place"),
///         other => done(format!("answered {}", other?.success()?.status)),
///     }
/// }
///
/// let mut host = Host::new(&PLUGIN).on_get("geo", "/lookup", [Answer::fault("timeout"), Answer::fault("reset")]);
/// assert!(host.run(&fixture("visit", "")).is_done());
/// assert!(host.run(&fixture("visit", "")).is_retry());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fault {
    /// A stable machine code, for example `timeout`.
    pub code: String,
    /// For people.
    pub message: String,
    pub(crate) request: String,
}

impl Fault {
    /// Unknown codes are transient: a host that is newer than this SDK may know more of them.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(
            self.code.as_str(),
            "unknown_upstream" | "not_granted" | "private_address" | "invalid_request" | "response_too_large" | "too_many_calls"
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.request, self.code, self.message)
    }
}

impl std::error::Error for Fault {}

/// A response whose status is not 2xx.
///
/// ```
/// use hookfast_sdk::{Failure, StatusError};
///
/// /// An upstream that answers 409 for what it already has.
/// fn unless_known(error: StatusError) -> Failure {
///     match error.status {
///         409 => Failure::Discard(error.to_string()),
///         _ => error.into(),
///     }
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatusError {
    /// The HTTP status.
    pub status: u16,
    /// What the response's `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    pub(crate) request: String,
    pub(crate) excerpt: String,
}

impl StatusError {
    pub(crate) fn is_permanent(&self) -> bool {
        !matches!(self.status, 408 | 425 | 429 | 500..=599)
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} answered {}", self.request, self.status)?;
        if self.excerpt.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.excerpt) }
    }
}

impl std::error::Error for StatusError {}
