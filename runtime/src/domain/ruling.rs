//! What a plugin that proves requests says of one, in words that neither wasmtime nor the front door knows.

use bytes::Bytes;

use super::{Answer, OutboundAnswer};

/// A plugin's word on a request.
#[derive(Debug, Clone)]
pub enum Ruling {
    /// Authentic: these events, at least one, and what their sender is told in place of the source's own answer.
    Accept { events: Vec<Arrival>, answer: Option<Answer> },
    /// A question of the provider's, with its answer; nothing is stored.
    Respond(OutboundAnswer),
    /// Authentic and not wanted, with the reason.
    Ignore(String),
    /// Not authentic, or no request of this provider at all; code and text are for the operator.
    Reject { code: String, message: String },
}

/// An event as a plugin sees it in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The provider's name for what happened.
    pub event_type: Option<String>,
    /// What it is deduped by.
    pub dedupe_key: Option<String>,
    /// What it is ordered by.
    pub ordering_key: Option<String>,
    /// Its body; `None` for the request's.
    pub body: Option<Bytes>,
}

/// A plugin's wish to use a secret of its source, which it never sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The secret's name.
    pub secret: String,
    /// What to do with it.
    pub deed: KeyDeed,
}

/// What can be done with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyDeed {
    /// Is this signature by it?
    Verify { form: String, algorithm: String, message: Vec<u8>, signature: Vec<u8> },
    /// Sign with it.
    Sign { form: String, algorithm: String, message: Vec<u8> },
    /// Is it this text?
    Is { text: Vec<u8> },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAnswer {
    /// To a question.
    Holds(bool),
    /// The signature.
    Signature(Vec<u8>),
}

/// Why a secret could not be used so; never says anything of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyUseFault {
    /// `unknown_secret`, `unknown_form`, `unknown_algorithm`, `unfit_secret` or `not_granted`.
    pub code: &'static str,
    /// One sentence for the plugin's author.
    pub message: String,
}
