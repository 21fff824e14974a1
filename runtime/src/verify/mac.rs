//! Keys at work: computing and comparing. A comparison takes the same time wherever two signatures of one length differ,
//! and every signature is compared with every live key: there is no early way out.

use hmac::digest::Output;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::algorithm::{Algorithm, KeyForm};
use super::jwt::JwtKey;
use super::key::KeyFault;
use super::message::Message;
use super::public_key::{Kind, PublicKey};

/// A key, ready: an HMAC has already absorbed it and is copied for each request.
pub(super) enum Key {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Box<Hmac<Sha384>>),
    HmacSha512(Box<Hmac<Sha512>>),
    /// A bare hash, and the secret that is a part of what is hashed.
    Hash(Algorithm, Vec<u8>),
    Public(PublicKey),
    Jwt(JwtKey),
    Token(Vec<u8>),
}

impl Key {
    /// The key of a signature.
    pub(super) fn new(algorithm: Algorithm, form: KeyForm, bytes: Vec<u8>) -> Result<Self, KeyFault> {
        Ok(match algorithm {
            Algorithm::HmacSha1 => Self::HmacSha1(keyed(&bytes)),
            Algorithm::HmacSha256 => Self::HmacSha256(keyed(&bytes)),
            Algorithm::HmacSha384 => Self::HmacSha384(Box::new(keyed(&bytes))),
            Algorithm::HmacSha512 => Self::HmacSha512(Box::new(keyed(&bytes))),
            Algorithm::Md5 | Algorithm::Sha1 | Algorithm::Sha256 => Self::Hash(algorithm, bytes),
            asymmetric => {
                let kind = Kind::of(asymmetric).expect("the other algorithms have shared secrets");
                Self::Public(PublicKey::read(kind, form, bytes)?)
            }
        })
    }

    /// Whether one of the signatures is this key's over the message.
    pub(super) fn holds(&self, message: &Message<'_>, signatures: &[Vec<u8>]) -> bool {
        match self {
            Self::HmacSha1(keyed) => any_is(&mac(keyed, message), signatures),
            Self::HmacSha256(keyed) => any_is(&mac(keyed, message), signatures),
            Self::HmacSha384(keyed) => any_is(&mac(&**keyed, message), signatures),
            Self::HmacSha512(keyed) => any_is(&mac(&**keyed, message), signatures),
            Self::Hash(algorithm, secret) => any_is(&hash(*algorithm, message, secret), signatures),
            Self::Public(key) => key.holds_any(&message.whole(), signatures),
            Self::Jwt(_) | Self::Token(_) => false,
        }
    }

    /// Whether one of the tokens is this one.
    pub(super) fn is_among(&self, tokens: &[impl AsRef<[u8]>]) -> bool {
        matches!(self, Self::Token(own) if any_is(own, tokens))
    }

    /// The signature of a message; `None` for a public key and for a token.
    pub(super) fn sign(&self, message: &Message<'_>) -> Option<Vec<u8>> {
        match self {
            Self::HmacSha1(keyed) => Some(mac(keyed, message).to_vec()),
            Self::HmacSha256(keyed) => Some(mac(keyed, message).to_vec()),
            Self::HmacSha384(keyed) => Some(mac(&**keyed, message).to_vec()),
            Self::HmacSha512(keyed) => Some(mac(&**keyed, message).to_vec()),
            Self::Hash(algorithm, secret) => Some(hash(*algorithm, message, secret)),
            Self::Public(_) | Self::Jwt(_) | Self::Token(_) => None,
        }
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn mac<M: Mac + Clone>(keyed: &M, message: &Message<'_>) -> Output<M> {
    let mut mac = keyed.clone();
    message.parts(b"").for_each(|part| mac.update(part));
    mac.finalize().into_bytes()
}

fn hash(algorithm: Algorithm, message: &Message<'_>, secret: &[u8]) -> Vec<u8> {
    fn of<D: Digest>(message: &Message<'_>, secret: &[u8]) -> Vec<u8> {
        let mut digest = D::new();
        message.parts(secret).for_each(|part| digest.update(part));
        digest.finalize().to_vec()
    }
    match algorithm {
        Algorithm::Md5 => of::<Md5>(message, secret),
        Algorithm::Sha1 => of::<Sha1>(message, secret),
        _ => of::<Sha256>(message, secret),
    }
}

pub(super) fn any_is(own: &[u8], others: &[impl AsRef<[u8]>]) -> bool {
    others.iter().fold(Choice::from(0), |found, other| found | own.ct_eq(other.as_ref())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 and RFC 4231, test case 2.
    #[test]
    fn each_hmac_makes_the_mac_of_its_rfc() {
        let expected = [
            (Algorithm::HmacSha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (Algorithm::HmacSha384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"),
            (
                Algorithm::HmacSha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ];
        let message = Message::of(b"what do ya want for nothing?");
        for (algorithm, digits) in expected {
            let key = Key::new(algorithm, KeyForm::Utf8, b"Jefe".to_vec()).expect("a key");
            assert_eq!(key.sign(&message).map(hex::encode).as_deref(), Some(digits));
            assert!(key.holds(&message, &[vec![0; 32], hex::decode(digits).expect("digits")]));
            assert!(!key.holds(&message, &[]));
        }
    }
}
