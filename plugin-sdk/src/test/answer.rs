//! What a scripted upstream answers.

use super::fault;
use crate::bindings::hookfast::plugin::types;
use crate::{FaultClass, Header};
use serde::Serialize;
use std::time::Duration;

/// One scripted answer: a response, or a fault in its place.
///
/// ```
/// use hookfast_sdk::test::Answer;
/// let busy = Answer::status(429).header("retry-after", "30");
/// let price = Answer::status(200).json(&serde_json::json!({ "cents": 1250 }));
/// let lost = Answer::fault("timeout");
/// ```
#[derive(Debug, Clone)]
pub struct Answer(pub(super) Result<types::Response, types::Fault>);

impl Answer {
    /// A response with that status and nothing else.
    pub fn status(status: u16) -> Self {
        Self(Ok(types::Response { status, headers: Vec::new(), body: Vec::new(), attributes: Vec::new() }))
    }

    /// No response: a fault code, for example `timeout` or `connect`. With `timeout` and `reset` the request had been sent, unless
    /// [`Answer::class`] says otherwise.
    pub fn fault(code: &str) -> Self {
        Self(Err(fault(code, format!("scripted {code}"))))
    }

    /// Sets the class of a fault, where its code does not say it.
    ///
    /// ```
    /// use hookfast_sdk::{FaultClass, test::Answer};
    /// let never_sent = Answer::fault("timeout").class(FaultClass::Transient);
    /// ```
    #[must_use]
    pub fn class(self, class: FaultClass) -> Self {
        self.fault_attribute("class", class.to_string())
    }

    /// How long to wait: a `Retry-After` of the response, or what the host says with its fault.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        if self.0.is_ok() {
            return self.header("retry-after", after.as_secs().to_string());
        }
        self.fault_attribute("retry-after-ms", after.as_millis().to_string())
    }

    /// Makes the response a remembered one of this age, that stands in for one that did not come.
    #[must_use]
    pub fn stale_for(self, age: Duration) -> Self {
        self.attribute("stale-ms", age.as_millis().to_string())
    }

    /// The response as the journal gives it.
    pub(super) fn recorded(self) -> Self {
        self.attribute("recorded", "true".to_owned())
    }

    fn attribute(mut self, name: &str, value: String) -> Self {
        if let Ok(response) = &mut self.0 {
            response.attributes.push((name.to_owned(), value));
        }
        self
    }

    fn fault_attribute(mut self, name: &str, value: String) -> Self {
        if let Err(fault) = &mut self.0 {
            fault.attributes.push((name.to_owned(), value));
        }
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        if let Ok(response) = &mut self.0 {
            response.headers.push(Header::new(name, value).into());
        }
        self
    }

    /// Sets the response's body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(response) = &mut self.0 {
            response.body = body.into();
        }
        self
    }

    /// Sets the response's body to this value as JSON.
    ///
    /// # Panics
    /// The value cannot be JSON.
    #[must_use]
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        self.header("content-type", "application/json").body(serde_json::to_vec(value).expect("a value for JSON"))
    }

    /// Whether it is JSON, or no success.
    pub(super) fn is_json_if_successful(&self) -> bool {
        let is_json = |body: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        self.0.as_ref().is_ok_and(|response| !(200..300).contains(&response.status) || is_json(&response.body))
    }

    /// Whether the host keeps it as a step's final response; everything else is asked again. Refused credentials
    /// (401, 403) are not final: the operator mends them.
    pub(super) fn is_final(&self) -> bool {
        let is_stale = |response: &types::Response| response.attributes.iter().any(|(name, _)| name == "stale-ms");
        matches!(&self.0, Ok(response) if !matches!(response.status, 401 | 403 | 408 | 425 | 429 | 500..) && !is_stale(response))
    }
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self::status(status)
    }
}

impl From<(u16, &str)> for Answer {
    fn from((status, body): (u16, &str)) -> Self {
        Self::status(status).body(body)
    }
}

/// The answers to a series of requests: `200`, `(200, "body")`, an [`Answer`], or an array of one of them.
#[derive(Debug)]
pub struct Answers(pub(super) Vec<Answer>);

impl From<u16> for Answers {
    fn from(status: u16) -> Self {
        Self(vec![status.into()])
    }
}

impl From<(u16, &str)> for Answers {
    fn from(answer: (u16, &str)) -> Self {
        Self(vec![answer.into()])
    }
}

impl From<Answer> for Answers {
    fn from(answer: Answer) -> Self {
        Self(vec![answer])
    }
}

impl<A: Into<Answer>, const N: usize> From<[A; N]> for Answers {
    fn from(answers: [A; N]) -> Self {
        Self(answers.into_iter().map(Into::into).collect())
    }
}
