//! Why the host, or an upstream, did not give what a handler asked for, and whether another attempt can mend it.

use crate::bindings::hookfast::plugin::types;
use std::fmt;
use std::time::Duration;

/// What was asked for did not come: an upstream gave no answer or a bad one, or the host refused. `?` retries where another attempt can
/// mend it, and makes a dead letter of the rest.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// use hookfast_sdk::test::{Answer, Host, fixture};
///
/// hookfast_sdk::plugin! { name: "accounts", upstreams: ["crm"], otherwise => create, }
///
/// fn create(_: Event, cx: &mut Context) -> Outcome {
///     match cx.post("crm", "/accounts").step("create").send()?.success() {
///         Err(fault) if fault.status == Some(409) => discard("the CRM has it already"),
///         Err(fault) if fault.class == FaultClass::Auth => retry("the CRM refuses our credentials"),
///         answer => done(format!("answered {}", answer?.status)),
///     }
/// }
///
/// let mut host = Host::new(&PLUGIN).on_post("crm", "/accounts", [401, 409]);
/// let event = fixture("user.created", "");
/// assert!(host.run(&event).is_retry());
/// assert!(host.run(&event).is_discard());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// A stable machine code, for example `timeout`. Made by the SDK: `status` (the answer is not 2xx), `not_json`, `wrong_shape`.
    pub code: String,
    /// What kind of failure it is.
    pub class: FaultClass,
    /// For people.
    pub message: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// Not before this long another attempt makes sense, where that is known: of `Retry-After`, or of a limit or breaker of the host.
    pub retry_after: Option<Duration>,
    /// What was asked for.
    subject: String,
    is_permanent: bool,
}

impl Fault {
    pub(crate) fn new(subject: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        let class = FaultClass::of_code(code);
        Self {
            code: code.to_owned(),
            class,
            message: message.into(),
            status: None,
            retry_after: None,
            subject: subject.into(),
            is_permanent: class == FaultClass::Permanent,
        }
    }

    /// Of a call; the host knows its class best, for instance whether the request had been sent.
    pub(crate) fn of_call(subject: String, fault: &types::Fault) -> Self {
        let attribute = |name| fault.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let class = attribute("class").and_then(FaultClass::of_word);
        let retry_after = attribute("retry-after-ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        let of_code = Self::of_host(subject, fault);
        let class = class.unwrap_or(of_code.class);
        Self { class, retry_after, is_permanent: class == FaultClass::Permanent, ..of_code }
    }

    /// Of state or an effect: its code says all.
    pub(crate) fn of_host(subject: impl Into<String>, fault: &types::Fault) -> Self {
        Self::new(subject, &fault.code, fault.message.as_str())
    }

    /// An answer whose status is not 2xx.
    pub(crate) fn of_status(subject: String, status: u16, excerpt: &str, retry_after: Option<Duration>) -> Self {
        let class = FaultClass::of_status(status);
        let message = if excerpt.is_empty() { format!("answered {status}") } else { format!("answered {status}: {excerpt}") };
        let is_permanent = class == FaultClass::Permanent;
        Self { code: "status".to_owned(), class, message, status: Some(status), retry_after, subject, is_permanent }
    }

    /// An answer that is not what was promised.
    pub(crate) fn of_answer(subject: String, status: u16, code: &str, message: String, is_permanent: bool) -> Self {
        let class = FaultClass::Malformed;
        Self { code: code.to_owned(), class, message, status: Some(status), retry_after: None, subject, is_permanent }
    }

    /// Whether `?` gives up: another attempt would end the same way.
    pub fn is_permanent(&self) -> bool {
        self.is_permanent
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, subject, .. } = self;
        if code == "status" { write!(formatter, "{subject} {message}") } else { write!(formatter, "{subject}: {code}: {message}") }
    }
}

impl std::error::Error for Fault {}

/// What kind of failure a [`Fault`] is.
///
/// ```
/// use hookfast_sdk::FaultClass;
/// assert_eq!(FaultClass::RateLimited.as_str(), "rate_limited");
/// assert!(!FaultClass::OUTAGE.contains(&FaultClass::Permanent));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultClass {
    /// It may pass: no connection, an open breaker, status 408, 425 and from 500, state that cannot be read now.
    Transient,
    /// It passes after a while: status 429, or the upstream's limits in the host.
    RateLimited,
    /// The operator has to mend something at the upstream: status 401 and 403, credentials or certificates that are refused.
    Auth,
    /// It will be so again: every other status that is not 2xx, and what the host refuses.
    Permanent,
    /// The answer is not what was promised: HTML for JSON, JSON that is cut off or has another shape.
    Malformed,
    /// The request was sent and no answer came: it may have had its effect.
    Ambiguous,
}

impl FaultClass {
    /// All classes but [`FaultClass::Permanent`]: the upstream does not work now; for [`Fallback`](crate::Fallback).
    pub const OUTAGE: &[Self] = &[Self::Transient, Self::RateLimited, Self::Auth, Self::Malformed, Self::Ambiguous];

    const ALL: [Self; 6] = [Self::Transient, Self::RateLimited, Self::Auth, Self::Permanent, Self::Malformed, Self::Ambiguous];

    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::Permanent => "permanent",
            Self::Malformed => "malformed",
            Self::Ambiguous => "ambiguous",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Auth,
            429 => Self::RateLimited,
            408 | 425 | 500.. => Self::Transient,
            _ => Self::Permanent,
        }
    }

    /// Unknown codes are transient: a host that is newer than this SDK may know more of them.
    fn of_code(code: &str) -> Self {
        match code {
            "timeout" | "reset" => Self::Ambiguous,
            "rate_limited" => Self::RateLimited,
            "auth_failed" | "tls_failed" => Self::Auth,
            "unknown_upstream" | "not_granted" | "private_address" | "invalid_request" | "response_too_large" | "too_many_calls"
            | "too_many_redirects" | "step_changed" => Self::Permanent,
            "unknown_target" | "too_deep" | "too_many_effects" => Self::Permanent,
            "invalid_key" | "value_too_large" | "too_many_writes" | "not_a_number" | "overflow" | "wrong_shape" => Self::Permanent,
            _ => Self::Transient,
        }
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
