//! The scheme language: what a provider's proof looks like, as types. Data only; it never sees a request or a key.
//! Algorithm, version and key type stand here and are never taken from a request.

use std::time::Duration;

use super::algorithm::{Algorithm, Encoding, JwtAlgorithm, KeyForm};
use super::key_source::KeySource;
use super::location::{Items, Pointer};
use super::template::{Part, Source, Template};

/// One way in which a provider proves a request. A provider's schemes are tried strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    /// Where the proof is.
    pub carrier: Carrier,
    /// How the proof stands there.
    pub parse: Parse,
    /// What is proved, and by which means.
    pub proof: Proof,
    /// The proof is known not to cover the body, or not all of it.
    pub partial: bool,
    /// The array in the JSON body whose items each carry a proof of their own; all must hold. Pointers are the items' then.
    pub(super) each: Option<Items>,
    /// What must be so besides the proof.
    pub(super) requirements: Vec<Requirement>,
    /// Where its public keys are published; a source that gives none has them fetched.
    pub keys: Option<KeySource>,
    /// Does not count where the proof's header has a pair of this name: that is a stronger version.
    pub(super) unless_pair: Option<String>,
}

/// Where in a request a proof is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// In one of these headers, by lower-case name, or in several at once during a rotation.
    Headers(Vec<String>),
    /// In `PREFIX1` to `PREFIXmax`, one header for each secret that is in use.
    Numbered { prefix: String, max: usize },
    /// In a parameter of the URL's query.
    Query(String),
    /// In the JSON body.
    Json(Pointer),
    /// In a field of a form.
    Form(String),
    /// The whole body.
    Body,
}

/// How the proofs stand in the carrier's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parse {
    /// `PREFIXproof`, or with a separator a list of them; elements without the prefix are other versions and are ignored.
    List { prefix: String, separator: Option<char> },
    /// `name=value` pairs; those called as one of `signatures` are the proofs. With a group separator each group is a list of pairs.
    Pairs { separator: char, signatures: Vec<String>, groups: Option<char> },
    /// `timestamp,proof,proof…`
    Positional { separator: char },
    /// `key|proof&key|proof…`: the proofs stand behind the public part of their key (Braintree).
    Keyed { separator: char, key_separator: char },
    /// Base64 of a JSON object that holds the proof (eBay).
    Envelope { signature: Pointer },
    /// `label=:PROOF:`, or several of them: a dictionary of byte sequences (RFC 8941), each with a message of its own.
    Dictionary,
}

/// What the proof is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A signature over a message made of parts of the request.
    Signature(Signature),
    /// A JSON Web Token (RFC 7519).
    Jwt(Jwt),
    /// The secret itself: authenticates the sender, signs nothing.
    Token,
    /// The secret as `user:password` in base64 (RFC 7617).
    Basic,
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
    /// Whether the URL is tried without its port and with the usual one, too.
    pub(super) any_port: bool,
}

/// Where the signed timestamp is and how far it may be off, in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRule {
    /// Where it stands.
    pub place: TimestampPlace,
    /// What it counts.
    pub unit: TimestampUnit,
    /// How far it may be from now; `None` where the provider gives no bound and resends what it signed long ago.
    pub tolerance: Option<Duration>,
}

/// Where a timestamp stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In a header of its own, by its lower-case name.
    Header(String),
    /// In the pair of this name beside the signature.
    Pair(String),
    /// In the JSON body.
    Json(Pointer),
    /// Before the signatures, where they stand by position.
    First,
    /// In the signature's parameters (RFC 9421 §2.3).
    Created,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds since the Unix epoch.
    Seconds,
    /// Milliseconds since the Unix epoch.
    Milliseconds,
    /// Seconds or milliseconds, told apart by magnitude, where sources differ.
    SecondsOrMilliseconds,
    /// RFC 3339.
    Rfc3339,
    /// The preferred form of RFC 9110 §5.6.7.
    HttpDate,
}

/// A side condition: a value of the request equals another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// What is looked at.
    pub(super) value: Template,
    /// What it must be.
    pub(super) equals: Template,
}

/// A JSON Web Token and what it must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The algorithms that count; the token's own word is only compared with them.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How the configured secret becomes the key.
    pub key: KeyForm,
    /// What its claims must be.
    pub(super) claims: Vec<Claim>,
    /// The token leaves its payload out: that is the body.
    pub(super) detached: bool,
}

/// A rule for one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub(super) name: String,
    /// What it must be.
    pub(super) rule: ClaimRule,
}

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimRule {
    /// One of these texts, or a list that has one.
    OneOf(Vec<String>),
    /// True.
    True,
    /// What the source's parameter of this name says.
    Parameter(String),
    /// This, made of the request.
    Equals(Template),
    /// This, and where the request has a body it must be there.
    EqualsIfBody(Template),
    /// A moment not further from now than this.
    Near(Duration),
    /// There, and not over or not begun by more than the usual leeway (`exp`, `nbf`).
    There,
    /// Atlassian's hash of method, path and query.
    Qsh,
}

impl TimestampUnit {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("s", Self::Seconds),
        ("ms", Self::Milliseconds),
        ("s-or-ms", Self::SecondsOrMilliseconds),
        ("rfc3339", Self::Rfc3339),
        ("http-date", Self::HttpDate),
    ];
}

impl Carrier {
    /// Whether what the carrier holds stands in this header.
    pub(super) fn is_header(&self, name: &str) -> bool {
        match self {
            Self::Headers(names) => names.iter().any(|own| own == name),
            Self::Numbered { prefix, .. } => {
                name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            }
            Self::Query(_) | Self::Json(_) | Self::Form(_) | Self::Body => false,
        }
    }
}

impl Claim {
    /// What it is compared with, where that is made of the request.
    fn template(&self) -> Option<&Template> {
        match &self.rule {
            ClaimRule::Equals(template) | ClaimRule::EqualsIfBody(template) => Some(template),
            _ => None,
        }
    }
}

impl Scheme {
    /// How a configured secret becomes this scheme's key.
    pub fn key_form(&self) -> KeyForm {
        match &self.proof {
            Proof::Signature(signature) => signature.key,
            Proof::Jwt(jwt) => jwt.key,
            Proof::Token | Proof::Basic => KeyForm::Utf8,
        }
    }

    /// Whether the proof is the secret itself.
    pub fn is_secret_sent(&self) -> bool {
        matches!(self.proof, Proof::Token | Proof::Basic)
    }

    pub(super) fn signature(&self) -> Option<&Signature> {
        if let Proof::Signature(signature) = &self.proof { Some(signature) } else { None }
    }

    /// Whether the proof covers all of the body that means something.
    pub(super) fn covers_body(&self) -> bool {
        let covers = match &self.proof {
            Proof::Signature(signature) => signature.message.covers_body(),
            // Where the token is the body, it covers all of it.
            Proof::Jwt(jwt) => {
                jwt.detached || self.carrier == Carrier::Body || jwt.claims.iter().filter_map(Claim::template).any(Template::covers_body)
            }
            Proof::Token | Proof::Basic => false,
        };
        covers || self.requirements.iter().any(|requirement| requirement.equals.covers_body() && self.signs(&requirement.value))
    }

    /// Whether all parts of a template are signed, so that a condition on it is one on what the provider said.
    fn signs(&self, value: &Template) -> bool {
        let message = self.signature().map(|signature| &signature.message);
        value.flat().all(|part| match part {
            Part::Literal(_) => true,
            Part::Header { name, .. } => {
                self.signed_headers().any(|own| own == name) || message.is_some_and(|message| message.lists_header(name))
            }
            Part::Made(Source::Query(_), _) => message.is_some_and(Template::needs_url),
            Part::Made(Source::Json(pointer), _) => message.is_some_and(|message| message.covers_json(pointer)),
            _ => false,
        })
    }

    /// Whether the proof goes with any body: whoever has seen it can send another.
    pub fn is_bearer(&self) -> bool {
        self.is_secret_sent() || (self.partial && matches!(self.proof, Proof::Jwt(_)))
    }

    /// Whether whoever holds for this proof vouches for the whole body: it covers it, or it is the sender that is proved.
    pub fn vouches_for_body(&self) -> bool {
        !self.partial || self.is_bearer()
    }

    /// Whether the URL is needed, as the provider knows it.
    pub fn needs_url(&self) -> bool {
        self.templates().any(Template::needs_url) || self.claims().iter().any(|claim| claim.rule == ClaimRule::Qsh)
    }

    /// The parameters that a source must set.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let named = self.claims().iter().filter_map(|claim| match &claim.rule {
            ClaimRule::Parameter(name) => Some(name.as_str()),
            _ => None,
        });
        self.templates().flat_map(Template::parameters).chain(named)
    }

    fn claims(&self) -> &[Claim] {
        if let Proof::Jwt(jwt) = &self.proof { &jwt.claims } else { &[] }
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        let required = self.requirements.iter().flat_map(|requirement| [&requirement.value, &requirement.equals]);
        let claimed = self.claims().iter().filter_map(Claim::template);
        self.signature().map(|signature| &signature.message).into_iter().chain(claimed).chain(required)
    }

    /// The headers that the proof covers.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        let signature = self.signature();
        let timestamp = signature.and_then(|s| s.timestamp.as_ref()).and_then(|rule| match &rule.place {
            TimestampPlace::Header(name) => Some(name.as_str()),
            _ => None,
        });
        signature.into_iter().flat_map(|s| s.message.signed_headers()).chain(timestamp)
    }
}
