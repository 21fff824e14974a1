//! A source's secrets at the service of a plugin: used by name, never handed out.

use crate::domain::{Headers, KeyAnswer, KeyDeed, KeyUse, KeyUseFault, Timestamp};

use super::algorithm::{Algorithm, KeyForm};
use super::key::{self, KeyFault, SetupError};
use super::mac::Key;
use super::message::Message;
use super::verifier::SecretSpec;
use super::words::{value_of, word_of};

/// The name of a secret that has none.
const DEFAULT_NAME: &str = "default";
/// Shorter texts could stand in a header by chance.
const REDACTED_BYTES_MIN: usize = 8;

/// The secrets of a source whose requests a plugin proves.
#[derive(Debug)]
pub struct Keyring(Vec<Named>);

#[derive(Debug)]
struct Named {
    /// Its place in the source's list, from 0.
    position: usize,
    name: String,
    spec: SecretSpec,
}

impl Keyring {
    /// From secrets with their names, which several may share while one is rotated.
    pub fn new(secrets: Vec<(Option<String>, SecretSpec)>) -> Result<Self, SetupError> {
        let empty = secrets.iter().position(|(_, spec)| key::trimmed(&spec.secret).is_empty());
        if let Some(position) = empty {
            return Err(SetupError::Secret { position, fault: KeyFault::Empty });
        }
        let named = |(position, (name, spec)): (usize, (Option<String>, SecretSpec))| Named {
            position,
            name: name.unwrap_or_else(|| DEFAULT_NAME.into()),
            spec,
        };
        Ok(Self(secrets.into_iter().enumerate().map(named).collect()))
    }

    /// Does what the plugin asks, with every secret of the name that is valid now. Tells `held` the position of the first that a proof is by.
    pub fn answer(&self, key_use: KeyUse, now: Timestamp, held: impl Fn(usize)) -> Result<KeyAnswer, KeyUseFault> {
        let KeyUse { secret, deed } = key_use;
        let live: Vec<&Named> = self.0.iter().filter(|named| named.name == secret && named.spec.is_live(now)).collect();
        if live.is_empty() {
            let message = format!("the source has no secret `{}` that is valid now", secret.chars().take(64).collect::<String>());
            return Err(KeyUseFault { code: "unknown_secret", message });
        }
        match deed {
            KeyDeed::Is { text } => {
                let is = |named: &&Named| Key::Token(key::trimmed(&named.spec.secret).to_vec()).is_among(&[&text]);
                // Each is compared, so that the time taken does not tell which one it was.
                Ok(holds(live.iter().map(|named| (named.position, is(named))), held))
            }
            KeyDeed::Verify { form, algorithm, message, signature } => {
                let keys = keys(&live, &form, &algorithm)?;
                let message = Message::of(&message);
                let is_by = |key: &Key| key.holds(&message, std::slice::from_ref(&signature));
                Ok(holds(live.iter().zip(&keys).map(|(named, key)| (named.position, is_by(key))), held))
            }
            KeyDeed::Sign { form, algorithm, message } => {
                let signature = keys(&live, &form, &algorithm)?.first().and_then(|key| key.sign(&Message::of(&message)));
                let fault = || KeyUseFault { code: "unfit_secret", message: "a public key cannot sign".into() };
                signature.map(KeyAnswer::Signature).ok_or_else(fault)
            }
        }
    }

    /// Writes over every header that holds a secret, and over `authorization` in any case: a plugin may have taken it apart.
    pub fn redact(&self, headers: &mut Headers) {
        let holds = |value: &[u8]| {
            let texts = self.0.iter().map(|named| key::trimmed(&named.spec.secret)).filter(|text| text.len() >= REDACTED_BYTES_MIN);
            texts.into_iter().any(|text| value.windows(text.len()).any(|window| window == text))
        };
        let names: Vec<String> = headers.iter().filter(|(_, value)| holds(value)).map(|(name, _)| name.to_owned()).collect();
        names.iter().map(String::as_str).chain(["authorization"]).for_each(|name| headers.replace(name, "[verified]"));
    }
}

/// Whether any secret holds; all are tried.
fn holds(tried: impl Iterator<Item = (usize, bool)>, held: impl Fn(usize)) -> KeyAnswer {
    let first = tried.fold(None, |first, (position, holds)| first.or(holds.then_some(position)));
    first.iter().for_each(|position| held(*position));
    KeyAnswer::Holds(first.is_some())
}

fn keys(live: &[&Named], form: &str, algorithm: &str) -> Result<Vec<Key>, KeyUseFault> {
    let unknown = |code, what: &str, word: &str, all: String| {
        let word: String = word.chars().take(64).collect();
        KeyUseFault { code, message: format!("`{word}` is no {what}; there are {all}") }
    };
    let form_of = value_of(&KeyForm::WORDS, form);
    let form_of = form_of.ok_or_else(|| unknown("unknown_form", "form", form, KeyForm::WORDS.map(|(word, _)| word).join(", ")))?;
    let names = || Algorithm::WORDS.iter().filter(|(_, own)| !own.is_bare_hash()).map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let algorithm_of = value_of(&Algorithm::WORDS, algorithm).filter(|own| !own.is_bare_hash());
    let algorithm = algorithm_of.ok_or_else(|| unknown("unknown_algorithm", "algorithm", algorithm, names()))?;
    // One key must not serve for both: whoever knows a public key could sign with it as a shared secret.
    if algorithm.is_asymmetric() != form_of.is_public() {
        let message = format!("`{}` does not take a key of the form `{form}`", word_of(&Algorithm::WORDS, &algorithm));
        return Err(KeyUseFault { code: "unfit_secret", message });
    }
    let key = |named: &&Named| {
        let secret = key::trimmed(&named.spec.secret);
        let bytes = KeyForm::of(secret, std::iter::once(form_of)).and_then(|form| form.decode(secret));
        bytes.and_then(|bytes| Key::new(algorithm, form_of, bytes))
    };
    let unfit = |fault: KeyFault| KeyUseFault { code: "unfit_secret", message: format!("the secret {fault}") };
    live.iter().map(key).collect::<Result<_, _>>().map_err(unfit)
}

#[cfg(test)]
mod tests {
    use super::super::sender::{NOW, secret};
    use super::*;

    fn keyring(secrets: &[(Option<&str>, &str)]) -> Keyring {
        let secrets = secrets.iter().map(|(name, text)| (name.map(Into::into), secret(text))).collect();
        Keyring::new(secrets).expect("secrets")
    }

    fn verify(keyring: &Keyring, name: &str, form: &str, algorithm: &str, signature: &[u8]) -> Result<KeyAnswer, &'static str> {
        let (form, algorithm) = (form.to_owned(), algorithm.to_owned());
        let deed = KeyDeed::Verify { form, algorithm, message: b"abc".to_vec(), signature: signature.to_vec() };
        keyring.answer(KeyUse { secret: name.into(), deed }, NOW, |_| ()).map_err(|fault| fault.code)
    }

    fn signed(keyring: &Keyring, name: &str) -> Vec<u8> {
        let deed = KeyDeed::Sign { form: "utf8".into(), algorithm: "hmac-sha256".into(), message: b"abc".to_vec() };
        match keyring.answer(KeyUse { secret: name.into(), deed }, NOW, |_| ()) {
            Ok(KeyAnswer::Signature(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_is_used_by_its_name_and_by_each_that_shares_it() {
        let ring = keyring(&[(None, "one"), (None, "two"), (Some("challenge"), "three")]);
        let by = |text: &str| signed(&keyring(&[(None, text)]), "default");
        let check = |name: &str, signature: &[u8]| verify(&ring, name, "utf8", "hmac-sha256", signature);
        assert_eq!([check("default", &by("one")), check("default", &by("two"))], [const { Ok(KeyAnswer::Holds(true)) }; 2]);
        assert_eq!(check("default", &by("three")), Ok(KeyAnswer::Holds(false)));
        assert_eq!(check("challenge", &by("three")), Ok(KeyAnswer::Holds(true)));
        assert_eq!(check("other", b""), Err("unknown_secret"));
        assert_eq!(signed(&ring, "default"), by("one"));
    }

    #[test]
    fn what_cannot_be_done_is_told_by_code_and_without_the_secret() {
        let ring = keyring(&[(None, "not base64!")]);
        let check = |form: &str, algorithm: &str| verify(&ring, "default", form, algorithm, b"");
        assert_eq!(check("rot13", "hmac-sha256"), Err("unknown_form"));
        assert_eq!(check("utf8", "md5"), Err("unknown_algorithm"), "a bare hash is no signature");
        assert_eq!(check("utf8", "ed25519"), Err("unfit_secret"));
        assert_eq!(check("base64", "hmac-sha256"), Err("unfit_secret"));
        assert_eq!(check("pem", "hmac-sha256"), Err("unfit_secret"), "a public key must not verify as a shared secret");
    }

    #[test]
    fn a_token_is_compared_whole_and_written_over() {
        let ring = keyring(&[(None, "a long token")]);
        let is = |text: &str| ring.answer(KeyUse { secret: "default".into(), deed: KeyDeed::Is { text: text.into() } }, NOW, |_| ());
        assert_eq!((is("a long token"), is("a long toke")), (Ok(KeyAnswer::Holds(true)), Ok(KeyAnswer::Holds(false))));
        let mut headers: Headers = [("authorization", bytes::Bytes::from("Bearer a long token"))].into_iter().collect();
        headers.push("x-id", "a long");
        ring.redact(&mut headers);
        assert_eq!((headers.text("authorization"), headers.text("x-id")), (Some("[verified]"), Some("a long")));
        let mut basic: Headers = [("authorization", bytes::Bytes::from("Basic dTphIGxvbmcgdG9rZW4="))].into_iter().collect();
        ring.redact(&mut basic);
        assert_eq!(basic.text("authorization"), Some("[verified]"));
    }

    #[test]
    fn the_secret_that_a_proof_is_by_is_told_by_its_place_in_the_list() {
        let ring = keyring(&[(Some("challenge"), "three"), (None, "one"), (None, "two")]);
        let told = |deed: KeyDeed| {
            let position = std::cell::Cell::new(None);
            let answer = ring.answer(KeyUse { secret: "default".into(), deed }, NOW, |held| position.set(Some(held)));
            assert!(answer.is_ok(), "{answer:?}");
            position.get()
        };
        let verify = |signature: Vec<u8>| {
            let (form, algorithm) = ("utf8".to_owned(), "hmac-sha256".to_owned());
            told(KeyDeed::Verify { form, algorithm, message: b"abc".to_vec(), signature })
        };
        assert_eq!(verify(signed(&keyring(&[(None, "two")]), "default")), Some(2));
        assert_eq!((verify(vec![0; 32]), told(KeyDeed::Is { text: b"one".to_vec() })), (None, Some(1)));
        let sign = KeyDeed::Sign { form: "utf8".into(), algorithm: "hmac-sha256".into(), message: b"abc".to_vec() };
        assert_eq!(told(sign), None, "an answer proves nothing of who asked");
    }
}
