//! What a running handler reaches outside the sandbox: its upstreams, its journal, its state. The worker's is real; that of a plugin's own
//! fixtures answers 200 to everything and keeps nothing.

use std::collections::BTreeSet;
use std::pin::Pin;

use crate::domain::{CallFault, CallRecord, OutboundAnswer, OutboundRequest, StateItem, Step, UpstreamName};

/// An answer that may take a while.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answer of an upstream or the fault, and the record of the call.
pub type Called = (Result<OutboundAnswer, CallFault>, CallRecord);

/// Carries a guest's wishes out of the sandbox.
pub trait Outside: Send + Sync {
    /// Makes a call, or gives the recorded response of its step.
    fn call(&self, request: OutboundRequest) -> Soon<'_, Called>;

    /// The upstream of these whose base is before a URL, and the rest of that URL: path and query.
    fn upstream_at(&self, url: &http::Uri, of: &BTreeSet<UpstreamName>) -> Option<(String, String)>;

    /// Writes down that a step's call comes next; what was known of the step before.
    fn begin(&self, step: Step) -> Soon<'_, Result<Standing, CallFault>>;

    /// What is committed under a key of the plugin's state.
    fn state<'a>(&'a self, key: &'a str) -> Soon<'a, Result<Option<StateItem>, Unavailable>>;

    /// The bytes that the plugin's state takes.
    fn state_bytes(&self) -> Soon<'_, Result<u64, Unavailable>>;
}

/// What the journal knew of a step when its call was about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No attempt has come so far.
    Fresh,
    /// An earlier attempt has, and nothing is known of what came of it.
    Uncertain,
    /// Its response is recorded.
    Recorded,
}

impl Standing {
    /// The word of the contract in `plugin-sdk/wit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Uncertain => "uncertain",
            Self::Recorded => "recorded",
        }
    }
}

/// The store cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;
