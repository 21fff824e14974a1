//! How a handler ends: done, retry, discard or dead letter, decided by type. This is the one place where an error
//! gets its class from the author; the classes that errors have by themselves stand beside those errors.

use crate::bindings::exports::hookfast::plugin::handler as wire;
use crate::bindings::hookfast::plugin::types;
use crate::{Fault, PayloadError};
use std::fmt::{self, Display};
use std::time::Duration;

/// What a handler answers.
///
/// ```
/// use hookfast_sdk::prelude::*;
///
/// fn outcome(stock: u32) -> Outcome {
///     match stock {
///         0 => retry("out of stock"),
///         count => done(format!("{count} left")),
///     }
/// }
/// assert!(outcome(3).is_ok());
/// assert!(matches!(outcome(0), Err(Failure::Retry { after: None, .. })));
/// ```
pub type Outcome = Result<Done, Failure>;

/// The event is finished; made by [`done`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done(pub(crate) Option<String>);

/// Why an event is not done, and what the host shall do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Transient: run again.
    Retry {
        /// How long to wait at least; `None` leaves it to the source's retry policy.
        after: Option<Duration>,
        /// For the operator.
        reason: String,
    },
    /// Permanent and expected: finish and keep the reason; nobody is alarmed.
    Discard(String),
    /// Permanent and unexpected: a dead letter, kept until the operator replays or discards it.
    DeadLetter(String),
}

/// The event is finished; the note is kept with the attempt.
///
/// ```
/// assert!(hookfast_sdk::done("synced").is_ok());
/// ```
pub fn done(note: impl Into<String>) -> Outcome {
    Ok(Done(Some(note.into())))
}

/// Run again, when the source's retry policy says.
///
/// # Errors
/// Always: it is a failure, ready to be returned.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// fn order(ready: bool) -> Outcome {
///     if !ready { return retry("the warehouse has not seen the order yet"); }
///     done("shipped")
/// }
/// # assert!(order(false).is_err());
/// ```
pub fn retry<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Retry { after: None, reason: reason.into() })
}

/// Run again, not before `after` has passed.
///
/// # Errors
/// Always: it is a failure, ready to be returned.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// let outcome: Outcome = retry_after(std::time::Duration::from_secs(60), "the report is being built");
/// # assert!(outcome.is_err());
/// ```
pub fn retry_after<T>(after: Duration, reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Retry { after: Some(after), reason: reason.into() })
}

/// Finish without doing anything, as expected: nobody is alarmed.
///
/// # Errors
/// Always: it is a failure, ready to be returned.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// let outcome: Outcome = discard("a test event");
/// # assert_eq!(outcome, Err(Failure::Discard("a test event".into())));
/// ```
pub fn discard<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Discard(reason.into()))
}

/// Give up and keep the event for a human.
///
/// # Errors
/// Always: it is a failure, ready to be returned.
///
/// ```
/// use hookfast_sdk::prelude::*;
/// let outcome: Outcome = dead_letter("an invoice without a customer");
/// # assert!(outcome.is_err());
/// ```
pub fn dead_letter<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::DeadLetter(reason.into()))
}

/// Gives an error, or a missing value, the class that the author wants; `?` then ends the handler with it.
///
/// ```
/// use hookfast_sdk::prelude::*;
///
/// fn cents(text: &str) -> Result<u64, Failure> {
///     text.parse().or_dead_letter("amount")
/// }
/// assert_eq!(cents("12"), Ok(12));
/// assert_eq!(cents("x"), Err(Failure::DeadLetter("amount: invalid digit found in string".into())));
///
/// let missing: Option<u64> = None;
/// assert_eq!(missing.or_discard("no amount"), Err(Failure::Discard("no amount".into())));
/// ```
pub trait OrFailure<T>: Sized {
    #[doc(hidden)]
    fn or_failure(self, reason: String, failure: impl FnOnce(String) -> Failure) -> Result<T, Failure>;

    /// Run again, when the source's retry policy says.
    ///
    /// # Errors
    /// There was an error or no value.
    fn or_retry(self, reason: impl Into<String>) -> Result<T, Failure> {
        self.or_failure(reason.into(), |reason| Failure::Retry { after: None, reason })
    }

    /// Run again, not before `after` has passed.
    ///
    /// # Errors
    /// There was an error or no value.
    fn or_retry_after(self, after: Duration, reason: impl Into<String>) -> Result<T, Failure> {
        self.or_failure(reason.into(), |reason| Failure::Retry { after: Some(after), reason })
    }

    /// Finish without alarm.
    ///
    /// # Errors
    /// There was an error or no value.
    fn or_discard(self, reason: impl Into<String>) -> Result<T, Failure> {
        self.or_failure(reason.into(), Failure::Discard)
    }

    /// Keep the event for a human.
    ///
    /// # Errors
    /// There was an error or no value.
    fn or_dead_letter(self, reason: impl Into<String>) -> Result<T, Failure> {
        self.or_failure(reason.into(), Failure::DeadLetter)
    }
}

impl<T, E: Display> OrFailure<T> for Result<T, E> {
    fn or_failure(self, reason: String, failure: impl FnOnce(String) -> Failure) -> Result<T, Failure> {
        self.map_err(|error| failure(format!("{reason}: {error}")))
    }
}

impl<T> OrFailure<T> for Option<T> {
    fn or_failure(self, reason: String, failure: impl FnOnce(String) -> Failure) -> Result<T, Failure> {
        self.ok_or_else(|| failure(reason))
    }
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        Self::DeadLetter(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::DeadLetter(error.to_string())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let reason = fault.to_string();
        if fault.is_permanent() { Self::DeadLetter(reason) } else { Self::Retry { after: fault.retry_after, reason } }
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Retry { reason, .. } | Self::Discard(reason) | Self::DeadLetter(reason)) = self;
        formatter.write_str(reason)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for wire::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { after, reason } => Self::Retry(wire::RetryHint {
                after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                reason,
                attributes: Vec::new(),
            }),
            Failure::Discard(reason) => Self::Discard(reason),
            Failure::DeadLetter(reason) => Self::DeadLetter(reason),
        }
    }
}

/// Of a compensation, which is not run again whatever it says.
impl From<Failure> for types::Fault {
    fn from(failure: Failure) -> Self {
        let code = match failure {
            Failure::Retry { .. } => "retry",
            Failure::Discard(_) => "discard",
            Failure::DeadLetter(_) => "dead_letter",
        };
        Self { code: code.to_owned(), message: failure.to_string(), attributes: Vec::new() }
    }
}
