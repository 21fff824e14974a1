//! What the operator says of an upstream: `[upstreams.NAME]`, already read and resolved. Data only; nothing here connects.

use std::time::Duration;

use super::BaseUrl;
use crate::domain::{Secret, UpstreamName};

/// One upstream as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// The name by which plugins call it.
    pub name: UpstreamName,
    /// Below which URL it is called.
    pub base: BaseUrl,
    /// The credentials that the host adds to each call.
    pub auth: Auth,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Whether it may be inside the own network: loopback, private, link-local and other special addresses.
    pub allow_private: bool,
    /// The largest body of an answer, bytes.
    pub response_bytes_max: usize,
}

impl UpstreamSettings {
    /// No credentials, default timeouts, public addresses only, answers up to 1 MiB.
    pub fn new(name: UpstreamName, base: BaseUrl) -> Self {
        Self { name, base, auth: Auth::None, timeouts: Timeouts::default(), allow_private: false, response_bytes_max: 1 << 20 }
    }
}

/// The credentials of an upstream. Plugins never see them and cannot set the headers that carry them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// None; a plugin may send its own.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// `Authorization: Basic …` (RFC 7617); the user has no colon.
    Basic { user: String, password: Secret },
    /// A header of the upstream's own, such as `X-Api-Key`.
    Header { name: String, value: Secret },
    /// Each call is signed as a webhook (<https://www.standardwebhooks.com>); the key as [`super::standard_webhooks_key`] decodes it.
    StandardWebhooks(Secret),
}

/// The time limits of a call, all monotonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a new connection: name lookup, TCP and TLS together.
    pub connect: Duration,
    /// The longest silence once connected: until the head of the answer is there, and between pieces of its body.
    pub read: Duration,
    /// For the whole call; a plugin can only shorten it.
    pub total: Duration,
}

impl Default for Timeouts {
    /// 3 s, 10 s, 30 s.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), read: Duration::from_secs(10), total: Duration::from_secs(30) }
    }
}
