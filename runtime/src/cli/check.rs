//! `hookfast check`: every mistake of a configuration in one run, and what it would serve.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::arguments::CONFIG;
use super::client::local_url;
use super::failure::Exit;
use super::output::{Output, count};
use super::table::Table;
use crate::config::{self, Settings, Source};
use crate::document::{Mistake, Severity};
use crate::domain::{Route, TypeFilter};
use crate::upstream::Upstreams;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookfast check\n  hookfast check --config staging.toml --deny-warnings")]
pub(super) struct Check {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// Fail on warnings as well
    #[arg(long)]
    deny_warnings: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Findings {
    mistakes: Vec<Mistake>,
    /// What would be served; empty where the configuration cannot be used.
    sources: Vec<Served>,
}

/// An inbound URL.
#[derive(Serialize)]
struct Served {
    source: String,
    url: String,
    provider: String,
    routes: Vec<Way>,
}

/// A route, in words.
#[derive(Serialize)]
struct Way {
    name: String,
    plugin: String,
    types: Vec<String>,
}

pub(super) fn run(arguments: &Check) -> anyhow::Result<ExitCode> {
    let reading = config::read(&arguments.config);
    let mut mistakes = reading.mistakes;
    if let Some(settings) = &reading.settings {
        // `serve` would find this at its start.
        let unusable = Upstreams::new(settings.live.upstreams.iter().cloned()).err();
        mistakes.extend(unusable.map(|error| Mistake::of_file(Severity::Error, "upstreams", error.to_string(), None)));
    }
    let warnings = mistakes.iter().filter(|mistake| mistake.severity == Severity::Warning).count() as u64;
    let errors = mistakes.len() as u64 - warnings;
    let findings = Findings { sources: reading.settings.iter().flat_map(served).collect(), mistakes };
    if !arguments.json {
        findings.mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
    }
    let output = Output::new(arguments.json);
    output.show(&findings, |_| table(&findings.sources).to_string())?;
    output.hint(&format!("{}, {} in {}", count(errors, "error"), count(warnings, "warning"), arguments.config.display()));
    let is_refused = errors > 0 || (arguments.deny_warnings && warnings > 0);
    Ok(if is_refused { Exit::Configuration.into() } else { ExitCode::SUCCESS })
}

fn served(settings: &Settings) -> Vec<Served> {
    let base = local_url(settings.server.ingest);
    let serve = |source: &Source| Served {
        source: source.name.to_string(),
        url: format!("{base}/in/{}", source.name),
        provider: source.verifier.provider().name.clone(),
        routes: source.routes.iter().map(way).collect(),
    };
    settings.live.sources.values().map(|source| serve(source)).collect()
}

fn way(route: &Route) -> Way {
    let types = route.types.iter().map(|filter| match filter {
        TypeFilter::Exactly(event_type) => event_type.clone(),
        TypeFilter::Prefix(prefix) => format!("{prefix}*"),
    });
    Way { name: route.name.to_string(), plugin: route.plugin.to_string(), types: types.collect() }
}

fn table(sources: &[Served]) -> Table<4> {
    let row = |served: &Served| {
        let ways = served.routes.iter().map(|way| match way.types.as_slice() {
            [] => way.plugin.clone(),
            types => format!("{} ({})", way.plugin, types.join(", ")),
        });
        let routes = ways.collect::<Vec<_>>().join(", ");
        let routes = if routes.is_empty() { "none: events are stored only".to_owned() } else { routes };
        [served.source.clone(), served.url.clone(), served.provider.clone(), routes]
    };
    Table::new(["SOURCE", "URL", "PROVIDER", "ROUTES"], sources.iter().map(row))
}
