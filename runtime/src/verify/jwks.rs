//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2) as public keys. A shared secret in a published set is no key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::json;
use super::public_key::{Kind, PublicKey};

/// How many keys of a set are looked at.
const KEYS_MAX: usize = 32;

/// A key of a set, with its id.
pub(super) struct WebKey {
    pub(super) id: Option<String>,
    value: Value,
}

/// The keys of a set that are for signatures; `None` where it is none.
pub(super) fn read(document: &[u8]) -> Option<Vec<WebKey>> {
    let set = json::unambiguous(document)?;
    let keys = set.get("keys")?.as_array()?.iter().take(KEYS_MAX);
    let is_for_signatures = |key: &&Value| key.get("use").is_none_or(|own| own == "sig");
    let key = |key: &Value| WebKey { id: key.get("kid").and_then(Value::as_str).map(Into::into), value: key.clone() };
    Some(keys.filter(is_for_signatures).map(key).collect())
}

impl WebKey {
    /// The key of this kind; `None` where it is of another.
    pub(super) fn public_key(&self, kind: Kind) -> Option<PublicKey> {
        let text = |name: &str| self.value.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        let bytes = match (kind, text("kty")?, text("crv")) {
            (Kind::Ed25519, "OKP", Some("Ed25519")) => bytes("x")?,
            (Kind::EcdsaSha256 | Kind::EcdsaSha1 | Kind::EcdsaSha256Fixed, "EC", Some("P-256")) => {
                // An uncompressed point (SEC 1 §2.3.3).
                [vec![4], bytes("x")?, bytes("y")?].concat()
            }
            (Kind::RsaSha1 | Kind::RsaSha256 | Kind::RsaSha512, "RSA", _) => {
                sequence(&[integer(&bytes("n")?), integer(&bytes("e")?)].concat())
            }
            _ => return None,
        };
        PublicKey::of_bytes(kind, bytes)
    }
}

/// DER (X.690 §8.3) of a number that is not negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let sign: &[u8] = if bytes.get(start).is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    tagged(0x02, &[sign, &bytes[start..]].concat())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    tagged(0x30, content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let long = [0x80 | u8::try_from(length.len()).unwrap_or(0)];
    let form: &[u8] = if content.len() < 0x80 { &[] } else { &long };
    [&[tag], form, length, content].concat()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The SubjectPublicKeyInfo of an RSA key; it ends in its modulus, and in 65537.
    const SPKI: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAhkhbZ2U1xgYYhWvGKBCBemPowfijP0IflSkmr2x1XZCa0WRohsiMZ9dy8/9IVqbrWZBKUguRA7DHq65MXSrs7/JTMV3v5Db/b2Stpq+zv2zjZ7YDuY3WgF+m158OacVgeWbVfN7u5vTU3/7HUbcZGU60MdQZCAl0OISpW5v97/6YffH0AVNKy1qKUp4+jTLtYCi47J/9O6WUJwishYoKQP9p5nwiTIj89JOg5vQrfTzj3d8+DLnddvEaZe5rpfMg0kUicDHOxwfrY6yj+BpZ9mRMmJHz2EZw4GU4elUMrr+qM+Syxw4K5iIJj8hk320E79CgWY+edladi7nebpwpyQIDAQAB";

    #[test]
    fn a_modulus_and_an_exponent_are_the_key_that_they_were_taken_from() {
        let spki = STANDARD.decode(SPKI).expect("base64");
        let modulus = &spki[spki.len() - 5 - 256..spki.len() - 5];
        let key = sequence(&[integer(modulus), integer(&[1, 0, 1])].concat());
        assert!(spki.ends_with(&key));
        assert_eq!(integer(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
    }

    #[test]
    fn what_is_no_key_for_signatures_is_passed_over() {
        let point = URL_SAFE_NO_PAD.encode([9; 32]);
        let set = format!(
            r#"{{"keys":[{{"kty":"oct","k":"AAAA","kid":"a"}},{{"kty":"OKP","crv":"Ed25519","x":"{point}","use":"enc"}},
            {{"kty":"OKP","crv":"X25519","x":"{point}"}},{{"kty":"OKP","crv":"Ed25519","x":"AAAA"}},{{"kty":"OKP","crv":"Ed25519","x":"{point}","kid":"b"}}]}}"#
        );
        let kinds = [Kind::Ed25519, Kind::EcdsaSha256, Kind::RsaSha256];
        let fits = |key: &WebKey| kinds.iter().any(|kind| key.public_key(*kind).is_some());
        let ids: Vec<_> = read(set.as_bytes()).expect("a set").into_iter().filter(fits).map(|key| key.id).collect();
        assert_eq!(ids, [Some("b".to_owned())], "a shared secret, least of all");
        assert!(read(b"{}").is_none() && read(b"[]").is_none());
    }
}
