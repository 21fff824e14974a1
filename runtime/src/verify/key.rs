//! From a configured secret to a key, once, at load. Every fault is told by the secret's position and never by its bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use unicode_normalization::UnicodeNormalization;

use crate::domain::Secret;

use super::algorithm::KeyForm;
use super::provider::Setting;
use super::public_key::is_public_key;

/// A source's provider, secrets and settings do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A secret is unusable; counted from 0, told from 1.
    #[error("secret {} {fault}", position + 1)]
    Secret { position: usize, fault: KeyFault },
    /// The provider's scheme is fixed in this point.
    #[error("provider `{provider}` does not let a source set `{}`", setting.word())]
    FixedSetting { provider: String, setting: Setting },
    /// There is nothing to check.
    #[error(
        "provider `{provider}` proves nothing that the host could check{}; a source that takes its events all the same says `verify = \"none\"`",
        known.as_ref().map(|known| format!(" ({known})")).unwrap_or_default()
    )]
    NothingToCheck { provider: String, known: Option<String> },
    /// There is something to check, and the source does not want it checked.
    #[error("provider `{provider}` proves its requests: `verify = \"none\"` would let in anyone who knows the URL; give its `secrets`")]
    SomethingToCheck { provider: String },
    /// A scheme signs the URL, and what the provider knows it as is not said.
    #[error(
        "provider `{provider}` signs the URL: set `public_url` to the URL as it is registered there, such as `https://hooks.example.com/in/name`"
    )]
    NoPublicUrl { provider: String },
    /// A scheme needs something that only the source can say.
    #[error("provider `{provider}` needs `parameters = {{ {parameter} = \"…\" }}`")]
    NoParameter { provider: String, parameter: String },
    /// The settings do not go together.
    #[error("{0}")]
    Settings(String),
}

/// Why a secret is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It has no bytes.
    #[error("is empty")]
    Empty,
    /// It does not begin as the provider's secrets do.
    #[error("does not start with {0}")]
    Prefix(String),
    /// It does not decode.
    #[error("is not padded base64{0}")]
    NotBase64(&'static str),
    /// It does not decode.
    #[error("is not an even number of hexadecimal digits")]
    NotHex,
    /// An empty key would let anyone sign.
    #[error("decodes to zero bytes")]
    ZeroBytes,
    /// A public key where a shared secret belongs: anyone who knows it could sign.
    #[error("is a public key, and this provider shares a secret with you")]
    IsPublicKey,
    /// It is not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// It is neither PEM nor base64 of a public key or certificate, or of another kind than the scheme's.
    #[error("is no public key or certificate for {0}")]
    NotPublicKey(&'static str),
    /// It is no Ed25519 public key.
    #[error("decodes to {0} bytes; an Ed25519 public key has 32")]
    PublicKeyLength(usize),
}

impl KeyForm {
    fn prefix(self) -> &'static str {
        match self {
            Self::Whsec => "whsec_",
            Self::Whpk => "whpk_",
            Self::Pem => "-----BEGIN ",
            _ => "",
        }
    }

    /// Whether a secret can be of this form by how it begins.
    fn takes(self, secret: &[u8]) -> bool {
        // Whoever takes a public key for a shared secret lets everybody sign who knows it. It may stand there without the lines around it.
        let is_private = || secret.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"PRIVATE KEY-----"));
        let is_public = if secret.starts_with(Self::Pem.prefix().as_bytes()) { !is_private() } else { is_public_key(secret) };
        match self {
            Self::Pem => is_public,
            _ => !is_public && secret.starts_with(self.prefix().as_bytes()),
        }
    }

    /// The form by which a provider's schemes take this secret: the first whose prefix it has.
    pub(super) fn of(secret: &[u8], forms: impl Iterator<Item = Self> + Clone) -> Result<Self, KeyFault> {
        if secret.is_empty() {
            return Err(KeyFault::Empty);
        }
        forms.clone().find(|form| form.takes(secret)).ok_or_else(|| {
            let mut prefixes: Vec<String> =
                forms.map(Self::prefix).filter(|prefix| !prefix.is_empty()).map(|prefix| format!("`{prefix}`")).collect();
            prefixes.dedup();
            if prefixes.is_empty() { KeyFault::IsPublicKey } else { KeyFault::Prefix(prefixes.join(" or ")) }
        })
    }

    /// The key's bytes; never none. Those of a public key are as [`super::public_key`] takes them.
    pub(super) fn decode(self, secret: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let text = secret.strip_prefix(self.prefix().as_bytes()).unwrap_or(secret);
        let key = match self {
            Self::Utf8 | Self::Pem => secret.to_vec(),
            Self::Utf8Nfkd => std::str::from_utf8(secret).map_err(|_| KeyFault::NotText)?.nfkd().collect::<String>().into(),
            Self::Sha1 => Sha1::digest(secret).to_vec(),
            Self::Base64 => STANDARD.decode(text).map_err(|_| KeyFault::NotBase64(""))?,
            Self::RawBase64 => STANDARD.decode(text).map_err(|_| KeyFault::NotBase64(""))?,
            Self::Whsec => STANDARD.decode(text).map_err(|_| KeyFault::NotBase64(" after `whsec_`"))?,
            Self::Whpk => STANDARD.decode(text).map_err(|_| KeyFault::NotBase64(" after `whpk_`"))?,
            Self::Hex | Self::RawHex => hex::decode(text).map_err(|_| KeyFault::NotHex)?,
        };
        let is_raw = matches!(self, Self::Whpk | Self::RawHex | Self::RawBase64);
        match key.len() {
            0 => Err(KeyFault::ZeroBytes),
            length if is_raw && length != 32 => Err(KeyFault::PublicKeyLength(length)),
            _ => Ok(key),
        }
    }
}

/// The secret's bytes without the newline that editors and `echo` put at the end of a file.
pub(super) fn trimmed(secret: &Secret) -> &[u8] {
    let bytes = secret.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(secret: &str, forms: &[KeyForm]) -> String {
        let secret = Secret::new(secret.as_bytes());
        let secret = trimmed(&secret);
        let decoded = KeyForm::of(secret, forms.iter().copied()).and_then(|form| form.decode(secret));
        let fault = decoded.expect_err("a fault");
        SetupError::Secret { position: 1, fault }.to_string()
    }

    #[test]
    fn a_fault_is_told_by_position_and_without_the_secret() {
        use KeyForm::{Base64, Hex, Utf8, Whpk, Whsec};
        assert_eq!(fault("\n", &[Utf8]), "secret 2 is empty");
        assert_eq!(fault("whsec_", &[Whsec]), "secret 2 decodes to zero bytes");
        assert_eq!(fault("abcd", &[Whsec, Whpk]), "secret 2 does not start with `whsec_` or `whpk_`");
        assert_eq!(fault("abcd", &[Whsec, Whsec]), "secret 2 does not start with `whsec_`");
        assert_eq!(fault("whsec_abc", &[Whsec]), "secret 2 is not padded base64 after `whsec_`");
        assert_eq!(fault("abc", &[Base64]), "secret 2 is not padded base64");
        assert_eq!(fault("abc", &[Hex]), "secret 2 is not an even number of hexadecimal digits");
        assert_eq!(fault("whpk_abcd", &[Whpk]), "secret 2 decodes to 3 bytes; an Ed25519 public key has 32");
        // It looks like a signing secret, so it is not taken for a static token either.
        assert_eq!(fault("whsec_abc", &[Whsec, Utf8]), "secret 2 is not padded base64 after `whsec_`");
    }

    #[test]
    fn one_newline_at_the_end_is_no_part_of_a_secret() {
        for (file, secret) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
            assert_eq!(trimmed(&Secret::new(file.as_bytes())), secret.as_bytes());
        }
    }

    #[test]
    fn each_form_decodes() {
        assert_eq!(KeyForm::Utf8.decode(b"whsec_YQ=="), Ok(b"whsec_YQ==".to_vec()));
        assert_eq!(KeyForm::Whsec.decode(b"whsec_YQ=="), Ok(b"a".to_vec()));
        assert_eq!(KeyForm::Base64.decode(b"YQ=="), Ok(b"a".to_vec()));
        assert_eq!(KeyForm::Hex.decode(b"6A"), Ok(b"j".to_vec()));
    }
}
