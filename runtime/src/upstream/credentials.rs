//! Puts an upstream's credentials on a call. What does not change between calls is computed once, when the upstream is built.
//! Must never let a secret's bytes into an error, a log line or a header that is not marked sensitive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::Auth;
use super::header::is_host_owned;
use super::hmac_signature::HmacKey;
use super::signature::{self, SigningKey};
use crate::domain::Timestamp;

impl Auth {
    /// Whether a request can carry these credentials; else one sentence for the operator.
    ///
    /// # Errors
    /// A name or value that no header can hold.
    pub fn check(&self) -> Result<(), &'static str> {
        Credentials::prepare(self).map(drop)
    }
}

/// [`Auth`], ready for use.
#[derive(Clone)]
pub(super) enum Credentials {
    None,
    Header(HeaderName, HeaderValue),
    Signature(SigningKey),
    Hmac(Box<HmacKey>),
}

/// What there is to sign of a call.
pub(super) struct Message<'m> {
    pub(super) method: &'m Method,
    /// With the query, as it is sent.
    pub(super) path: &'m str,
    pub(super) body: &'m [u8],
    /// Wall-clock time.
    pub(super) now: Timestamp,
}

impl Credentials {
    /// Prepares what each call needs; else one sentence for the operator.
    pub(super) fn prepare(auth: &Auth) -> Result<Self, &'static str> {
        match auth {
            Auth::None => Ok(Self::None),
            Auth::Bearer(token) => Self::bearer(token.expose()),
            Auth::Basic { user, .. } if user.contains(':') => Err("the user of `basic` cannot contain a colon (RFC 7617)"),
            Auth::Basic { user, password } => Self::basic(user.as_bytes(), password.expose()),
            Auth::Header { name, value } => Ok(Self::Header(own_header(name)?, sensitive(value.expose())?)),
            Auth::StandardWebhooks(key) => Ok(Self::Signature(SigningKey::new(key))),
            Auth::Hmac(signing) => HmacKey::prepare(signing).map(|key| Self::Hmac(Box::new(key))),
            // Each token brings its own.
            Auth::OAuth(oauth) => oauth.check().map(|()| Self::None),
        }
    }

    /// A token that its bearer may use (RFC 6750 §2.1).
    pub(super) fn bearer(token: &[u8]) -> Result<Self, &'static str> {
        Ok(Self::Header(header::AUTHORIZATION, sensitive(&[b"Bearer ", token].concat())?))
    }

    /// Basic authentication (RFC 7617); the user has no colon.
    pub(super) fn basic(user: &[u8], password: &[u8]) -> Result<Self, &'static str> {
        let pair = STANDARD.encode([user, b":", password].concat());
        Ok(Self::Header(header::AUTHORIZATION, sensitive(format!("Basic {pair}").as_bytes())?))
    }

    /// Whether these credentials set the header, so that a plugin must not.
    pub(super) fn own(&self, name: &HeaderName) -> bool {
        match self {
            Self::None => false,
            Self::Header(own, _) => own == name,
            Self::Signature(_) => signature::owns(name),
            Self::Hmac(key) => key.owns(name),
        }
    }

    /// Adds those that are one header.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if let Self::Header(name, value) = self {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Adds them to a call. `message_id` names a signed message for which the plugin gave no `webhook-id` of its own.
    pub(super) fn apply(
        &self,
        headers: &mut HeaderMap,
        message: &Message<'_>,
        message_id: impl FnOnce() -> String,
    ) -> Result<(), &'static str> {
        match self {
            Self::None | Self::Header(..) => {
                self.put(headers);
                Ok(())
            }
            Self::Signature(key) => key.sign(headers, message.body, message.now, message_id),
            Self::Hmac(key) => {
                key.sign(headers, message);
                Ok(())
            }
        }
    }
}

/// The header that carries them; else one sentence for the operator.
pub(super) fn own_header(name: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the header they name is not the name of an HTTP header")?;
    if is_host_owned(&name) { Err("the header they name is one that HTTP itself uses") } else { Ok(name) }
}

fn sensitive(value: &[u8]) -> Result<HeaderValue, &'static str> {
    // An empty bearer token leaves a space at the end; a secret read from a file often ends in a line break.
    let bare = !value.is_empty() && value.trim_ascii() == value;
    let value = bare.then(|| HeaderValue::from_bytes(value).ok()).flatten();
    let mut value = value.ok_or("the secret is empty, or has spaces around it or line breaks in it")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes())
    }

    fn sent(auth: &Auth) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let credentials = Credentials::prepare(auth).expect("good credentials");
        let message = Message { method: &Method::GET, path: "/", body: b"", now: Timestamp::from_millis(0) };
        credentials.apply(&mut headers, &message, String::new).expect("applied");
        headers
    }

    #[test]
    fn each_kind_sets_its_header_and_marks_it_sensitive() {
        let basic = Auth::Basic { user: "Aladdin".into(), password: secret("open sesame") };
        let own = Auth::Header { name: "X-Api-Key".into(), value: secret("k1") };
        for (auth, name, value) in [
            (Auth::Bearer(secret("t1")), "authorization", "Bearer t1"),
            (basic, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), // RFC 7617 §2
            (own, "x-api-key", "k1"),
        ] {
            let headers = sent(&auth);
            assert_eq!((headers[name].as_bytes(), headers[name].is_sensitive()), (value.as_bytes(), true));
            assert_eq!(headers.len(), 1);
        }
        assert!(sent(&Auth::None).is_empty());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_the_secret() {
        let header = |name: &str, value: &str| Auth::Header { name: name.into(), value: secret(value) };
        for auth in [
            Auth::Bearer(secret("")),
            Auth::Bearer(secret("hunter2\n")),
            Auth::Bearer(secret("hunter2\r\nx: y")),
            Auth::Basic { user: "a:b".into(), password: secret("hunter2") },
            header("x key", "hunter2"),
            header("Host", "hunter2"),
            header("proxy-authorization", "hunter2"),
            header("x-key", " hunter2"),
            header("x-key", ""),
        ] {
            let Err(reason) = Credentials::prepare(&auth) else { panic!("{auth:?} was taken") };
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }
}
