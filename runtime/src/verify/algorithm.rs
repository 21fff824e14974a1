//! The words of the scheme language for how signatures are computed, written and keyed. Each is fixed by the provider, and none is ever taken
//! from a request.

use std::fmt;

use super::words::word_of;

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
    /// A bare hash of a message that holds the secret.
    Md5,
    /// The same with SHA-1.
    Sha1,
    /// The same with SHA-256.
    Sha256,
    /// RFC 8032; the configured secret is the public key.
    Ed25519,
    /// FIPS 186-5 on the curve P-256, in DER; the configured secret is the public key.
    EcdsaSha256,
    /// The same over SHA-1 (eBay).
    EcdsaSha1,
    /// RFC 8017 §8.2; the configured secret is the public key or a certificate.
    RsaSha1,
    /// The same over SHA-256.
    RsaSha256,
    /// The same over SHA-512.
    RsaSha512,
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
    /// Base64 of the hexadecimal digits (Solidgate).
    HexInBase64,
}

/// How a configured secret becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// The text's bytes.
    Utf8,
    /// The text's bytes in Unicode's form NFKD (EasyPost).
    Utf8Nfkd,
    /// Base64 of the key.
    Base64,
    /// Hexadecimal digits of the key.
    Hex,
    /// The SHA-1 of the text (Braintree).
    Sha1,
    /// `whsec_` and base64 of the key (Standard Webhooks).
    Whsec,
    /// `whpk_` and base64 of an Ed25519 public key (Standard Webhooks).
    Whpk,
    /// A public key or certificate in PEM, or base64 of its SubjectPublicKeyInfo (RFC 5280).
    Pem,
    /// Hexadecimal digits of an Ed25519 public key.
    RawHex,
    /// Base64 of an Ed25519 public key.
    RawBase64,
}

/// An algorithm of RFC 7518 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 13] = [
        ("hmac-sha1", Self::HmacSha1),
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
        ("md5", Self::Md5),
        ("sha1", Self::Sha1),
        ("sha256", Self::Sha256),
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256-sha256", Self::EcdsaSha256),
        ("ecdsa-p256-sha1", Self::EcdsaSha1),
        ("rsa-sha1", Self::RsaSha1),
        ("rsa-sha256", Self::RsaSha256),
        ("rsa-sha512", Self::RsaSha512),
    ];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, &self)
    }

    /// How many bytes a signature has; `None` where that depends on the key or the signature.
    pub fn signature_bytes(self) -> Option<usize> {
        match self {
            Self::Md5 => Some(16),
            Self::HmacSha1 | Self::Sha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 | Self::Ed25519 => Some(64),
            Self::EcdsaSha256 | Self::EcdsaSha1 | Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => None,
        }
    }

    /// Whether the secret is a public key.
    pub fn is_asymmetric(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaSha256 | Self::EcdsaSha1 | Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512)
    }

    /// Whether the secret is a part of the message.
    pub fn is_bare_hash(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1 | Self::Sha256)
    }
}

impl Encoding {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 4] =
        [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url), ("hex-in-base64", Self::HexInBase64)];
}

impl KeyForm {
    /// Its words in files.
    pub const WORDS: [(&'static str, Self); 10] = [
        ("utf8", Self::Utf8),
        ("utf8-nfkd", Self::Utf8Nfkd),
        ("base64", Self::Base64),
        ("hex", Self::Hex),
        ("sha1", Self::Sha1),
        ("whsec", Self::Whsec),
        ("whpk", Self::Whpk),
        ("pem", Self::Pem),
        ("raw-hex", Self::RawHex),
        ("raw-base64", Self::RawBase64),
    ];

    /// Whether the key is a public one.
    pub fn is_public(self) -> bool {
        matches!(self, Self::Whpk | Self::Pem | Self::RawHex | Self::RawBase64)
    }
}

impl JwtAlgorithm {
    /// Its words in files and tokens.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS512", Self::Rs512),
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
    ];

    /// Its word in files and tokens.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, &self)
    }

    /// Whether the key is a public one.
    pub fn is_asymmetric(self) -> bool {
        matches!(self, Self::Rs256 | Self::Rs512 | Self::Es256 | Self::EdDsa)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&Self::WORDS, self))
    }
}
