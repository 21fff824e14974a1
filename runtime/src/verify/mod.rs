//! Proves who sent a request, from data alone: a provider is an entry of the catalogue, never Rust code of its own.
//! The only module that does signature cryptography. It works on the exact bytes, does no I/O and asks no clock.

mod scheme;
mod template;
mod location;
mod provider;
mod read;
mod catalogue;
mod options;
mod key;
mod mac;
mod encoding;
mod carrier;
mod timestamp;
mod verifier;
mod json;
mod identify;
mod dedupe;
mod handshake;
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

pub use catalogue::Catalogue;
pub use handshake::HandshakeAnswer;
pub use identify::{Identity, ProviderEventId};
pub use key::{KeyFault, SetupError};
pub use location::Location;
pub use options::Options;
pub use provider::{Handshake, Provider, Setting};
pub use sample::{Sample, sample};
pub use scheme::{Algorithm, Encoding, KeyForm, Parse, Proof, Scheme, Signature, TimestampPlace, TimestampRule, TimestampUnit};
pub use sign::CannotSign;
pub use template::Template;
pub use verifier::{SecretSpec, Verifier};
