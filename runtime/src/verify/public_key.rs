//! Public keys: read from what an operator pastes, and held against a signature. The algorithm is the scheme's, never the key's or
//! the request's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use sha1::{Digest, Sha1};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::algorithm::{Algorithm, JwtAlgorithm, KeyForm};
use super::key::KeyFault;

/// What a public key verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ed25519,
    /// A signature in DER.
    EcdsaSha256,
    EcdsaSha1,
    /// Two numbers of 32 bytes (RFC 7518 §3.4).
    EcdsaSha256Fixed,
    RsaSha1,
    RsaSha256,
    RsaSha512,
}

impl Kind {
    /// The kind of an algorithm's key; `None` where the key is a shared secret.
    pub(super) fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => Some(Self::Ed25519),
            Algorithm::EcdsaSha256 => Some(Self::EcdsaSha256),
            Algorithm::EcdsaSha1 => Some(Self::EcdsaSha1),
            Algorithm::RsaSha1 => Some(Self::RsaSha1),
            Algorithm::RsaSha256 => Some(Self::RsaSha256),
            Algorithm::RsaSha512 => Some(Self::RsaSha512),
            _ => None,
        }
    }

    /// The same for a JSON Web Token.
    pub(super) fn of_jwt(algorithm: JwtAlgorithm) -> Option<Self> {
        match algorithm {
            JwtAlgorithm::Rs256 => Some(Self::RsaSha256),
            JwtAlgorithm::Rs512 => Some(Self::RsaSha512),
            JwtAlgorithm::Es256 => Some(Self::EcdsaSha256Fixed),
            JwtAlgorithm::EdDsa => Some(Self::Ed25519),
            JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512 => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::EcdsaSha256 | Self::EcdsaSha1 | Self::EcdsaSha256Fixed => "ECDSA on P-256",
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => "RSA of 2048 to 8192 bits",
        }
    }

    /// What a key of this kind says that it is (RFC 8410 §3, RFC 5480 §2.1.1, RFC 8017 §A.1).
    fn identifier(self) -> ObjectIdentifier {
        match self {
            Self::Ed25519 => ED25519_KEY,
            Self::EcdsaSha256 | Self::EcdsaSha1 | Self::EcdsaSha256Fixed => EC,
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => RSA,
        }
    }

    fn algorithm(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::Ed25519 => Some(&ED25519),
            Self::EcdsaSha256 => Some(&ECDSA_P256_SHA256_ASN1),
            Self::EcdsaSha256Fixed => Some(&ECDSA_P256_SHA256_FIXED),
            Self::EcdsaSha1 => None,
            Self::RsaSha1 => Some(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            Self::RsaSha256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Self::RsaSha512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        }
    }
}

const ED25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A public key.
pub(super) struct PublicKey {
    kind: Kind,
    /// 32 bytes, a point of the curve, or an RSAPublicKey (RFC 8017 §A.1.1).
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The key in what [`KeyForm::decode`] gave.
    pub(super) fn read(kind: Kind, form: KeyForm, decoded: Vec<u8>) -> Result<Self, KeyFault> {
        let unfit = KeyFault::NotPublicKey(kind.name());
        if form != KeyForm::Pem {
            return if decoded.len() == 32 && kind == Kind::Ed25519 { Ok(Self { kind, bytes: decoded }) } else { Err(unfit) };
        }
        let read = from_pem(&decoded).filter(|read| read.algorithm == kind.identifier());
        read.and_then(|read| Self::of_bytes(kind, read.bytes)).ok_or(unfit)
    }

    /// A key of this kind; `None` where these are not the bytes of one: 32, a point of the curve, or an RSAPublicKey.
    pub(super) fn of_bytes(kind: Kind, bytes: Vec<u8>) -> Option<Self> {
        let bytes = match kind.identifier() {
            // ring takes points only as they are written out in full (SEC 1 §2.3.3).
            EC => p256::ecdsa::VerifyingKey::from_sec1_bytes(&bytes).ok().map(|key| key.to_sec1_point(false).as_bytes().to_vec()),
            ED25519_KEY => Some(bytes).filter(|bytes| bytes.len() == 32),
            // ring reads it at each use; of 2048 bits and more it has more than 256 bytes.
            _ => Some(bytes).filter(|bytes| bytes.len() > 256),
        };
        bytes.map(|bytes| Self { kind, bytes })
    }

    /// Whether this key's owner made the signature over the message.
    pub(super) fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.kind.algorithm() {
            Some(algorithm) => UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok(),
            None => self.holds_over_sha1(message, signature),
        }
    }

    /// ring has no ECDSA over SHA-1.
    fn holds_over_sha1(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.bytes);
        let signature = p256::ecdsa::DerSignature::from_bytes(signature);
        // RFC 6979 §2.3.2: a hash shorter than the curve's order is padded in front.
        let mut padded = [0; 32];
        padded[12..].copy_from_slice(&Sha1::digest(message));
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_prehash(&padded, &signature).is_ok())
    }

    /// Whether this key's owner made one of the signatures.
    pub(super) fn holds_any(&self, message: &[u8], signatures: &[Vec<u8>]) -> bool {
        signatures.iter().any(|signature| self.holds(message, signature))
    }
}

/// The key of `-----BEGIN PUBLIC KEY-----`, `…RSA PUBLIC KEY…`, `…CERTIFICATE…` (RFC 7468, line breaks or none), or of bare base64.
fn from_pem(text: &[u8]) -> Option<Read> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (label, base64) = match text.strip_prefix("-----BEGIN ") {
        Some(rest) => {
            let (label, rest) = rest.split_once("-----")?;
            (label, rest.split_once("-----END ")?.0)
        }
        None => ("PUBLIC KEY", text),
    };
    let base64: String = base64.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(base64).ok()?;
    match label {
        "RSA PUBLIC KEY" => Some(Read { algorithm: RSA, bytes: der }),
        "CERTIFICATE" => key_of(Certificate::from_der(&der).ok()?.tbs_certificate().subject_public_key_info()),
        "PUBLIC KEY" => key_of(&SubjectPublicKeyInfoOwned::from_der(&der).ok()?),
        _ => None,
    }
}

fn key_of(info: &SubjectPublicKeyInfoOwned) -> Option<Read> {
    info.subject_public_key.as_bytes().map(|bytes| Read { algorithm: info.algorithm.oid, bytes: bytes.into() })
}

/// A key as it stands in a file.
struct Read {
    algorithm: ObjectIdentifier,
    bytes: Vec<u8>,
}

/// Whether a text is a public key, in whichever form.
pub(super) fn is_public_key(text: &[u8]) -> bool {
    from_pem(text).is_some()
}
