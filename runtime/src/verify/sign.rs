//! The inverse of verifying: makes of a sample what a provider would send, by running the same scheme forwards. For `hookfast send` and
//! for tests.

use std::cmp::Reverse;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::domain::{RawRequest, RefusalCause, Timestamp};

use super::canonical::{self, Canonical};
use super::http_signature;
use super::mac::Key;
use super::message::Context;
use super::sample::{Sample, put_at};
use super::scheme::{Carrier, ClaimRule, Jwt, Parse, Proof, Scheme, Signature, TimestampPlace};
use super::template::Want;
use super::verifier::{Armed, ArmedKey, Verifier};
use super::view::View;

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// A plugin proves the source's requests.
    #[error("a plugin proves the requests of this source, and only its author knows how they are signed")]
    Plugin,
    /// None of the secrets is valid now.
    #[error("the source has no secret that is valid now")]
    NoLiveSecret,
    /// Only the provider has the private key.
    #[error("secret {} is a public key: only the provider can sign for it", .0 + 1)]
    PublicKey(usize),
    /// A part that would be signed is not fit for it.
    #[error("{0}")]
    Part(RefusalCause),
    /// The proof has no place in this body.
    #[error("the body is no {0}, where this provider's proof stands")]
    Body(&'static str),
}

impl Verifier {
    /// Adds to a sample what proves it, with the newest live secret: of those the one that became valid last, and among
    /// equals the one listed first; nothing where none is asked for. `id` fills signed ids; what is there already is kept.
    pub fn sign(&self, sample: &mut Sample, now: Timestamp, id: &str) -> Result<(), CannotSign> {
        if self.takes_unproved() {
            return Ok(());
        }
        if self.provider.schemes.is_empty() {
            return Err(CannotSign::Plugin);
        }
        let (armed, newest) = self.newest(now).ok_or(CannotSign::NoLiveSecret)?;
        let scheme = self.scheme(armed);
        fill(scheme, sample, now, id)?;
        self.meet_requirements(scheme, sample)?;
        let Some(items) = &scheme.each else {
            let value = self.carried(scheme, newest, sample, None, now)?;
            return place(scheme, sample, value);
        };
        let mut body: Value = serde_json::from_slice(&sample.body).map_err(|_| CannotSign::Body("JSON"))?;
        let array = items.array.find_mut(&mut body).and_then(Value::as_array_mut).ok_or(CannotSign::Body("JSON with items"))?;
        let Carrier::Json(pointer) = &scheme.carrier else { return Err(CannotSign::Body("JSON with items")) };
        for element in array {
            let item = items.item.find_mut(element).ok_or(CannotSign::Body("JSON with items"))?;
            let value = self.carried(scheme, newest, sample, Some(item), now)?;
            put_at(item, pointer.keys(), text(value)?.into());
        }
        sample.body = body.to_string().into();
        Ok(())
    }

    fn newest(&self, now: Timestamp) -> Option<(&Armed, &ArmedKey)> {
        let keys = self.armed.iter().flat_map(|armed| armed.keys.iter().map(move |key| (armed, key)));
        keys.filter(|(_, key)| key.is_live(now)).min_by_key(|(armed, key)| (Reverse(key.not_before), key.secret, armed.scheme))
    }

    /// What the carrier holds.
    fn carried(
        &self,
        scheme: &Scheme,
        key: &ArmedKey,
        sample: &Sample,
        item: Option<&Value>,
        now: Timestamp,
    ) -> Result<Vec<u8>, CannotSign> {
        let request = request(sample, now);
        let view = View::new(&request, self.public_url.as_deref());
        let context = |timestamp| Context { view: &view, scheme, value: b"", timestamp, item, url: None, parameters: &self.parameters };
        match (&scheme.proof, &key.key) {
            (Proof::Token, Key::Token(token)) => Ok(written(scheme, b"", token)),
            (Proof::Basic, Key::Token(token)) => Ok(written(scheme, b"", STANDARD.encode(token).as_bytes())),
            (Proof::Jwt(jwt), Key::Jwt(own)) => {
                let token = own.sign(&claims(jwt, &context(b""), now)?).ok_or(CannotSign::PublicKey(key.secret))?;
                Ok(written(scheme, b"", token.as_bytes()))
            }
            (Proof::Signature(signature), own) => {
                let timestamp = timestamp(signature, &view, now);
                let before = before(scheme, signature, &timestamp);
                let context = Context { value: &before, ..context(&timestamp) };
                let message = signature.message.resolve(&context).map_err(CannotSign::Part)?;
                let bytes = own.sign(&message).ok_or(CannotSign::PublicKey(key.secret))?;
                Ok(written(scheme, &before, signature.encoding.encode(&bytes).as_bytes()))
            }
            _ => Err(CannotSign::NoLiveSecret),
        }
    }

    fn meet_requirements(&self, scheme: &Scheme, sample: &mut Sample) -> Result<(), CannotSign> {
        for requirement in &scheme.requirements {
            let request = request(sample, Timestamp::from_millis(0));
            let view = View::new(&request, self.public_url.as_deref());
            let context = Context { view: &view, scheme, value: b"", timestamp: b"", item: None, url: None, parameters: &self.parameters };
            let wanted = text(requirement.equals.resolve(&context).map_err(CannotSign::Part)?.whole())?;
            match requirement.value.wants().next() {
                Some(Want::Query(name)) => sample.add_query(name, &wanted),
                Some(Want::Json(pointer)) => sample.put_json(pointer, &wanted)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn request(sample: &Sample, now: Timestamp) -> RawRequest {
    let target = if sample.query.is_empty() { "/".to_owned() } else { format!("/?{}", sample.query) };
    RawRequest { method: "POST".into(), target, headers: sample.headers.clone(), body: sample.body.clone(), received_at: now }
}

/// Adds what the message is made of and is not there yet.
fn fill(scheme: &Scheme, sample: &mut Sample, now: Timestamp, id: &str) -> Result<(), CannotSign> {
    let signature = if let Proof::Signature(signature) = &scheme.proof { Some(signature) } else { None };
    let rule = signature.and_then(|signature| signature.timestamp.as_ref());
    for name in scheme.signed_headers().filter(|name| sample.headers.all(name).next().is_none()).collect::<Vec<_>>() {
        match rule {
            Some(rule) if rule.place == TimestampPlace::Header(name.into()) => sample.headers.push(name, rule.unit.write(now)),
            _ => sample.headers.push(name, id),
        }
    }
    if let Some((pointer, unit)) =
        rule.and_then(|rule| if let TimestampPlace::Json(pointer) = &rule.place { Some((pointer, rule.unit)) } else { None })
    {
        sample.put_json(pointer, &unit.write(now))?;
    }
    for want in signature.into_iter().flat_map(|signature| signature.message.wants()) {
        match want {
            // Not to be taken for a challenge.
            Want::Form(name) => sample.add_field(name, &format!("{id}.sample")),
            Want::AnyForm => sample.add_field("id", id),
            Want::Query(name) => sample.add_query(name, id),
            Want::PairHeaders(_) if sample.headers.all(SIGNED_HEADER).next().is_none() => {
                sample.headers.push(SIGNED_HEADER, "application/json");
            }
            Want::Canonical(Canonical::ContentfulHeaders) if sample.headers.all(canonical::CONTENTFUL_NAMES).next().is_none() => {
                sample.headers.push(canonical::CONTENTFUL_NAMES, format!("{},x-contentful-timestamp", canonical::CONTENTFUL_NAMES));
            }
            Want::Canonical(Canonical::PlivoV3) => sample.add_field("id", id),
            Want::Canonical(Canonical::Rfc9421) => {
                let digest = STANDARD.encode(Sha256::digest(&sample.body));
                sample.headers.push("content-digest", format!("sha-256=:{digest}:"));
                let created = now.as_seconds();
                sample.headers.push(http_signature::INPUT, format!("sig1=(\"@method\" \"content-digest\");created={created}"));
            }
            Want::Json(_) | Want::PairHeaders(_) | Want::Canonical(_) => {}
        }
    }
    Ok(())
}

/// The timestamp's text as it is signed.
fn timestamp(signature: &Signature, view: &View<'_>, now: Timestamp) -> Vec<u8> {
    match signature.timestamp.as_ref().map(|rule| (&rule.place, rule.unit)) {
        Some((TimestampPlace::Header(name), _)) => view.headers().only(name).unwrap_or_default().into(),
        Some((TimestampPlace::Pair(_) | TimestampPlace::First | TimestampPlace::Created, unit)) => unit.write(now).into(),
        Some((TimestampPlace::Json(_), _)) | None => Vec::new(),
    }
}

fn claims(jwt: &Jwt, context: &Context<'_>, now: Timestamp) -> Result<Value, CannotSign> {
    let mut claims = Map::new();
    for claim in &jwt.claims {
        let value = match &claim.rule {
            ClaimRule::OneOf(allowed) => json!(allowed.first()),
            ClaimRule::True => json!(true),
            ClaimRule::Parameter(name) => json!(context.parameters.get(name)),
            ClaimRule::Near(_) => json!(now.as_seconds()),
            ClaimRule::There if claim.name == "exp" => json!((now + Duration::from_mins(5)).as_seconds()),
            ClaimRule::There => json!(now.as_seconds()),
            ClaimRule::Qsh => json!(canonical::query_string_hash(context.view)),
            ClaimRule::Equals(template) | ClaimRule::EqualsIfBody(template) => {
                json!(text(template.resolve(context).map_err(CannotSign::Part)?.whole())?)
            }
        };
        claims.insert(claim.name.clone(), value);
    }
    Ok(Value::Object(claims))
}

/// What stands before the proof, each with its separator: the timestamp, and the names of signed headers.
fn before(scheme: &Scheme, signature: &Signature, timestamp: &[u8]) -> Vec<u8> {
    if scheme.parse == Parse::Dictionary {
        // The label by which the message finds what it lists.
        return b"sig1=".to_vec();
    }
    let (Parse::Pairs { separator, .. } | Parse::Positional { separator }) = &scheme.parse else { return Vec::new() };
    let mut before = Vec::new();
    let mut add = |name: &str, value: &[u8]| {
        let name = if name.is_empty() { String::new() } else { format!("{name}=") };
        before.extend_from_slice(&[name.as_bytes(), value, separator.to_string().as_bytes()].concat());
    };
    match signature.timestamp.as_ref().map(|rule| &rule.place) {
        Some(TimestampPlace::Pair(name)) => add(name, timestamp),
        Some(TimestampPlace::First) => add("", timestamp),
        _ => {}
    }
    for want in signature.message.wants() {
        if let Want::PairHeaders(name) = want {
            add(name, SIGNED_HEADER.as_bytes());
        }
    }
    before
}

/// The header that is signed where a provider may name any.
const SIGNED_HEADER: &str = "content-type";

/// The carrier's value around a proof.
fn written(scheme: &Scheme, before: &[u8], proof: &[u8]) -> Vec<u8> {
    match &scheme.parse {
        Parse::List { prefix, .. } => [prefix.as_bytes(), proof].concat(),
        Parse::Pairs { signatures, .. } => [before, signatures.first().map_or("", String::as_str).as_bytes(), b"=", proof].concat(),
        Parse::Positional { .. } => [before, proof].concat(),
        Parse::Dictionary => [b"sig1=:", proof, b":"].concat(),
        Parse::Keyed { key_separator, .. } => [b"key", key_separator.to_string().as_bytes(), proof].concat(),
        Parse::Envelope { signature } => {
            let mut envelope = json!({});
            put_at(&mut envelope, signature.keys(), String::from_utf8_lossy(proof).into());
            STANDARD.encode(envelope.to_string()).into()
        }
    }
}

fn place(scheme: &Scheme, sample: &mut Sample, value: Vec<u8>) -> Result<(), CannotSign> {
    match &scheme.carrier {
        Carrier::Headers(names) => sample.headers.push(names.first().map_or("", String::as_str), value),
        Carrier::Numbered { prefix, .. } => sample.headers.push(&format!("{prefix}1"), value),
        Carrier::Query(name) => sample.add_query(name, &text(value)?),
        Carrier::Form(name) => sample.add_field(name, &text(value)?),
        Carrier::Json(pointer) => sample.put_json(pointer, &text(value)?)?,
        Carrier::Body => sample.body = value.into(),
    }
    Ok(())
}

fn text(bytes: Vec<u8>) -> Result<String, CannotSign> {
    String::from_utf8(bytes).map_err(|_| CannotSign::Body("text"))
}
