//! `hookfast providers`: the catalogue, those compiled in and the operator's own.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::arguments::OwnProviders;
use super::client::catalogue;
use super::failure::{Exit, failure};
use super::output::Output;
use super::table::Table;
use crate::document::nearest;
use crate::verify::{Proof, Provider, Scheme};

#[derive(Debug, Subcommand)]
pub(super) enum Providers {
    /// Every provider by name, and what of its requests is checked
    List(List),
    /// What is known of one provider
    #[command(after_help = "Example:\n  hookfast providers show stripe")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    own: OwnProviders,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The provider's name
    name: String,
    #[command(flatten)]
    own: OwnProviders,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// A provider for people and machines.
#[derive(Serialize)]
struct Entry {
    slug: String,
    name: String,
    /// `verified`, `authenticated` or `unverified`.
    class: &'static str,
    confidence: &'static str,
    schemes: Vec<Way>,
    handshake: bool,
    /// Where a batch has its events.
    items: Option<String>,
    documentation: Option<String>,
    redelivery: Option<String>,
    challenge: Option<String>,
    notes: Option<String>,
}

/// A scheme, in words.
#[derive(Serialize)]
struct Way {
    carrier: String,
    algorithm: String,
    message: Option<String>,
    form: String,
    covers_body: bool,
}

pub(super) fn run(arguments: &Providers) -> anyhow::Result<()> {
    match arguments {
        Providers::List(list) => {
            let catalogue = catalogue(list.own.config.as_deref())?;
            let entries: Vec<Entry> =
                catalogue.names().filter_map(|name| catalogue.provider(name)).map(|provider| entry(provider)).collect();
            Output::new(list.json).show(&entries, |_| table(&entries))
        }
        Providers::Show(show) => {
            let catalogue = catalogue(show.own.config.as_deref())?;
            let provider = catalogue.provider(&show.name).ok_or_else(|| {
                let meant = nearest(&show.name, catalogue.names()).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                failure(Exit::NotFound, format!("no provider is called `{}`{meant} `hookfast providers list` shows all", show.name))
            })?;
            let entry = entry(provider);
            Output::new(show.json).show(&entry, |_| text(&entry))
        }
    }
}

fn entry(provider: &Provider) -> Entry {
    Entry {
        slug: provider.name.clone(),
        name: provider.title.clone(),
        class: provider.class().word(),
        confidence: provider.confidence.word(),
        schemes: provider.schemes.iter().map(way).collect(),
        handshake: !provider.handshakes.is_empty(),
        items: provider.items.as_ref().map(ToString::to_string),
        documentation: provider.documentation.clone(),
        redelivery: provider.redelivery.clone(),
        challenge: provider.challenge.clone(),
        notes: provider.notes.clone(),
    }
}

fn way(scheme: &Scheme) -> Way {
    let (algorithm, message) = match &scheme.proof {
        Proof::Token => ("token".into(), None),
        Proof::Basic => ("basic".into(), None),
        Proof::Jwt(jwt) => (format!("jwt {}", jwt.algorithms.iter().map(|own| own.word()).collect::<Vec<_>>().join("/")), None),
        Proof::Signature(signature) => (signature.algorithm.word().into(), Some(signature.message.to_string())),
    };
    Way {
        carrier: scheme.carrier.to_string(),
        algorithm,
        message,
        form: scheme.to_string(),
        covers_body: !scheme.partial && !scheme.is_secret_sent(),
    }
}

fn table(entries: &[Entry]) -> String {
    let row = |entry: &Entry| {
        let mut algorithms: Vec<&str> = entry.schemes.iter().map(|way| way.algorithm.as_str()).collect();
        algorithms.dedup();
        let handshake = if entry.handshake { "answered" } else { "" };
        [entry.slug.clone(), entry.class.into(), entry.confidence.into(), algorithms.join(", "), handshake.into(), entry.name.clone()]
    };
    Table::new(["PROVIDER", "CLASS", "CONFIDENCE", "CHECKED", "HANDSHAKE", "NAME"], entries.iter().map(row)).to_string()
}

fn text(entry: &Entry) -> String {
    let mut lines = vec![format!("{} ({}), {}, confidence {}", entry.slug, entry.name, entry.class, entry.confidence)];
    for way in &entry.schemes {
        lines.push(format!("{} in {}: {}", way.algorithm, way.carrier, way.form));
        lines.extend(way.message.as_ref().map(|message| format!("  signs {message:?}")));
        if !way.covers_body && way.message.is_some() {
            lines.push("  the body, or a part of it, is not signed".into());
        }
    }
    let known = [
        ("one event for each of", &entry.items),
        ("documentation", &entry.documentation),
        ("sends again", &entry.redelivery),
        ("asks first", &entry.challenge),
        ("notes", &entry.notes),
    ];
    lines.extend(known.into_iter().filter_map(|(what, text)| Some(format!("{what}: {}", text.as_ref()?))));
    lines.join("\n") + "\n"
}
