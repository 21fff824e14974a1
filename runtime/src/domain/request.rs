//! What arrived on the wire, before anyone decided what it is.

use bytes::Bytes;

use super::{Headers, Timestamp};

/// One HTTP request to a source, body read in full.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The HTTP method, upper-case.
    pub method: String,
    /// Path and query exactly as received.
    pub target: String,
    /// All headers in order of arrival.
    pub headers: Headers,
    /// The body's exact bytes.
    pub body: Bytes,
    /// When its head was complete, host clock.
    pub received_at: Timestamp,
}

impl RawRequest {
    /// One of which nothing is known but its time.
    pub fn empty(received_at: Timestamp) -> Self {
        Self { method: String::new(), target: String::new(), headers: Headers::default(), body: Bytes::new(), received_at }
    }
}

/// What is known of who sent a request that was let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// What proved that it came from the source's provider; `None` where the source asks for no proof.
    pub held: Option<Held>,
    /// The lower-case names of the headers that the proof covers.
    pub signed_headers: Vec<String>,
    /// Whether the provider vouches for all of the body that means something; where it signs less, the rest is whatever the last sender
    /// made of it.
    pub vouches_for_body: bool,
    /// Whether the proof is a shared secret that was sent along: the sender is authenticated, nothing is signed.
    pub is_token: bool,
    /// The header whose value *is* the secret (static token, Basic): it is stored and shown as `[verified]`.
    pub secret_header: Option<String>,
}

/// What a proof was checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which of the provider's schemes held, counted from 0.
    pub scheme: usize,
    /// Which of the source's secrets held, counted from 0; of a source that has none, a key that its provider publishes.
    pub secret: usize,
}

impl Verified {
    /// Of a request that nothing vouches for.
    pub fn unproved() -> Self {
        Self { held: None, signed_headers: Vec::new(), vouches_for_body: false, is_token: false, secret_header: None }
    }
}
