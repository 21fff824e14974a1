//! A catalogue file as a provider. Reports every mistake with its place and makes nothing up: what is not written is not there.

use std::time::Duration;

use crate::document::{self, Field, Mistakes, Section};
use crate::domain::SourceName;

use super::carrier;
use super::location::Location;
use super::provider::{Handshake, Provider, Setting};
use super::scheme::{Algorithm, Encoding, KeyForm, Parse, Proof, Scheme, Signature, TimestampPlace, TimestampRule, TimestampUnit};
use super::template::Template;

/// How far a signed timestamp may be off where the provider says nothing else.
pub(super) const TOLERANCE: Duration = Duration::from_secs(300);

/// Reads one file; `None` where it has no usable provider, which is among the mistakes.
pub(super) fn provider(file: &str, text: &str, mistakes: &Mistakes) -> Option<Provider> {
    document::read(file, text, mistakes, read_provider)
}

fn read_provider(section: &Section<'_>) -> Option<Provider> {
    let text = |key| section.required(key).and_then(|field| field.as_str()).map(Into::into);
    let location = |key| section.field(key).and_then(|field| field.parse::<Location>());
    // All is read before the first `?`, so that one run reports every mistake.
    let name = section.required("name").and_then(|field| field.parse_with(name));
    let (title, documentation) = (text("title"), text("documentation"));
    let retries = section.required("retries").and_then(|field| field.as_bool());
    let schemes = section.required("schemes").and_then(|field| schemes(&field));
    let (event_id, event_type, attempt) = (location("event_id"), location("event_type"), location("attempt"));
    let handshake = section.section("handshake", handshake).flatten();
    let settings = section.field("settings").map(|field| settings(&field)).unwrap_or_default();
    Some(Provider {
        name: name?,
        title: title?,
        documentation: documentation?,
        retries: retries?,
        schemes: schemes?,
        event_id,
        event_type,
        attempt,
        handshake,
        settings,
    })
}

fn name(text: &str) -> Result<String, String> {
    text.parse::<SourceName>().map(|name| name.to_string()).map_err(|error| error.to_string())
}

fn settings(field: &Field<'_>) -> Vec<Setting> {
    let fields = field.as_list().unwrap_or_default();
    fields.iter().filter_map(|field| field.one_of(&Setting::WORDS)).collect()
}

fn handshake(section: &Section<'_>) -> Option<Handshake> {
    let pointer = |key| section.required(key).and_then(|field| field.parse());
    let (at, echo) = (pointer("at"), pointer("echo"));
    let is = section.required("is").and_then(|field| field.as_str());
    Some(Handshake { at: at?, is: is?.into(), echo: echo? })
}

fn schemes(field: &Field<'_>) -> Option<Vec<Scheme>> {
    let read: Vec<Scheme> = field.as_list()?.iter().filter_map(scheme).collect();
    if read.is_empty() {
        field.error("a provider has at least one scheme", None);
    }
    Some(read)
}

fn scheme(field: &Field<'_>) -> Option<Scheme> {
    let scheme = field.section(|section| {
        let header = section.required("carrier").and_then(|field| field.parse_with(carrier_header));
        let parse = section.section("parse", parse).unwrap_or(Some(Parse::List { prefix: String::new(), separator: None }));
        let proof = proof(section);
        Some(Scheme { header: header?, parse: parse?, proof: proof? })
    })??;
    scheme.check().map_err(|error| field.error(error, None)).ok()?;
    Some(scheme)
}

/// `header:NAME`; the word before the colon leaves room for proofs that are carried elsewhere.
fn carrier_header(text: &str) -> Result<String, String> {
    carrier::header_name(text.strip_prefix("header:").ok_or("a carrier is `header:NAME`")?)
}

/// What a scheme's `algorithm` may say; its other keys depend on it.
fn proof(section: &Section<'_>) -> Option<Proof> {
    let mut words = vec![("token", None)];
    words.extend(Algorithm::WORDS.map(|(word, algorithm)| (word, Some(algorithm))));
    match section.required("algorithm").and_then(|field| field.one_of(&words)) {
        Some(None) => Some(Proof::Token),
        Some(Some(algorithm)) => signature(section, algorithm).map(Proof::Signature),
        None => {
            // Which keys belong here is not known, so none of them is called unknown.
            section.entries();
            None
        }
    }
}

fn signature(section: &Section<'_>, algorithm: Algorithm) -> Option<Signature> {
    let encoding = section.required("encoding").and_then(|field| field.one_of(&Encoding::WORDS));
    let key = section.required("key").and_then(|field| field.one_of(&KeyForm::WORDS));
    let message = section.required("message").and_then(|field| field.parse::<Template>());
    let timestamp = section.section("timestamp", timestamp);
    let timestamp = timestamp.map_or(Some(None), |rule| rule.map(Some));
    Some(Signature { algorithm, encoding: encoding?, key: key?, message: message?, timestamp: timestamp? })
}

fn parse(section: &Section<'_>) -> Option<Parse> {
    let character = |field: Field<'_>| field.parse_with(separator);
    if let Some(signature) = section.field("signature") {
        let separator = section.required("separator").and_then(character);
        return Some(Parse::Pairs { signature: signature.as_str()?.into(), separator: separator? });
    }
    let prefix = section.field("prefix").map_or(Some(""), |field| field.as_str());
    let separator = section.field("separator").map_or(Some(None), |field| character(field).map(Some));
    Some(Parse::List { prefix: prefix?.into(), separator: separator? })
}

fn separator(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    let only = characters.next().filter(|c| c.is_ascii() && characters.next().is_none());
    only.ok_or_else(|| "a separator is one ASCII character".into())
}

fn timestamp(section: &Section<'_>) -> Option<TimestampRule> {
    let place = section.required("at").and_then(|field| field.parse_with(timestamp_place));
    let unit = section.required("unit").and_then(|field| field.one_of(&TimestampUnit::WORDS));
    let range = Duration::from_secs(1)..=Duration::from_hours(24);
    let tolerance = section.field("tolerance").map_or(Some(TOLERANCE), |field| field.as_duration(range));
    Some(TimestampRule { place: place?, unit: unit?, tolerance: tolerance? })
}

fn timestamp_place(text: &str) -> Result<TimestampPlace, String> {
    match text.split_once(':') {
        Some(("header", name)) => carrier::header_name(name).map(TimestampPlace::Header),
        Some(("pair", name)) if !name.is_empty() => Ok(TimestampPlace::Pair(name.into())),
        _ => Err("a timestamp stands at `header:NAME` or `pair:NAME`".into()),
    }
}
