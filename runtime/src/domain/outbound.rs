//! An outbound request of a plugin, in words that neither wasmtime nor the HTTP client knows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use super::Headers;

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

/// What an upstream answered, whatever the status.
#[derive(Debug, Clone)]
pub struct OutboundAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers in order.
    pub headers: Headers,
    /// The body's bytes, within the response cap.
    pub body: Bytes,
}

/// Why no answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallFault {
    /// The kind that plugins and the journal see.
    pub kind: CallFaultKind,
    /// One sentence that may be shown to the plugin's author.
    pub message: String,
}

impl CallFault {
    /// A fault of a kind, with its sentence.
    pub fn new(kind: CallFaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
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
}

impl CallFaultKind {
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
        }
    }
}

/// A step's name: 1 to 64 of `a-z A-Z 0-9 _ . -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step(String);

impl FromStr for Step {
    type Err = CallFault;

    fn from_str(text: &str) -> Result<Self, CallFault> {
        let valid = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        let fault = || CallFault::new(CallFaultKind::InvalidRequest, "a step is 1 to 64 of a-z A-Z 0-9 _ . -");
        if valid { Ok(Self(text.into())) } else { Err(fault()) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
