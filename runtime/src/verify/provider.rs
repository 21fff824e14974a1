//! A kind of sender, as an entry of the catalogue describes it.

use super::handshake::Handshake;
use super::location::{Items, Location};
use super::scheme::Scheme;
use super::words::word_of;

/// One entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The word for it in `provider = "…"`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// The page of the provider that describes the signature.
    pub documentation: Option<String>,
    /// How well its facts are known.
    pub confidence: Confidence,
    /// Whether it sends again by itself what was not answered with 2xx. Where it does not, a refused event is lost. `None`: not known.
    pub retries: Option<bool>,
    /// When it sends again, and how long it waits for an answer.
    pub redelivery: Option<String>,
    /// What it asks before it sends events, in words.
    pub challenge: Option<String>,
    /// What else to know.
    pub notes: Option<String>,
    /// How it proves its requests, strongest first; none where it signs nothing.
    pub schemes: Vec<Scheme>,
    /// Where a batch has its events. Id, type and attempt are an item's then.
    pub items: Option<Items>,
    /// Where the event's id stands.
    pub event_id: Option<Location>,
    /// Where the event's type stands.
    pub event_type: Option<Location>,
    /// Where the number of the provider's own attempt stands.
    pub attempt: Option<Location>,
    /// The questions it asks before it sends events.
    pub handshakes: Vec<Handshake>,
    /// What a source may set differently; only generic providers have some.
    pub settings: Vec<Setting>,
}

/// How well a provider's facts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Its own documentation, kit or code was read.
    A,
    /// An independent implementation was read and agrees.
    B,
    /// Hearsay: what it proves is not taken for proved.
    C,
}

impl Confidence {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 3] = [("A", Self::A), ("B", Self::B), ("C", Self::C)];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, &self)
    }
}

/// What a request of a provider is once it was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A signature was checked.
    Verified,
    /// A shared secret was sent along.
    Authenticated,
    /// Nothing was checked, or nobody knows well enough what to check.
    Unverified,
}

impl Class {
    /// The word for people and machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Authenticated => "authenticated",
            Self::Unverified => "unverified",
        }
    }
}

impl Provider {
    /// Whether its keys are published, so that a source may leave them out.
    pub fn publishes_keys(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.keys.is_some())
    }

    /// Whether it tells its secret when it is set up: a source can begin without.
    pub fn offers_secret(&self) -> bool {
        self.handshakes.iter().any(|handshake| handshake.offers.is_some())
    }

    /// Whether they are given to those with a token only.
    pub fn asks_for_keys_token(&self) -> bool {
        self.schemes.iter().filter_map(|scheme| scheme.keys.as_ref()).any(|keys| keys.has_token)
    }

    /// The stand-in for a plugin that proves requests.
    pub(super) fn of_plugin(plugin: &str) -> Self {
        Self {
            name: format!("plugin:{plugin}"),
            title: format!("plugin {plugin}"),
            documentation: None,
            confidence: Confidence::A,
            retries: None,
            redelivery: None,
            challenge: None,
            notes: None,
            schemes: Vec::new(),
            items: None,
            event_id: None,
            event_type: None,
            attempt: None,
            handshakes: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// What its requests are by its strongest scheme.
    pub fn class(&self) -> Class {
        self.schemes.first().map_or(Class::Unverified, |scheme| self.class_by(scheme))
    }

    /// What its requests are by this one of its schemes.
    pub(super) fn class_by(&self, scheme: &Scheme) -> Class {
        match scheme.is_secret_sent() {
            _ if self.confidence == Confidence::C => Class::Unverified,
            true => Class::Authenticated,
            false => Class::Verified,
        }
    }
}

/// A part of a generic provider's scheme that a source may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The header that carries the proof.
    Header,
    /// What stands before the proof.
    Prefix,
    /// What computes the signature.
    Algorithm,
    /// How the signature is written.
    Encoding,
    /// How the secret becomes the key.
    Key,
    /// The header of a signed timestamp.
    TimestampHeader,
    /// The signed message.
    Message,
    /// Where the event's type stands.
    EventType,
}

impl Setting {
    /// Its words in files: in the catalogue's `settings` and as a key of the source.
    pub const WORDS: [(&'static str, Self); 8] = [
        ("header", Self::Header),
        ("prefix", Self::Prefix),
        ("algorithm", Self::Algorithm),
        ("encoding", Self::Encoding),
        ("key", Self::Key),
        ("timestamp_header", Self::TimestampHeader),
        ("message", Self::Message),
        ("event_type", Self::EventType),
    ];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, &self)
    }
}
