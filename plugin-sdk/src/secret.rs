//! A source's secrets, used by name: their bytes never enter the plugin.

use crate::bindings::hookfast::plugin::types::Fault;
use crate::{Rejection, host};

/// A secret of the source, by the name that its configuration gives it (`default` where it gives none). While it is rotated, several
/// have the name, and each that is valid now is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
    form: String,
}

impl Secret {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), form: "utf8".to_owned() }
    }

    /// How its text becomes the key: `utf8` unless this says otherwise; `base64`, `hex`, `sha1`, `whsec`; for public keys `pem`, `whpk`,
    /// `raw-hex`, `raw-base64`.
    #[must_use]
    pub fn form(self, form: &str) -> Self {
        Self { form: form.to_owned(), ..self }
    }

    /// Passes if the secret made this signature, given as bytes. Algorithms: `hmac-sha1`, `hmac-sha256`, `hmac-sha384`, `hmac-sha512`;
    /// with a public key `ed25519`, `ecdsa-p256-sha256`, `ecdsa-p256-sha1`, `rsa-sha1`, `rsa-sha256`, `rsa-sha512`.
    ///
    /// # Errors
    /// It did not (`wrong_signature`), or cannot be used so.
    pub fn verify(&self, algorithm: &str, message: impl AsRef<[u8]>, signature: impl AsRef<[u8]>) -> Result<(), Rejection> {
        let held = host::verify(&self.name, &self.form, algorithm, message.as_ref(), signature.as_ref()).map_err(rejection)?;
        held.then_some(()).ok_or_else(|| Rejection::new("wrong_signature", "no valid secret makes this signature"))
    }

    /// Passes if the secret is this text.
    ///
    /// # Errors
    /// It is not (`wrong_token`), or there is none of the name.
    pub fn is(&self, text: impl AsRef<[u8]>) -> Result<(), Rejection> {
        let held = host::is(&self.name, text.as_ref()).map_err(rejection)?;
        held.then_some(()).ok_or_else(|| Rejection::new("wrong_token", "no valid secret is this token"))
    }

    /// The signature by the first secret that is valid now; for the answers of handshakes. Never sign what a stranger chose in a form
    /// that an event could have.
    ///
    /// # Errors
    /// It cannot sign so.
    pub fn sign(&self, algorithm: &str, message: impl AsRef<[u8]>) -> Result<Vec<u8>, Rejection> {
        host::sign(&self.name, &self.form, algorithm, message.as_ref()).map_err(rejection)
    }
}

fn rejection(fault: Fault) -> Rejection {
    Rejection::new(fault.code, fault.message)
}
