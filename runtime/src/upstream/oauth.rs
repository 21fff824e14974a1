//! What is said to an OAuth 2 token endpoint, and what it answers (RFC 6749): client credentials (§4.4) and refresh tokens (§6). Keeps
//! nothing. Must never let a secret or a token into a fault, nor text of the endpoint's that is not in the RFC.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Deserialize;

use super::credentials::Credentials;
use super::request;
use crate::domain::{CallFault, CallFaultKind, OutboundAnswer, Secret, Timestamp};

/// How tokens are got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// The token endpoint; its address passes the same guard as the upstream's.
    pub token_url: Uri,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// Where id and secret stand in the request.
    pub style: ClientAuthentication,
    /// What the token shall allow, parted by spaces.
    pub scope: Option<String>,
    /// For whom the token shall be.
    pub audience: Option<String>,
    /// Asks with this refresh token in place of the client's credentials alone. Where the endpoint gives another one in its stead, that
    /// one is kept in memory only: after a restart the configured one is used again.
    pub refresh_token: Option<Secret>,
    /// Further parameters of the request.
    pub parameters: Vec<(String, String)>,
}

/// How a client says who it is (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `Authorization: Basic …`.
    Basic,
    /// `client_id` and `client_secret` in the body.
    Body,
}

/// Reads the URL of a token endpoint: `https` or `http`, no user and no fragment. Else one sentence for the operator.
pub fn token_url(text: &str) -> Result<Uri, String> {
    let uri = text.parse::<Uri>().ok().filter(|_| !text.contains('#'));
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("https" | "http")));
    let is_plain = |uri: &Uri| uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    uri.filter(is_plain).ok_or_else(|| "a token URL is like https://login.example.com/oauth2/token, without user and fragment".into())
}

/// What the token endpoint gave.
pub(super) struct Granted {
    /// The token, as calls carry it.
    pub(super) credentials: Credentials,
    /// From when it was asked for.
    pub(super) lifetime: Duration,
    /// Instead of the refresh token that was used.
    pub(super) refresh_token: Option<Secret>,
}

/// Where the endpoint does not say how long a token lives.
const LIFETIME_DEFAULT: Duration = Duration::from_mins(5);
const LIFETIME_MAX_SECONDS: f64 = 365.0 * 86_400.0;

/// What stands unescaped in a form (WHATWG URL, `application/x-www-form-urlencoded` percent-encode set), but for the space.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The codes of RFC 6749 §5.2: only these are repeated to anybody.
const CODES: [&str; 6] =
    ["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"];

impl OAuth {
    pub(super) fn is_https(&self) -> bool {
        self.token_url.scheme_str() == Some("https")
    }

    /// Whether a request can carry them; else one sentence for the operator.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_own = |name: &str| matches!(name, "grant_type" | "scope" | "audience" | "refresh_token" | "client_id" | "client_secret");
        if self.client_id.is_empty() {
            return Err("the `client_id` of `oauth2` is empty");
        }
        if self.parameters.iter().any(|(name, _)| is_own(name)) {
            return Err("one of the `parameters` of `oauth2` has a key of its own");
        }
        Ok(())
    }

    /// The request for a token, with the refresh token where there is one.
    pub(super) fn request(&self, refresh_token: Option<&Secret>) -> Request<Full<Bytes>> {
        let mut form = Form::default();
        match refresh_token {
            None => form.add("grant_type", b"client_credentials"),
            Some(token) => {
                form.add("grant_type", b"refresh_token");
                form.add("refresh_token", token.expose());
            }
        }
        let optional = [("scope", &self.scope), ("audience", &self.audience)];
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .for_each(|(name, value)| form.add(name, value.as_bytes()));
        self.parameters.iter().for_each(|(name, value)| form.add(name, value.as_bytes()));

        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        match self.style {
            ClientAuthentication::Body => {
                form.add("client_id", self.client_id.as_bytes());
                form.add("client_secret", self.client_secret.expose());
            }
            ClientAuthentication::Basic => {
                let (id, secret) = (form_encoded(self.client_id.as_bytes()), form_encoded(self.client_secret.expose()));
                Credentials::basic(id.as_bytes(), secret.as_bytes()).expect("base64").put(&mut headers);
            }
        }
        request::assemble(Method::POST, self.token_url.clone(), headers, Bytes::from(form.0))
    }
}

#[derive(Default)]
struct Form(String);

impl Form {
    fn add(&mut self, name: &str, value: &[u8]) {
        let separator = if self.0.is_empty() { "" } else { "&" };
        self.0.extend([separator, &form_encoded(name.as_bytes()), "=", &form_encoded(value)]);
    }
}

fn form_encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, FORM).to_string().replace("%20", "+")
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    token_type: String,
    /// Some endpoints write the number as text.
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// What the endpoint's answer comes to. `target` is how the author knows the other side.
pub(super) fn granted(answer: &OutboundAnswer, target: &str, now: Timestamp) -> Result<Granted, CallFault> {
    match answer.status {
        200..=299 => read(answer).ok_or_else(|| {
            CallFault::new(CallFaultKind::Connect, format!("{target} answered {} and no bearer token with it", answer.status))
        }),
        status @ (400 | 401 | 403) => {
            let error = serde_json::from_slice::<Refused>(&answer.body).map(|refused| refused.error);
            let code = error.ok().and_then(|error| CODES.into_iter().find(|code| *code == error));
            let reason = code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"));
            let message = format!("{target} refuses the credentials it is asked with: it answered {reason}");
            Err(CallFault::new(CallFaultKind::AuthFailed, message))
        }
        status => Err(CallFault {
            retry_after: answer.retry_after(now),
            ..CallFault::new(CallFaultKind::Connect, format!("{target} answered {status} when asked for a token"))
        }),
    }
}

fn read(answer: &OutboundAnswer) -> Option<Granted> {
    let Grant { access_token, token_type, expires_in, refresh_token } = serde_json::from_slice(&answer.body).ok()?;
    // RFC 6749 §7.1: a token of a type that one does not know must not be used.
    let credentials = Credentials::bearer(access_token.as_bytes()).ok().filter(|_| token_type.eq_ignore_ascii_case("bearer"))?;
    let seconds = expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let lifetime = seconds
        .filter(|seconds| seconds.is_finite())
        .map_or(LIFETIME_DEFAULT, |seconds| Duration::from_secs_f64(seconds.clamp(0.0, LIFETIME_MAX_SECONDS)));
    Some(Granted { credentials, lifetime, refresh_token: refresh_token.map(|token| Secret::new(token.into_bytes())) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Headers;

    fn answer(status: u16, body: &'static str) -> OutboundAnswer {
        OutboundAnswer { status, headers: Headers::default(), body: Bytes::from_static(body.as_bytes()), stale_for: None }
    }

    fn asked(status: u16, body: &'static str) -> Result<Granted, CallFault> {
        granted(&answer(status, body), "the token endpoint", Timestamp::from_millis(0))
    }

    #[test]
    fn a_lifetime_is_a_number_or_its_text_and_five_minutes_where_there_is_none() {
        let lifetime = |body| asked(200, body).map(|granted| granted.lifetime.as_secs()).map_err(|fault| fault.message);
        assert_eq!(lifetime(r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#), Ok(3600));
        assert_eq!(lifetime(r#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#), Ok(60));
        assert_eq!(lifetime(r#"{"access_token":"t","token_type":"BEARER","expires_in":-1}"#), Ok(0));
        assert_eq!(lifetime(r#"{"access_token":"t","token_type":"bearer"}"#), Ok(300));
        assert_eq!(lifetime(r#"{"access_token":"t","token_type":"bearer","expires_in":1e300}"#), Ok(365 * 86_400));
    }

    #[test]
    fn what_is_no_bearer_token_is_used_for_nothing() {
        for body in
            ["<html>", "{}", r#"{"access_token":"hunter2","token_type":"mac"}"#, r#"{"access_token":"hunter2\n","token_type":"bearer"}"#]
        {
            let Err(fault) = asked(200, body) else { panic!("{body} was taken") };
            assert_eq!((fault.kind, fault.message.contains("hunter2")), (CallFaultKind::Connect, false), "{}", fault.message);
        }
    }

    #[test]
    fn a_refusal_is_an_auth_fault_and_repeats_only_the_words_of_the_rfc() {
        let refusal = |status, body| asked(status, body).err().map(|fault| (fault.kind, fault.message)).expect("refused");
        let prefix = "the token endpoint refuses the credentials it is asked with: it answered";
        assert_eq!(
            refusal(400, r#"{"error":"invalid_grant","error_description":"hunter2"}"#),
            (CallFaultKind::AuthFailed, format!("{prefix} 400 invalid_grant"))
        );
        assert_eq!(refusal(401, r#"{"error":"hunter2"}"#), (CallFaultKind::AuthFailed, format!("{prefix} 401")));
        assert_eq!(refusal(503, "").0, CallFaultKind::Connect);
    }

    #[test]
    fn token_urls_are_absolute_and_hold_no_secret() {
        for text in ["https://login.example/token", "https://login.example:8443/t?tenant=1", "http://127.0.0.1:1/"] {
            assert!(token_url(text).is_ok(), "{text}");
        }
        for text in ["", "/token", "login.example/token", "ftp://login.example", "https://u:p@login.example/", "https://login.example/#x"] {
            assert!(token_url(text).is_err(), "{text} was taken");
        }
    }
}
