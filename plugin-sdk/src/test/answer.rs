//! What a scripted upstream answers.

use crate::Header;
use crate::bindings::hookfast::plugin::types;
use serde::Serialize;

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
        Self(Ok(types::Response { status, headers: Vec::new(), body: Vec::new() }))
    }

    /// No response: a fault code, for example `timeout` or `connect`.
    pub fn fault(code: &str) -> Self {
        Self::fault_with(code, format!("scripted {code}"))
    }

    pub(super) fn fault_with(code: &str, message: String) -> Self {
        Self(Err(types::Fault { code: code.to_owned(), message, attributes: Vec::new() }))
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

    /// Whether the host keeps it as a step's final response; everything else is asked again. Refused credentials
    /// (401, 403) are not final: the operator mends them.
    pub(super) fn is_final(&self) -> bool {
        matches!(&self.0, Ok(response) if !matches!(response.status, 401 | 403 | 408 | 425 | 429 | 500..=599))
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
