//! An outbound request of a plugin, in words that neither wasmtime nor the HTTP client knows.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{Headers, Step, Timestamp};

/// What a plugin asks of an upstream.
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// The upstream's name as the plugin gave it.
    pub upstream: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query below the base URL; starts with `/`.
    pub path: String,
    /// Headers of the plugin's own.
    pub headers: Headers,
    /// The body's bytes.
    pub body: Bytes,
    /// Shortens the upstream's total timeout.
    pub timeout: Option<Duration>,
    /// The step's name.
    pub step: Option<Step>,
}

/// A path as it is shown and kept: without its query, which may hold a secret, and at most 512 characters.
pub fn shown_path(path: &str) -> String {
    path.split('?').next().unwrap_or_default().chars().take(512).collect()
}

/// What an upstream answered, whatever the status.
#[derive(Debug, Clone)]
pub struct OutboundAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers in order.
    pub headers: Headers,
    /// The body's bytes, within the response cap.
    pub body: Bytes,
    /// How old it is, where it is a remembered one that stands in for one that did not come.
    pub stale_for: Option<Duration>,
}

impl OutboundAnswer {
    /// How long its `Retry-After` asks to wait (RFC 9110 §10.2.3: seconds, or a date in any of the three forms of §5.6.7); `None` where it says
    /// nothing that can be read.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.headers.text("retry-after")?.trim();
        let until = || {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(Timestamp::from_millis(i64::try_from(date.as_millis()).ok()?).since(now))
        };
        // Digits only: as a number `+1` would be taken, too.
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok().map(Duration::from_secs) } else { until() }
    }

    /// Whether it is JSON if it is a 2xx and its request, by `accept: application/json`, wants nothing else: a page that something on the way
    /// put in an answer's place, or an answer cut short, is none.
    pub fn is_as_promised(&self, request: &Headers) -> bool {
        let wants_json = request.text("accept").is_some_and(|accept| accept.starts_with("application/json"));
        !wants_json || !(200..300).contains(&self.status) || serde_json::from_slice::<IgnoredAny>(&self.body).is_ok()
    }

    /// Whether another attempt would be answered the same: then it is a step's final response.
    pub fn is_final(&self) -> bool {
        !matches!(self.status, 401 | 403 | 408 | 425 | 429 | 500..) && self.stale_for.is_none()
    }
}

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallFault {
    /// The kind that plugins and the journal see.
    pub kind: CallFaultKind,
    /// One sentence that may be shown to the plugin's author.
    pub message: String,
    /// Whether the request may have had its effect: it was sent, and no answer came.
    pub may_have_happened: bool,
    /// Not before this long another attempt makes sense, where that is known.
    pub retry_after: Option<Duration>,
}

impl CallFault {
    /// A fault of a kind, with its sentence.
    pub fn new(kind: CallFaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), may_have_happened: false, retry_after: None }
    }

    /// What kind of failure it is, for whoever decides what to do.
    pub fn class(&self) -> CallFaultClass {
        use CallFaultKind::*;
        match self.kind {
            Timeout | Connect | Reset | Tls if self.may_have_happened => CallFaultClass::Ambiguous,
            Timeout | Connect | Reset | Tls | BreakerOpen => CallFaultClass::Transient,
            RateLimited => CallFaultClass::RateLimited,
            AuthFailed | TlsFailed => CallFaultClass::Auth,
            ResponseTooLarge | TooManyRedirects | UnknownUpstream | NotGranted | PrivateAddress | InvalidRequest | TooManyCalls
            | StepChanged => CallFaultClass::Permanent,
        }
    }
}

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallFaultClass {
    /// It may pass.
    Transient,
    /// It passes after a known time.
    RateLimited,
    /// The operator has to mend something at the upstream.
    Auth,
    /// It will be so again.
    Permanent,
    /// The request was sent and no answer came: it may have had its effect.
    Ambiguous,
}

impl CallFaultClass {
    /// The stable code of the contract in `plugin-sdk/wit`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::Permanent => "permanent",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// The kinds of fault a call can end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallFaultKind {
    /// No connection, or no answer, in time.
    Timeout,
    /// The connection was refused or could not be made.
    Connect,
    /// The connection broke before the answer was complete.
    Reset,
    /// TLS failed.
    Tls,
    /// The answer is over the upstream's response cap.
    ResponseTooLarge,
    /// No upstream has this name.
    UnknownUpstream,
    /// The operator has not granted this upstream to the plugin.
    NotGranted,
    /// The upstream's address is private and the operator has not allowed that.
    PrivateAddress,
    /// Method, path, header or step is not valid.
    InvalidRequest,
    /// The attempt made more calls than it may.
    TooManyCalls,
    /// The upstream redirected more often than is followed, or to another origin.
    TooManyRedirects,
    /// The upstream's limits leave no room now.
    RateLimited,
    /// The upstream's breaker is open.
    BreakerOpen,
    /// The upstream refuses its credentials, again and again.
    AuthFailed,
    /// TLS with the upstream fails, again and again.
    TlsFailed,
    /// The step is recorded for another request.
    StepChanged,
}

impl CallFaultKind {
    /// Whether the upstream takes no calls now: whoever needs it waits, and burns no attempt.
    pub fn is_upstream_down(self) -> bool {
        matches!(self, Self::RateLimited | Self::BreakerOpen | Self::AuthFailed | Self::TlsFailed)
    }

    /// The stable code of the contract in `plugin-sdk/wit`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::ResponseTooLarge => "response_too_large",
            Self::UnknownUpstream => "unknown_upstream",
            Self::NotGranted => "not_granted",
            Self::PrivateAddress => "private_address",
            Self::InvalidRequest => "invalid_request",
            Self::TooManyCalls => "too_many_calls",
            Self::TooManyRedirects => "too_many_redirects",
            Self::RateLimited => "rate_limited",
            Self::BreakerOpen => "breaker_open",
            Self::AuthFailed => "auth_failed",
            Self::TlsFailed => "tls_failed",
            Self::StepChanged => "step_changed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37 UTC, the date of RFC 9110's examples.
    const EXAMPLE: Timestamp = Timestamp::from_millis(784_111_777_000);

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date_in_any_of_three_forms() {
        let check = |value: &str, expected: Option<u64>| {
            let mut headers = Headers::default();
            headers.push("retry-after", value);
            let answer = OutboundAnswer { status: 503, headers, body: Bytes::new(), stale_for: None };
            let wait = answer.retry_after(EXAMPLE - Duration::from_secs(90));
            assert_eq!(wait, expected.map(Duration::from_secs), "{value:?}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(90));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(90));
        check("Sun Nov  6 08:49:37 1994", Some(90));
        check("Sun, 06 Nov 1994 08:40:00 GMT", Some(0));
        for nonsense in ["", "soon", "-1", "+1", "1.5", "99999999999999999999"] {
            check(nonsense, None);
        }
    }
}
