//! Why a request did not become an event. Each cause has a stable code, a status and a sentence for the operator;
//! none of them ever carries a secret or the signature that would have been right.

use std::fmt;
use std::time::Duration;

use super::{Diagnosis, Headers, PluginName, RawRequest, RequestId, SourceName, Timestamp};

/// The longest sentence that is stored.
const DETAIL_BYTES_MAX: usize = 1 << 10;
/// What a sender is told to wait where nobody knows how long it takes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A typed reason for which the front door said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalCause {
    /// No source has this name.
    UnknownSource,
    /// The source takes `POST` only.
    MethodNotAllowed,
    /// The source is not open to the address that the request came from.
    AddressNotAllowed { address: String },
    /// More requests than the source's rate lets through.
    RateLimited { retry_after: Duration },
    /// The declared or received body is larger than the source allows (bytes).
    BodyTooLarge { limit: usize },
    /// The body did not arrive within the body-read timeout.
    BodyTimeout,
    /// The body broke off or was malformed on the wire.
    BodyBroken,
    /// The source does not allow this `Content-Encoding`.
    EncodedBody,
    /// The body is proven and is not what its `Content-Encoding` says.
    EncodingBroken,
    /// The body is proven and becomes larger than the source allows when it is decoded (bytes).
    DecodedBodyTooLarge { limit: usize },
    /// The request is proven and holds more events than are taken at once.
    TooManyItems { limit: usize },
    /// The request is proven, and its events have more bytes together, each with all headers, than are taken at once.
    BatchTooLarge { limit: usize },
    /// The header that carries the proof is not there.
    MissingHeader { header: String },
    /// A header that must be unique came twice.
    DuplicateHeader { header: String },
    /// The proof's header does not have the provider's form.
    MalformedHeader { header: String, expected: String },
    /// The field of the query, form or JSON body that carries the proof, or that it covers, is not there.
    MissingField { field: String },
    /// The same does not have the provider's form.
    MalformedField { field: String, expected: String },
    /// The proof holds, and something that must be so besides is not.
    ConditionFailed { condition: String },
    /// The token's signature holds, and this claim of it is not as it must be.
    WrongClaim { claim: String },
    /// The signature holds over something that the provider's handshake lets strangers have signed.
    LooksLikeChallenge,
    /// The signature is well-formed and no live secret makes it.
    WrongSignature,
    /// The static token or Basic credentials do not match any live secret.
    WrongToken,
    /// The signed timestamp is older than the tolerance.
    TimestampTooOld { skew: Duration, tolerance: Duration },
    /// The signed timestamp is further in the future than the tolerance.
    TimestampTooNew { skew: Duration, tolerance: Duration },
    /// The source has no secret that is valid now.
    NoLiveSecret,
    /// The provider's handshake was recognised and is not well-formed.
    HandshakeFailed { detail: String },
    /// The keys that the provider publishes could not be fetched; the sender should try again.
    KeysUnavailable { url: String, reason: String },
    /// A handshake is proven, and what it asks to be visited could not be; the sender should try again.
    Unconfirmed { reason: String },
    /// The plugin that proves this source's requests turned it away.
    RejectedByPlugin { plugin: PluginName, code: String, message: String },
    /// The plugin that proves this source's requests is not live; the sender should try again.
    NoPlugin { plugin: PluginName },
    /// Too many requests wait for plugins that prove them; the sender should try again.
    PluginBusy { plugin: PluginName },
    /// The plugin that proves this source's requests failed on this one.
    PluginFailed { plugin: PluginName, reason: String },
    /// The store's queue is full or the disk refuses writes; the sender should try again.
    Saturated,
    /// Bodies that wait for their proof take all the memory that they may; the sender should try again.
    Busy,
    /// The node is shutting down; the sender should try again.
    Draining,
    /// The database refused this one event and would refuse it again.
    Unstorable,
}

impl RefusalCause {
    /// A stable code for machines, metrics and filters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSource => "unknown_source",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::AddressNotAllowed { .. } => "address_not_allowed",
            Self::RateLimited { .. } => "rate_limited",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::EncodedBody => "encoded_body",
            Self::EncodingBroken => "encoding_broken",
            Self::DecodedBodyTooLarge { .. } => "decoded_body_too_large",
            Self::TooManyItems { .. } => "too_many_items",
            Self::BatchTooLarge { .. } => "batch_too_large",
            Self::MissingHeader { .. } => "missing_header",
            Self::DuplicateHeader { .. } => "duplicate_header",
            Self::MalformedHeader { .. } => "malformed_header",
            Self::MissingField { .. } => "missing_field",
            Self::MalformedField { .. } => "malformed_field",
            Self::ConditionFailed { .. } => "condition_failed",
            Self::WrongClaim { .. } => "wrong_claim",
            Self::LooksLikeChallenge => "looks_like_challenge",
            Self::WrongSignature => "wrong_signature",
            Self::WrongToken => "wrong_token",
            Self::TimestampTooOld { .. } => "timestamp_too_old",
            Self::TimestampTooNew { .. } => "timestamp_too_new",
            Self::NoLiveSecret => "no_live_secret",
            Self::HandshakeFailed { .. } => "handshake_failed",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::RejectedByPlugin { .. } => "rejected_by_plugin",
            Self::NoPlugin { .. } => "no_plugin",
            Self::PluginBusy { .. } => "plugin_busy",
            Self::PluginFailed { .. } => "plugin_failed",
            Self::Saturated => "saturated",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Unstorable => "unstorable",
        }
    }

    /// The HTTP status of the answer. Never a 4xx for a fault of ours.
    pub fn status(&self) -> u16 {
        match self {
            Self::AddressNotAllowed { .. } => 403,
            Self::UnknownSource => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge { .. } | Self::DecodedBodyTooLarge { .. } | Self::TooManyItems { .. } | Self::BatchTooLarge { .. } => 413,
            Self::EncodedBody => 415,
            Self::RateLimited { .. } => 429,
            Self::RejectedByPlugin { code, .. } if code == "malformed" => 400,
            Self::BodyBroken | Self::EncodingBroken | Self::HandshakeFailed { .. } => 400,
            Self::MissingHeader { .. }
            | Self::DuplicateHeader { .. }
            | Self::MalformedHeader { .. }
            | Self::MissingField { .. }
            | Self::MalformedField { .. }
            | Self::ConditionFailed { .. }
            | Self::WrongClaim { .. }
            | Self::LooksLikeChallenge
            | Self::WrongSignature
            | Self::WrongToken
            | Self::TimestampTooOld { .. }
            | Self::TimestampTooNew { .. }
            | Self::RejectedByPlugin { .. } => 401,
            Self::Unstorable | Self::PluginFailed { .. } => 500,
            Self::NoLiveSecret
            | Self::Unconfirmed { .. }
            | Self::KeysUnavailable { .. }
            | Self::NoPlugin { .. }
            | Self::PluginBusy { .. }
            | Self::Saturated
            | Self::Busy
            | Self::Draining => 503,
        }
    }

    /// Whether it is the proof that was missing or wrong, or could not be judged: another secret or setting may let the request in.
    pub fn is_about_proof(&self) -> bool {
        self.status() == 401 || matches!(self, Self::NoLiveSecret | Self::KeysUnavailable { .. })
    }

    /// How far the signed timestamp was off, milliseconds; below zero where it lay ahead.
    pub fn skew_ms(&self) -> Option<i64> {
        let millis = |skew: &Duration| i64::try_from(skew.as_millis()).unwrap_or(i64::MAX);
        match self {
            Self::TimestampTooOld { skew, .. } => Some(millis(skew)),
            Self::TimestampTooNew { skew, .. } => Some(-millis(skew)),
            _ => None,
        }
    }

    /// After how long the sender should try again; `None` where that would change nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            cause => (cause.status() == 503).then_some(RETRY_AFTER),
        }
    }
}

impl RefusalCause {
    /// The sentence for the operator, as it is stored: a stranger may have written a part of it.
    pub fn detail(&self) -> String {
        let mut detail = self.to_string();
        let end = (0..=DETAIL_BYTES_MAX.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
        detail.truncate(end);
        detail
    }
}

impl fmt::Display for RefusalCause {
    /// What was wrong and what to look at, for the operator only; senders get a fixed body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSource => f.write_str("no source has this name; check the URL given to the provider"),
            Self::MethodNotAllowed => f.write_str("only POST is accepted here"),
            Self::AddressNotAllowed { address } => {
                write!(f, "{address} is not in the source's allow_from; behind a proxy, see server.trusted_proxies")
            }
            Self::RateLimited { .. } => f.write_str("more requests than the source's `rate` lets through; the sender was told to try again"),
            Self::BodyTooLarge { limit } => write!(f, "the body is over the source's max_body of {limit} bytes"),
            Self::BodyTimeout => f.write_str("the body did not arrive in time"),
            Self::KeysUnavailable { url, reason } => write!(f, "the provider's keys could not be fetched from {url}: {reason}"),
            Self::Unconfirmed { reason } => write!(f, "the subscription could not be confirmed with the provider: {reason}"),
            Self::RejectedByPlugin { plugin, code, message } => write!(f, "plugin `{plugin}` turned it away: {code}: {message}"),
            Self::NoPlugin { plugin } => write!(f, "plugin `{plugin}`, which proves this source's requests, is not live"),
            Self::PluginBusy { plugin } => write!(f, "too many requests wait for plugin `{plugin}`, which proves them"),
            Self::PluginFailed { plugin, reason } => write!(f, "plugin `{plugin}`, which proves this source's requests, {reason}"),
            Self::BodyBroken => f.write_str("the body broke off or was malformed"),
            Self::EncodedBody => f.write_str(
                "this Content-Encoding is not accepted; the provider must send the body as it is, or the source allow it in content_encodings",
            ),
            Self::EncodingBroken => f.write_str("the signature holds, but the body is not what its Content-Encoding says"),
            Self::BatchTooLarge { limit } => {
                write!(f, "the request's events are over {limit} bytes together, each with all headers; send fewer at once")
            }
            Self::TooManyItems { limit } => {
                write!(f, "the request holds more than {limit} events; send fewer at once, or set `items = \"none\"` to take it as one event")
            }
            Self::DecodedBodyTooLarge { limit } => {
                write!(f, "the decoded body is over {limit} bytes: the source's max_body, or a hundred times what was sent")
            }
            Self::MissingHeader { header } => write!(f, "header `{header}` is missing; is signing switched on at the provider?"),
            Self::DuplicateHeader { header } => write!(f, "header `{header}` came more than once; a proxy may have added one"),
            Self::MalformedHeader { header, expected } => write!(f, "header `{header}` is malformed; expected {expected}"),
            Self::MissingField { field } => write!(f, "`{field}` is missing; is this the provider's format, and is signing switched on there?"),
            Self::MalformedField { field, expected } => write!(f, "`{field}` is malformed; expected {expected}"),
            Self::ConditionFailed { condition } => write!(f, "the signature holds, and the condition `{condition}` does not"),
            Self::WrongClaim { claim } => write!(f, "the token's signature holds, and its claim `{claim}` is not as the provider's rules or the source's parameters say"),
            Self::LooksLikeChallenge => f.write_str("what is signed looks like a challenge of the provider's handshake and not like an event; somebody may have had it signed for them"),
            Self::WrongSignature => f.write_str(
                "no live secret of this source makes this signature: the secret differs from the provider's, or the body was altered on its way",
            ),
            Self::WrongToken => f.write_str("the token matches no live secret of this source"),
            Self::TimestampTooOld { skew, tolerance } => write!(
                f,
                "the signed timestamp is {} s old and the tolerance is {} s; a late resend, a replayed capture, or a clock that is off",
                skew.as_secs(),
                tolerance.as_secs()
            ),
            Self::TimestampTooNew { skew, tolerance } => write!(
                f,
                "the signed timestamp is {} s in the future and the tolerance is {} s; compare this machine's clock",
                skew.as_secs(),
                tolerance.as_secs()
            ),
            Self::NoLiveSecret => f.write_str("the source has no secret that is valid now; see its `secrets` in the configuration"),
            Self::HandshakeFailed { detail } => write!(f, "the provider's handshake is not well-formed: {detail}"),
            Self::Saturated => f.write_str("the store was saturated or its disk full; the sender was told to try again"),
            Self::Busy => f.write_str("bodies on their way in took all of server.body_budget; the sender was told to try again"),
            Self::Draining => f.write_str("the node was shutting down; the sender was told to try again"),
            Self::Unstorable => f.write_str("the database refused this event by itself; see the log line of this request"),
        }
    }
}

/// One refused request as it is kept in the bounded ring of its source.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its id, `req_…`.
    pub id: RequestId,
    /// The source it was sent to; `None` where no source has that name.
    pub source: Option<SourceName>,
    /// When it arrived.
    pub at: Timestamp,
    /// Why it was refused.
    pub cause: RefusalCause,
    /// The body's length in bytes, as far as it was read.
    pub body_bytes: usize,
    /// Its headers without credentials, where its proof was refused and they are not too many.
    pub headers: Option<Headers>,
    /// What was found out about it afterwards.
    pub diagnosis: Option<Diagnosis>,
}

/// What a source does with requests whose proof does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// Keeps that there was one, and why.
    #[default]
    Drop,
    /// Keeps them whole for a while, to be judged again.
    Quarantine,
}

impl OnRefusal {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 2] = [("drop", Self::Drop), ("quarantine", Self::Quarantine)];
}

/// A refused request that is kept as it came, credentials included: it must be possible to prove it later.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// The refusal's id.
    pub id: RequestId,
    /// The source it was sent to.
    pub source: SourceName,
    /// The request.
    pub request: RawRequest,
}

impl Quarantined {
    /// What it takes to keep it.
    pub fn bytes(&self) -> usize {
        self.request.body.len() + self.request.headers.as_bytes().len() + self.request.target.len()
    }
}
