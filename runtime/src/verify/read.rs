//! A catalogue file as a provider. Reports every mistake with its place and makes nothing up: what is not written is not there.

use crate::document::{self, Field, Mistakes, Section};
use crate::domain::SourceName;

use super::location::{Items, Location};
use super::provider::{Confidence, Provider, Setting};
use super::read_handshake;
use super::read_scheme;

/// Reads one file; `None` where it has no usable provider, which is among the mistakes.
pub(super) fn provider(file: &str, text: &str, mistakes: &Mistakes) -> Option<Provider> {
    document::read(file, text, mistakes, read_provider)
}

impl Provider {
    /// One that a source describes itself, in the words of a catalogue file; it needs no name.
    pub fn inline(section: &Section<'_>) -> Option<Self> {
        read_named(section, Some("inline".into()), Some("described by the source".into()))
    }
}

fn read_provider(section: &Section<'_>) -> Option<Provider> {
    let name = section.required("name").and_then(|field| field.parse_with(name));
    let title = section.required("title").and_then(|field| field.as_str()).map(Into::into);
    read_named(section, name, title)
}

fn read_named(section: &Section<'_>, name: Option<String>, title: Option<String>) -> Option<Provider> {
    let optional_text = |key| section.field(key).and_then(|field| field.as_str()).map(Into::into);
    let location = |key| section.field(key).and_then(|field| field.parse::<Location>());
    // All is read before the first `?`, so that one run reports every mistake.
    let (documentation, redelivery) = (optional_text("documentation"), optional_text("redelivery"));
    let (challenge, notes) = (optional_text("challenge"), optional_text("notes"));
    let retries = section.field("retries").and_then(|field| field.as_bool());
    let confidence = section.field("confidence").map_or(Some(Confidence::A), |field| field.one_of(&Confidence::WORDS));
    let schemes = section.required("schemes").and_then(|field| read_scheme::schemes(&field));
    let (event_id, event_type, attempt) = (location("event_id"), location("event_type"), location("attempt"));
    let items = section.field("items").map(|field| field.parse::<Items>());
    let handshakes = section.field("handshakes").map_or(Some(Vec::new()), |field| read_handshake::handshakes(&field));
    let settings = section.field("settings").map(|field| settings(&field)).unwrap_or_default();
    Some(Provider {
        name: name?,
        title: title?,
        documentation,
        confidence: confidence?,
        retries,
        redelivery,
        challenge,
        notes,
        schemes: schemes?,
        items: items.map_or(Some(None), |items| items.map(Some))?,
        event_id,
        event_type,
        attempt,
        handshakes: handshakes?,
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
