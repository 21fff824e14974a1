//! Proves who sent a request, from data alone: a provider is an entry of the catalogue, never Rust code of its own.
//! The only module that does signature cryptography. It works on the exact bytes, does no I/O and asks no clock.

mod words;
mod algorithm;
mod scheme;
mod check_scheme;
mod describe;
mod template;
mod read_template;
mod message;
mod filter;
mod canonical;
mod http_signature;
mod location;
mod provider;
mod read;
mod read_scheme;
mod read_handshake;
mod catalogue;
mod options;
mod key;
mod mac;
mod public_key;
mod key_source;
mod jwks;
mod fetched;
mod jwt;
mod encoding;
mod view;
mod carrier;
mod timestamp;
mod verifier;
mod arm;
mod class;
mod diagnosis;
mod json;
mod raw_json;
mod identify;
mod redact;
mod split;
mod dedupe;
mod handshake;
mod keyring;
mod sign;
mod sample;

#[cfg(test)]
mod sender;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod published_keys;
#[cfg(test)]
mod attacks;

pub use algorithm::{Algorithm, Encoding, JwtAlgorithm, KeyForm};
pub use catalogue::Catalogue;
pub use diagnosis::{DIAGNOSED_BYTES_MAX, Effort};
pub use fetched::WantedKeys;
pub use handshake::{Handshake, HandshakeAnswer};
pub use identify::{Identity, ProviderEventId};
pub use key::{KeyFault, SetupError};
pub use key_source::KeySource;
pub use keyring::Keyring;
pub use location::{Items, Location, Pointer};
pub use options::Options;
pub use provider::{Class, Confidence, Provider, Setting};
pub use sample::{Sample, sample};
pub use scheme::{
    Carrier, Claim, ClaimRule, Jwt, Parse, Proof, Requirement, Scheme, Signature, TimestampPlace, TimestampRule, TimestampUnit,
};
pub use sign::CannotSign;
pub use split::Part;
pub use template::Template;
pub use verifier::{SecretSpec, Verifier};
