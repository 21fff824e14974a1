//! What a source may say about its verification beyond provider and secrets: the tolerance, its own dedupe location, and
//! the settings of a generic provider.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::Section;
use crate::domain::Secret;

use super::algorithm::{Algorithm, Encoding, KeyForm};
use super::carrier;
use super::key::SetupError;
use super::location::{Items, Location};
use super::provider::{Provider, Setting};
use super::read_scheme::TOLERANCE;
use super::scheme::{Carrier, Parse, Proof, Scheme, TimestampPlace, TimestampRule, TimestampUnit};
use super::template::Template;

/// What a source sets; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How far a signed timestamp may be off, in place of the provider's.
    pub tolerance: Option<Duration>,
    /// Where the source's own dedupe key stands, before all others.
    pub dedupe: Option<Location>,
    /// Where the source's ordering key stands.
    pub ordering: Option<Location>,
    /// Where a batch has its events, in place of the provider's; `Some(None)`: a request is one event.
    pub items: Option<Option<Items>>,
    /// The lower-case name of the header that carries the proof.
    pub header: Option<String>,
    /// What stands before the proof; may be empty.
    pub prefix: Option<String>,
    /// What computes the signature.
    pub algorithm: Option<Algorithm>,
    /// How the signature is written.
    pub encoding: Option<Encoding>,
    /// How the secret becomes the key.
    pub key: Option<KeyForm>,
    /// The lower-case name of the header with a signed timestamp in Unix seconds.
    pub timestamp_header: Option<String>,
    /// The signed message; with a timestamp header `{timestamp}.{body}` unless this says otherwise.
    pub message: Option<Template>,
    /// Where the event's type stands.
    pub event_type: Option<Location>,
    /// The URL as it is registered with the provider, without its query, for those that sign it. Headers of a request never decide it.
    pub public_url: Option<String>,
    /// What a provider's scheme needs to know of the source, by name.
    pub parameters: BTreeMap<String, String>,
    /// Documents with the provider's published keys, by URL: none is fetched.
    pub recorded_keys: BTreeMap<String, Vec<u8>>,
    /// The token that the provider wants to be asked for its keys with.
    pub keys_token: Option<Secret>,
    /// A stored request is judged, of whose source only this is known: what only it could say goes unasked.
    pub is_offline: bool,
}

impl Options {
    /// Reads the settings that this provider lets a source set; the section reports the others as unknown keys.
    pub fn read(section: &Section<'_>, provider: &Provider) -> Self {
        let field = |setting: Setting| provider.settings.contains(&setting).then(|| section.field(setting.word())).flatten();
        let header = |setting| field(setting).and_then(|field| field.parse_with(carrier::header_name));
        Self {
            tolerance: None,
            dedupe: None,
            ordering: None,
            items: section.field("items").and_then(|field| field.parse_with(items)),
            header: header(Setting::Header),
            prefix: field(Setting::Prefix).and_then(|field| field.as_str()).map(Into::into),
            algorithm: field(Setting::Algorithm).and_then(|field| field.one_of(&Algorithm::WORDS)),
            encoding: field(Setting::Encoding).and_then(|field| field.one_of(&Encoding::WORDS)),
            key: field(Setting::Key).and_then(|field| field.one_of(&KeyForm::WORDS)),
            timestamp_header: header(Setting::TimestampHeader),
            message: field(Setting::Message).and_then(|field| field.parse()),
            event_type: field(Setting::EventType).and_then(|field| field.parse()),
            public_url: section.field("public_url").and_then(|field| field.parse_with(public_url)),
            parameters: section.section("parameters", parameters).unwrap_or_default(),
            recorded_keys: BTreeMap::new(),
            keys_token: None,
            is_offline: false,
        }
    }

    /// What a source may say where a plugin is its provider.
    pub fn of_plugin(section: &Section<'_>) -> Self {
        Self { public_url: section.field("public_url").and_then(|field| field.parse_with(public_url)), ..Self::default() }
    }

    fn given(&self) -> impl Iterator<Item = Setting> {
        let given = [
            (self.header.is_some(), Setting::Header),
            (self.prefix.is_some(), Setting::Prefix),
            (self.algorithm.is_some(), Setting::Algorithm),
            (self.encoding.is_some(), Setting::Encoding),
            (self.key.is_some(), Setting::Key),
            (self.timestamp_header.is_some(), Setting::TimestampHeader),
            (self.message.is_some(), Setting::Message),
            (self.event_type.is_some(), Setting::EventType),
        ];
        given.into_iter().filter_map(|(is_given, setting)| is_given.then_some(setting))
    }

    /// The provider as this source sees it.
    pub(super) fn apply(&self, provider: &Provider) -> Result<Provider, SetupError> {
        if let Some(setting) = self.given().find(|setting| !provider.settings.contains(setting)) {
            return Err(SetupError::FixedSetting { provider: provider.name.clone(), setting });
        }
        let mut own = provider.clone();
        own.event_type = self.event_type.clone().or(own.event_type);
        for scheme in &mut own.schemes {
            self.apply_to(scheme);
            scheme.check().map_err(SetupError::Settings)?;
        }
        Ok(own)
    }

    pub(super) fn apply_to(&self, scheme: &mut Scheme) {
        if let Some(header) = &self.header {
            scheme.carrier = Carrier::Headers(vec![header.clone()]);
        }
        if let Parse::List { prefix, .. } = &mut scheme.parse {
            set(prefix, self.prefix.as_ref());
        }
        let Proof::Signature(signature) = &mut scheme.proof else { return };
        set(&mut signature.algorithm, self.algorithm.as_ref());
        set(&mut signature.encoding, self.encoding.as_ref());
        set(&mut signature.key, self.key.as_ref());
        if let Some(header) = &self.timestamp_header {
            let place = TimestampPlace::Header(header.clone());
            signature.timestamp = Some(TimestampRule { place, unit: TimestampUnit::Seconds, tolerance: Some(TOLERANCE) });
            signature.message = "{timestamp}.{body}".parse().expect("a template");
        }
        set(&mut signature.message, self.message.as_ref());
        if let (Some(rule), Some(tolerance)) = (&mut signature.timestamp, self.tolerance) {
            rule.tolerance = Some(tolerance);
        }
    }
}

fn items(text: &str) -> Result<Option<Items>, String> {
    if text == "none" { Ok(None) } else { text.parse().map(Some) }
}

fn public_url(text: &str) -> Result<String, String> {
    let is_url =
        text.strip_prefix("https://").or(text.strip_prefix("http://")).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['?', '#']);
    if is_url && is_plain {
        Ok(text.into())
    } else {
        Err("a public_url is the URL as it is registered, without its query, such as `https://hooks.example.com/in/name`".into())
    }
}

fn parameters(section: &Section<'_>) -> BTreeMap<String, String> {
    section.entries().into_iter().filter_map(|(name, field)| Some((name, field.as_str()?.to_owned()))).collect()
}

fn set<T: Clone>(own: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        own.clone_from(given);
    }
}
