//! One source's proof check: its provider's schemes with its own keys. Pure: now is a parameter, the answer a value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::domain::{Held, RawRequest, RefusalCause, Secret, Timestamp, Verified};

use super::arm;
use super::carrier;
use super::fetched::{self, Fetched};
use super::http_signature;
use super::identify::Lookup;
use super::json;
use super::jwt::Token;
use super::key::SetupError;
use super::location::Items;
use super::mac::Key;
use super::message::{Context, Message};
use super::options::Options;
use super::provider::Provider;
use super::scheme::{Carrier, Proof, Requirement, Scheme, Signature, TimestampPlace, TimestampRule};
use super::timestamp;
use super::view::View;

/// A secret of a source, as configured.
#[derive(Debug, Clone)]
pub struct SecretSpec {
    /// Its bytes as read; one newline at the end is not taken for a part of it.
    pub secret: Secret,
    /// Not valid before.
    pub not_before: Option<Timestamp>,
    /// Not valid from then on.
    pub not_after: Option<Timestamp>,
}

/// Verifies the requests of one source.
pub struct Verifier {
    pub(super) provider: Arc<Provider>,
    pub(super) armed: Vec<Armed>,
    pub(super) lookup: Lookup,
    /// Where the events of a batch stand.
    pub(super) items: Option<Items>,
    /// The URL as it is registered with the provider.
    pub(super) public_url: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
    /// As they were configured: what does not verify is diagnosed by reading them otherwise.
    pub(super) secrets: Vec<SecretSpec>,
    /// What the provider's keys are asked for with.
    pub(super) keys_token: Option<Secret>,
    is_offline: bool,
    /// Nothing is checked, since there is nothing to check and the source takes that.
    pub(super) takes_unproved: bool,
}

/// A scheme that the source has secrets for.
pub(super) struct Armed {
    /// Which of the provider's schemes.
    pub(super) scheme: usize,
    pub(super) keys: Vec<ArmedKey>,
    /// The provider's own, where the source gives none.
    pub(super) fetched: Option<Fetched>,
}

/// A secret made ready for one scheme.
pub(super) struct ArmedKey {
    /// Which of the source's secrets.
    pub(super) secret: usize,
    pub(super) key: Key,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
}

impl SecretSpec {
    /// Whether it is valid at this moment.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= now) && self.not_after.is_none_or(|end| now < end)
    }
}

impl ArmedKey {
    /// A key that the provider publishes.
    pub(super) fn published(key: Key) -> Self {
        Self { secret: 0, key, not_before: None, not_after: None }
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= now) && self.not_after.is_none_or(|end| now < end)
    }
}

impl Verifier {
    /// Decodes the secrets once. A secret serves every scheme that takes secrets of its form.
    pub fn new(provider: &Provider, secrets: &[SecretSpec], options: &Options) -> Result<Self, SetupError> {
        if provider.schemes.is_empty() {
            return Err(SetupError::NothingToCheck { provider: provider.name.clone(), known: provider.notes.clone() });
        }
        let provider = Arc::new(options.apply(provider)?);
        let armed = arm::armed(&provider, secrets, !options.recorded_keys.is_empty())?;
        arm::check_needs(&provider, &armed, options)?;
        let verifier = Self::with(provider, armed, secrets, options);
        for (url, document) in &options.recorded_keys {
            if !verifier.learn(url, document, Timestamp::from_millis(0)) {
                return Err(SetupError::Settings(format!("there is no key of the provider's kind in what is recorded of {url}")));
            }
        }
        Ok(verifier)
    }

    /// For a source whose requests a plugin proves: holds for none.
    pub fn of_plugin(plugin: &str, options: &Options) -> Self {
        Self::with(Arc::new(Provider::of_plugin(plugin)), Vec::new(), &[], options)
    }

    pub(super) fn with(provider: Arc<Provider>, armed: Vec<Armed>, secrets: &[SecretSpec], options: &Options) -> Self {
        let lookup = Lookup::new(&provider, options);
        let items = options.items.clone().unwrap_or_else(|| provider.items.clone());
        let (public_url, parameters) = (options.public_url.clone(), options.parameters.clone());
        let (secrets, keys_token, is_offline) = (secrets.to_vec(), options.keys_token.clone(), options.is_offline);
        Self { provider, armed, lookup, items, public_url, parameters, secrets, keys_token, is_offline, takes_unproved: false }
    }

    /// The provider as this source sees it.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The URL as it is registered with the provider, where the source says it.
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// Proves that the source's provider sent these bytes, or says why not.
    ///
    /// The strongest scheme whose proof is there decides, so that a right token cannot make up for a wrong signature; schemes
    /// that share its place (Standard Webhooks `v1` and `v1a`) hold each for the other.
    pub fn verify(&self, request: &RawRequest, now: Timestamp) -> Result<Verified, RefusalCause> {
        if self.takes_unproved {
            return Ok(Verified::unproved());
        }
        let view = View::new(request, self.public_url.as_deref());
        let deciding = self.deciding(&view, now)?;
        let mut refusal = RefusalCause::NoLiveSecret;
        for armed in self.armed.iter().filter(|armed| self.scheme(armed).carrier == deciding.carrier) {
            match self.verify_by(armed, &view, now) {
                Ok(verified) => return Ok(verified),
                Err(cause) => keep_telling(&mut refusal, cause),
            }
        }
        Err(refusal)
    }

    pub(super) fn scheme(&self, armed: &Armed) -> &Scheme {
        &self.provider.schemes[armed.scheme]
    }

    fn deciding(&self, view: &View<'_>, now: Timestamp) -> Result<&Scheme, RefusalCause> {
        if !self.fetches() && !self.armed.iter().flat_map(|armed| &armed.keys).any(|key| key.is_live(now)) {
            return Err(RefusalCause::NoLiveSecret);
        }
        let mut known = self.armed.iter().map(|armed| self.scheme(armed));
        let first = known.clone().next().ok_or(RefusalCause::NoLiveSecret)?;
        // Where there is one place for a proof, it is looked at once: when the proof is read.
        if known.clone().all(|scheme| scheme.carrier == first.carrier) {
            return Ok(first);
        }
        known.find(|scheme| scheme.is_present(view)).ok_or_else(|| first.missing())
    }

    fn verify_by(&self, armed: &Armed, view: &View<'_>, now: Timestamp) -> Result<Verified, RefusalCause> {
        let scheme = self.scheme(armed);
        let secret = match &scheme.each {
            None => self.judge(armed, view, None, now)?,
            Some(items) => {
                let array = view.json_at(&items.array).and_then(Value::as_array).filter(|array| !array.is_empty());
                let array = array.ok_or_else(|| scheme.missing())?;
                if array.len() > PROVED_ITEMS_MAX {
                    return Err(RefusalCause::TooManyItems { limit: PROVED_ITEMS_MAX });
                }
                // Each vouches for itself only: one that does not hold is enough to refuse all.
                let judged = array
                    .iter()
                    .map(|element| self.judge(armed, view, Some(items.item.find(element).ok_or_else(|| scheme.missing())?), now));
                judged.collect::<Result<Vec<_>, _>>()?.last().copied().ok_or_else(|| scheme.missing())?
            }
        };
        let secret_header = match &scheme.carrier {
            Carrier::Headers(names) if scheme.is_bearer() => names.first().cloned(),
            _ => None,
        };
        Ok(Verified {
            held: Some(Held { scheme: armed.scheme, secret }),
            signed_headers: scheme.signed_headers().map(Into::into).collect(),
            vouches_for_body: scheme.vouches_for_body(),
            is_token: scheme.is_secret_sent(),
            secret_header,
        })
    }

    /// The secret that holds for a request, or for an item of it. Of several values of a carrier, one is enough: they stand there for
    /// several secrets.
    fn judge(&self, armed: &Armed, view: &View<'_>, item: Option<&Value>, now: Timestamp) -> Result<usize, RefusalCause> {
        let scheme = self.scheme(armed);
        if armed.fetched.is_none() && !armed.keys.iter().any(|key| key.is_live(now)) {
            return Err(RefusalCause::NoLiveSecret);
        }
        let mut refusal = RefusalCause::NoLiveSecret;
        let values = scheme.values(view, item)?;
        if values.is_empty() {
            return Err(scheme.missing());
        }
        for value in values {
            let context = Context { view, scheme, value, timestamp: b"", item, url: None, parameters: &self.parameters };
            match self.judge_value(armed, context, now) {
                Ok(secret) => return Ok(secret),
                Err(cause) => keep_telling(&mut refusal, cause),
            }
        }
        Err(refusal)
    }

    fn judge_value(&self, armed: &Armed, mut context: Context<'_>, now: Timestamp) -> Result<usize, RefusalCause> {
        let (scheme, value) = (context.scheme, context.value);
        if scheme.is_outdone(value) {
            return Err(scheme.malformed());
        }
        let proofs = scheme.proofs(value)?;
        let document = self.document_for(armed, &context, now)?;
        let id = document.as_ref().and_then(|_| fetched::key_id(scheme, value));
        let published = document.as_ref().map(|document| document.keys(id.as_deref()));
        let live = || armed.keys.iter().chain(published.clone().into_iter().flatten()).filter(|key| key.is_live(now));
        let secret = match &scheme.proof {
            Proof::Token => first_secret(live(), |key| key.is_among(&proofs)).ok_or(RefusalCause::WrongToken)?,
            Proof::Basic => {
                let tokens: Vec<Vec<u8>> = proofs.iter().filter_map(|proof| STANDARD.decode(proof).ok()).collect();
                first_secret(live(), |key| key.is_among(&tokens)).ok_or(RefusalCause::WrongToken)?
            }
            Proof::Jwt(jwt) => {
                let token = Token::read(jwt, &proofs[0], context.view.body()).ok_or_else(|| scheme.malformed())?;
                let holds = |key: &Key| matches!(key, Key::Jwt(key) if key.holds(&token));
                let secret = first_secret(live(), holds).ok_or(RefusalCause::WrongSignature)?;
                token.check(jwt, &context, now)?;
                secret
            }
            Proof::Signature(signature) => {
                let signatures = decode(signature, &proofs).ok_or_else(|| scheme.malformed())?;
                let stamp = signature.timestamp.as_ref().map(|rule| stamp(rule, &context)).transpose()?;
                context.timestamp = stamp.as_ref().map_or(&b""[..], |stamp| stamp.text);
                let secret = self.holder(signature, &context, |message| first_secret(live(), |key| key.holds(message, &signatures)))?;
                // Only now: a stale request with a wrong signature is above all wrong, and its timestamp proves nothing.
                let tolerance = stamp.and_then(|stamp| Some((stamp.at, stamp.rule.tolerance?)));
                tolerance.map_or(Ok(()), |(at, tolerance)| timestamp::check(at, now, tolerance))?;
                secret
            }
        };
        self.check_requirements(&context)?;
        document.iter().for_each(|document| document.prove());
        Ok(secret)
    }

    fn check_requirements(&self, context: &Context<'_>) -> Result<(), RefusalCause> {
        let is_said = |requirement: &&Requirement| requirement.equals.parameters().all(|name| self.parameters.contains_key(name));
        context.scheme.requirements.iter().filter(|requirement| !self.is_offline || is_said(requirement)).try_for_each(|requirement| {
            let (value, equals) = (requirement.value.resolve(context)?.whole(), requirement.equals.resolve(context)?.whole());
            if value == equals { Ok(()) } else { Err(RefusalCause::ConditionFailed { condition: requirement.to_string() }) }
        })
    }

    /// The secret that holds for the message, with whichever spelling of the URL the provider may have signed.
    fn holder(
        &self,
        signature: &Signature,
        context: &Context<'_>,
        holder: impl Fn(&Message<'_>) -> Option<usize>,
    ) -> Result<usize, RefusalCause> {
        let holds = |context: &Context<'_>| {
            let message = signature.message.resolve(context)?;
            let secret = holder(&message);
            // The same key signs what its provider's handshake asks for.
            if secret.is_some() && self.may_have_signed(&message) { Err(RefusalCause::LooksLikeChallenge) } else { Ok(secret) }
        };
        if let Some(secret) = holds(context)? {
            return Ok(secret);
        }
        let spellings = context.view.url().filter(|_| signature.any_port).map(port_spellings).unwrap_or_default();
        for url in &spellings {
            if let Some(secret) = holds(&Context { url: Some(url), ..*context })? {
                return Ok(secret);
            }
        }
        Err(RefusalCause::WrongSignature)
    }
}

/// How many items of a batch are judged.
const PROVED_ITEMS_MAX: usize = 1000;

/// The URL without its port, and with the one that goes without saying (Twilio signs either, as its client wrote it).
fn port_spellings(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    let usual = if scheme == "https" { "443" } else { "80" };
    match host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((host, _)) => vec![format!("{scheme}://{host}{rest}")],
        None => vec![format!("{scheme}://{host}:{usual}{rest}")],
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("provider", &self.provider.name).finish_non_exhaustive()
    }
}

/// The first secret whose key holds. All are tried, so that the time taken does not tell which one it was.
fn first_secret<'a>(keys: impl Iterator<Item = &'a ArmedKey>, holds: impl Fn(&Key) -> bool) -> Option<usize> {
    keys.fold(None, |first, armed| {
        let held = holds(&armed.key).then_some(armed.secret);
        first.or(held)
    })
}

/// The signatures of the right length; `None` where there is none.
fn decode(signature: &Signature, proofs: &[Cow<'_, [u8]>]) -> Option<Vec<Vec<u8>>> {
    let length = signature.algorithm.signature_bytes();
    let decoded = proofs.iter().filter_map(|proof| signature.encoding.decode(proof));
    let decoded: Vec<Vec<u8>> = decoded.filter(|bytes| length.is_none_or(|length| bytes.len() == length)).collect();
    (!decoded.is_empty()).then_some(decoded)
}

/// A request's timestamp as it is signed and as it is meant.
struct Stamp<'a> {
    text: &'a [u8],
    at: Timestamp,
    rule: &'a TimestampRule,
}

fn stamp<'a>(rule: &'a TimestampRule, context: &Context<'a>) -> Result<Stamp<'a>, RefusalCause> {
    let (view, scheme, value) = (context.view, context.scheme, context.value);
    let expected = || format!("`{}`", rule.unit);
    let text = match &rule.place {
        TimestampPlace::Pair(name) => scheme.pair(value, name)?,
        TimestampPlace::First => scheme.first(value)?,
        TimestampPlace::Created => http_signature::created(view, value)?,
        TimestampPlace::Header(name) => carrier::only(view.headers(), name)?,
        TimestampPlace::Json(pointer) => {
            let (value, field) = (view.json_at(pointer), format!("json:{pointer}"));
            let value = value.ok_or_else(|| RefusalCause::MissingField { field: field.clone() })?;
            let at = json::signed_text(Some(value)).and_then(|text| rule.unit.read(text.as_bytes()));
            let at = at.ok_or_else(|| RefusalCause::MalformedField { field, expected: expected() })?;
            // In the message it stands by its own name.
            return Ok(Stamp { text: b"", at, rule });
        }
    };
    let at = rule.unit.read(text).ok_or_else(|| match &rule.place {
        TimestampPlace::Header(name) => RefusalCause::MalformedHeader { header: name.clone(), expected: expected() },
        _ => scheme.malformed(),
    })?;
    Ok(Stamp { text, at, rule })
}

/// Keeps the refusal that says more.
fn keep_telling(kept: &mut RefusalCause, cause: RefusalCause) {
    if tells(&cause) > tells(kept) {
        *kept = cause;
    }
}

/// How much a refusal says: a signature that held and came too late says more than one that did not hold, and that more than
/// a header of another version.
fn tells(cause: &RefusalCause) -> u8 {
    match cause {
        RefusalCause::TimestampTooOld { .. }
        | RefusalCause::TimestampTooNew { .. }
        | RefusalCause::ConditionFailed { .. }
        | RefusalCause::WrongClaim { .. } => 4,
        RefusalCause::WrongSignature | RefusalCause::WrongToken => 3,
        RefusalCause::MissingHeader { .. } | RefusalCause::MissingField { .. } => 1,
        RefusalCause::NoLiveSecret => 0,
        _ => 2,
    }
}
