//! What the operator says of an upstream: `[upstreams.NAME]`, already read and resolved. Data only; nothing here connects.

use std::time::Duration;

use super::faults::Faults;
use super::hmac_signature::HmacSigning;
use super::oauth::OAuth;
use super::tls::Tls;
use super::{BaseUrl, Policies};
use crate::domain::{Secret, UpstreamName};

/// One upstream as configured.
#[derive(Debug, Clone, PartialEq)]
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
    /// Certificates of the operator's own, for an `https` upstream.
    pub tls: Tls,
    /// How many redirects a call follows; at 0 a redirect is an answer like any other.
    pub redirects_max: u32,
    /// How old a remembered answer may be that stands in for one that does not come.
    pub stale_if_error: Option<Duration>,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// How much is asked of it, and when it is left alone.
    pub policies: Policies,
}

impl UpstreamSettings {
    /// No credentials, default timeouts and policies, public addresses only, answers up to 1 MiB, no redirects, nothing remembered, no faults.
    pub fn new(name: UpstreamName, base: BaseUrl) -> Self {
        Self {
            name,
            base,
            auth: Auth::None,
            timeouts: Timeouts::default(),
            allow_private: false,
            response_bytes_max: 1 << 20,
            tls: Tls::default(),
            redirects_max: 0,
            stale_if_error: None,
            faults: Faults::default(),
            policies: Policies::default(),
        }
    }

    /// What its operator does where its address is meant to be a private one.
    pub(super) fn how_to_allow(&self) -> String {
        format!("if it is meant to be there, its operator sets `allow_private = true` under [upstreams.{}]", self.name)
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
    /// A token of an authorization server, got and renewed by the host (RFC 6749).
    OAuth(OAuth),
    /// Each call is signed by an HMAC of the operator's own description.
    Hmac(HmacSigning),
}

impl Auth {
    /// The word of the configuration for this kind; `none` where there is none.
    pub fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer(_) => "bearer",
            Self::Basic { .. } => "basic",
            Self::Header { .. } => "header",
            Self::OAuth(_) => "oauth2",
            Self::Hmac(_) => "hmac",
            Self::StandardWebhooks(_) => "standard_webhooks",
        }
    }

    /// Whether whoever reads a call has what is needed to make others.
    pub fn is_sent(&self) -> bool {
        match self {
            Self::Bearer(_) | Self::Basic { .. } | Self::Header { .. } | Self::OAuth(_) => true,
            Self::None | Self::Hmac(_) | Self::StandardWebhooks(_) => false,
        }
    }
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
