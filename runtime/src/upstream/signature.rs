//! Signs calls as webhooks by the Standard Webhooks specification, version 1 (symmetric signatures):
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
//! Signs only; what arrives is verified in `verify`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::domain::{Secret, Timestamp};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Decodes a `whsec_…` secret: base64 of 24 to 64 bytes, the prefix optional. Else one sentence for the operator.
pub fn standard_webhooks_key(text: &str) -> Result<Secret, String> {
    let encoded = text.strip_prefix("whsec_").unwrap_or(text);
    let key = STANDARD.decode(encoded).map_err(|_| "a Standard Webhooks secret is `whsec_` and base64; this is not".to_owned())?;
    if !(24..=64).contains(&key.len()) {
        return Err(format!("a Standard Webhooks secret has 24 to 64 bytes before base64; this one has {}", key.len()));
    }
    Ok(Secret::new(key))
}

/// The headers that only the host sets; a plugin may choose its own `webhook-id`.
pub(super) fn owns(name: &HeaderName) -> bool {
    *name == TIMESTAMP || *name == SIGNATURE
}

/// The secret with the first half of the HMAC already computed.
#[derive(Clone)]
pub(super) struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    pub(super) fn new(key: &Secret) -> Self {
        Self(Hmac::new_from_slice(key.expose()).expect("HMAC takes keys of any length"))
    }

    /// Sets id (the plugin's, else `message_id`), timestamp and signature.
    pub(super) fn sign(
        &self,
        headers: &mut HeaderMap,
        body: &[u8],
        now: Timestamp,
        message_id: impl FnOnce() -> String,
    ) -> Result<(), &'static str> {
        if !headers.contains_key(ID) {
            let id = HeaderValue::try_from(message_id()).map_err(|_| "the message has no usable id")?;
            headers.insert(ID, id);
        }
        let id = only_id(headers)?;
        let timestamp = now.as_seconds().to_string();
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        headers.insert(TIMESTAMP, HeaderValue::try_from(timestamp).expect("digits"));
        headers.insert(SIGNATURE, HeaderValue::try_from(signature).expect("base64"));
        Ok(())
    }
}

/// A full stop parts the signed content, so an id that contains one could be read in two ways.
fn only_id(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    let mut ids = headers.get_all(ID).iter();
    let id = ids.next().filter(|id| !id.is_empty() && !id.as_bytes().contains(&b'.'));
    match (id, ids.next()) {
        (Some(id), None) => Ok(id.clone()),
        _ => Err("`webhook-id` is given once, not empty and without a full stop"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_999);

    fn signed(id: Option<&'static str>) -> Result<HeaderMap, &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert(ID, HeaderValue::from_static(id));
        }
        let key = SigningKey::new(&standard_webhooks_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key"));
        key.sign(&mut headers, br#"{"test": 2432232314}"#, NOW, || "evt_1".into())?;
        Ok(headers)
    }

    #[test]
    fn the_signature_is_the_one_that_the_reference_libraries_make() {
        // The vector of the reference libraries' tests (standard-webhooks/libraries, `webhook_test`).
        let headers = signed(Some("msg_p5jXN8AQM9LWM0D4loKWxJek")).expect("signed");
        assert_eq!(headers[TIMESTAMP], "1614265330");
        assert_eq!(headers[SIGNATURE], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_plugins_id_is_kept_and_checked_and_a_missing_one_is_filled_in() {
        assert_eq!(signed(Some("order-1")).expect("signed")[ID], "order-1");
        assert_eq!(signed(None).expect("signed")[ID], "evt_1");
        assert!(signed(Some("a.b")).is_err());
        assert!(signed(Some("")).is_err());
    }

    #[test]
    fn secrets_have_24_to_64_bytes() {
        for (bytes, good) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = STANDARD.encode(vec![7; bytes]);
            assert_eq!(standard_webhooks_key(&format!("whsec_{text}")).is_ok(), good, "{bytes}");
            assert_eq!(standard_webhooks_key(&text).is_ok(), good, "{bytes}");
        }
        let error = standard_webhooks_key("whsec_hunter2 is not base64").expect_err("not base64");
        assert!(!error.contains("hunter2"));
    }
}
