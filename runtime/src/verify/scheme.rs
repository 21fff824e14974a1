//! The scheme language: what a provider's proof looks like, as types. Data only; it never sees a request or a key.
//! Algorithm, version and key type stand here and are never taken from a request.

use std::fmt;
use std::time::Duration;

use super::template::Template;

/// One way in which a provider proves a request. A provider's schemes are tried strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    /// The lower-case name of the header that carries the proof.
    pub header: String,
    /// How the proof stands in that header.
    pub parse: Parse,
    /// What is proved, and by which means.
    pub proof: Proof,
}

/// How the proofs stand in the header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parse {
    /// `PREFIXproof`, or with a separator a list of them; elements without the prefix are other versions and are ignored.
    List { prefix: String, separator: Option<char> },
    /// `name=value` pairs; those called `signature` are the proofs.
    Pairs { separator: char, signature: String },
}

/// What the proof is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A signature over a message made of parts of the request.
    Signature(Signature),
    /// The secret itself: authenticates the sender, signs nothing.
    Token,
}

/// How a signature is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What computes it.
    pub algorithm: Algorithm,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// How the configured secret becomes the key.
    pub key: KeyForm,
    /// The bytes that are signed.
    pub message: Template,
    /// The signed timestamp, where there is one.
    pub timestamp: Option<TimestampRule>,
}

/// What computes a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2104 over SHA-1.
    HmacSha1,
    /// RFC 2104 over SHA-256.
    HmacSha256,
    /// RFC 2104 over SHA-384.
    HmacSha384,
    /// RFC 2104 over SHA-512.
    HmacSha512,
    /// RFC 8032; the configured secret is the public key.
    Ed25519,
}

/// How a signature's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits of either case.
    Hex,
    /// RFC 4648 §4, padded.
    Base64,
    /// RFC 4648 §5, padded or not.
    Base64Url,
}

/// How a configured secret becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// The text's bytes.
    Utf8,
    /// Base64 of the key.
    Base64,
    /// Hexadecimal digits of the key.
    Hex,
    /// `whsec_` and base64 of the key (Standard Webhooks).
    Whsec,
    /// `whpk_` and base64 of an Ed25519 public key (Standard Webhooks).
    Whpk,
}

/// Where the signed timestamp is and how far it may be off, in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRule {
    /// Where it stands.
    pub place: TimestampPlace,
    /// What it counts.
    pub unit: TimestampUnit,
    /// How far it may be from now.
    pub tolerance: Duration,
}

/// Where a timestamp stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In a header of its own, by its lower-case name.
    Header(String),
    /// In the pair of this name beside the signature.
    Pair(String),
}

/// What a timestamp counts since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

impl Algorithm {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("hmac-sha1", Self::HmacSha1),
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
        ("ed25519", Self::Ed25519),
    ];

    /// How many bytes a signature has.
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 | Self::Ed25519 => 64,
        }
    }
}

impl Encoding {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 3] = [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url)];
}

impl KeyForm {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 5] =
        [("utf8", Self::Utf8), ("base64", Self::Base64), ("hex", Self::Hex), ("whsec", Self::Whsec), ("whpk", Self::Whpk)];
}

impl TimestampUnit {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 2] = [("s", Self::Seconds), ("ms", Self::Milliseconds)];
}

impl Scheme {
    /// How a configured secret becomes this scheme's key.
    pub fn key_form(&self) -> KeyForm {
        match &self.proof {
            Proof::Signature(signature) => signature.key,
            Proof::Token => KeyForm::Utf8,
        }
    }

    /// The headers that the proof covers.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        let signature = match &self.proof {
            Proof::Signature(signature) => Some(signature),
            Proof::Token => None,
        };
        let timestamp = signature.and_then(|s| s.timestamp.as_ref()).and_then(|rule| match &rule.place {
            TimestampPlace::Header(name) => Some(name.as_str()),
            TimestampPlace::Pair(_) => None,
        });
        signature.into_iter().flat_map(|s| s.message.headers()).chain(timestamp)
    }

    /// Whether the parts fit together; the error says what does not.
    pub(super) fn check(&self) -> Result<(), String> {
        let Proof::Signature(signature) = &self.proof else { return Ok(()) };
        if (signature.algorithm == Algorithm::Ed25519) != (signature.key == KeyForm::Whpk) {
            return Err("`ed25519` goes with the key form `whpk`, and only with it".into());
        }
        match (&signature.timestamp, signature.message.has_timestamp()) {
            (None, true) => Err("the message has a `{timestamp}` and nothing says where it stands".into()),
            // A window over an unsigned timestamp is no protection: whoever replays a request writes a fresh one.
            (Some(_), false) => Err("the timestamp is not signed: the message has no `{timestamp}`".into()),
            (Some(TimestampRule { place: TimestampPlace::Pair(_), .. }), _) if !matches!(self.parse, Parse::Pairs { .. }) => {
                Err("a timestamp in a pair needs `parse` with pairs".into())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Scheme {
    /// The form of the header's value, as an operator can compare it: `t=<unix seconds>,v1=<64 hexadecimal digits>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parse {
            Parse::List { prefix, separator } => {
                write!(f, "`{prefix}{}`", self.proof)?;
                separator.map_or(Ok(()), |separator| write!(f, ", several separated by {separator:?}"))
            }
            Parse::Pairs { separator, signature } => {
                let timestamp = match &self.proof {
                    Proof::Signature(Signature {
                        timestamp: Some(TimestampRule { place: TimestampPlace::Pair(name), unit, .. }), ..
                    }) => {
                        format!("{name}={unit}{separator}")
                    }
                    _ => String::new(),
                };
                write!(f, "`{timestamp}{signature}={}`", self.proof)
            }
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("<token>"),
            Self::Signature(Signature { algorithm, encoding: Encoding::Hex, .. }) => {
                write!(f, "<{} hexadecimal digits>", 2 * algorithm.signature_bytes())
            }
            Self::Signature(Signature { algorithm, encoding, .. }) => {
                let name = if *encoding == Encoding::Base64 { "base64" } else { "base64url" };
                write!(f, "<{name} of {} bytes>", algorithm.signature_bytes())
            }
        }
    }
}

impl fmt::Display for TimestampUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "<unix seconds>",
            Self::Milliseconds => "<unix milliseconds>",
        })
    }
}
