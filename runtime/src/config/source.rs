//! `[sources.NAME]`: an inbound URL with its provider, secrets, routes and policies.

use std::path::Path;
use std::time::Duration;

use http::HeaderMap;

use super::network::{self, Networks};
use super::proof::{self, Adapter, Proof};
use super::response;
use super::secret::SourceSecret;
use crate::document::{Field, Mistake, Section, Severity};
use crate::domain::{Answer, ContentEncoding, DedupePolicy, OnRefusal, PluginName, Rate, RetryPolicy, RetryStrategy, Route, SourceName};
use crate::verify::{Catalogue, Location, Verifier};

const WINDOW_DEFAULT: Duration = Duration::from_hours(72);
const DAY: Duration = Duration::from_hours(24);

/// One inbound URL, ready to use.
#[derive(Debug)]
pub struct Source {
    /// Its name, and its path below `/in/`.
    pub name: SourceName,
    /// Its provider's checks, with its secrets.
    pub verifier: Verifier,
    /// Its secrets, in the order in which the proof names them.
    pub secrets: Vec<SourceSecret>,
    /// The plugin that proves its requests, where its provider is none of the catalogue.
    pub adapter: Option<Adapter>,
    /// Where its events go; empty where they are only stored.
    pub routes: Vec<Route>,
    /// What happens to failures that may pass.
    pub retry: RetryPolicy,
    /// The largest body in bytes, at most 32 MiB; also when it is decoded.
    pub max_body: usize,
    /// The content codings that it takes; none unless the file says so.
    pub content_encodings: Vec<ContentEncoding>,
    /// How often it lets a request in; `None` as often as they come.
    pub rate: Option<Rate>,
    /// Who may send to it; `None` whoever can.
    pub allow_from: Option<Networks>,
    /// What it does with requests whose proof does not hold.
    pub on_refusal: OnRefusal,
    /// How a resend is recognised.
    pub dedupe: DedupePolicy,
    /// After how many failures of the head of a line the others of its ordering key go on without it; `None`: never.
    pub skip_after: Option<u32>,
    /// What an accepted request is answered.
    pub answer: Answer,
    /// The headers of that answer. Not stored, so a resend gets those of the present file.
    pub answer_headers: HeaderMap,
}

impl Source {
    /// What its requests are once they were let in: `plugin` where that is a plugin's word, else its [`crate::verify::Class`].
    pub fn class(&self) -> &'static str {
        if self.adapter.is_some() { "plugin" } else { self.verifier.class().word() }
    }
}

/// A source as it is read, with the warning that each of its routes would be if its plugin is not there.
pub(super) struct Configured {
    pub(super) source: Source,
    pub(super) unless_there: Vec<(PluginName, Mistake)>,
}

pub(super) fn read(name: &Field<'_>, section: &Section<'_>, catalogue: &Catalogue, directory: &Path) -> Option<Configured> {
    let source_name: Option<SourceName> = name.parse();
    let ordering = section.field("ordering").and_then(|field| read_ordering(&field));
    let (ordering, skip_after) = ordering.map(|ordering| (ordering.key, ordering.skip_after)).unzip();
    let proof = proof::read(section, catalogue, directory, ordering);
    let (routes, mut unless_there) = read_routes(section);
    let retry = section.section("retry", read_retry).flatten().unwrap_or_default();
    let max_body = section.field("max_body").and_then(|field| field.as_bytes(1..=32 << 20)).unwrap_or(1 << 20);
    let content_encodings = section.field("content_encodings").and_then(|field| read_encodings(&field)).unwrap_or_default();
    let rate = section.field("rate").and_then(|field| read_rate(&field));
    let allow_from = section.field("allow_from").and_then(|field| read_allowed(&field));
    let on_refusal = section.field("on_refusal").and_then(|field| field.one_of(&OnRefusal::WORDS)).unwrap_or_default();
    let dedupe = section.field("dedupe").map_or(DedupePolicy::Window(WINDOW_DEFAULT), |field| read_dedupe(&field));
    let response::Response { answer, headers } = section.section("response", response::read).unwrap_or_default();
    let Proof { verifier, secrets, adapter } = proof?;
    if let Some((_, warning)) = &adapter {
        unless_there.push(warning.clone());
        if !content_encodings.is_empty() {
            section.error("`content_encodings` goes with providers of the catalogue only: a plugin sees the body as it came");
        }
        if on_refusal == OnRefusal::Quarantine {
            section.error("`on_refusal = \"quarantine\"` goes with providers of the catalogue only: a plugin is not asked again");
        }
    }
    let source = Source {
        name: source_name?,
        verifier,
        secrets,
        adapter: adapter.map(|(adapter, _)| adapter),
        routes,
        retry,
        max_body,
        content_encodings,
        rate,
        allow_from,
        on_refusal,
        dedupe,
        skip_after: skip_after.flatten(),
        answer,
        answer_headers: headers,
    };
    Some(Configured { source, unless_there })
}

/// The routes, with the warning that each would be if its plugin is not there.
pub(super) fn read_routes(section: &Section<'_>) -> (Vec<Route>, Vec<(PluginName, Mistake)>) {
    let routes = section.field("routes").and_then(|field| field.as_list()).unwrap_or_default();
    let (routes, unless_there): (Vec<_>, Vec<_>) = routes.iter().filter_map(read_route).unzip();
    for (position, route) in routes.iter().enumerate() {
        if routes[..position].iter().any(|other: &Route| other.name == route.name) {
            section.error(format!("two routes are called `{}`; give one of them a `name`", route.name));
        }
    }
    (routes, unless_there)
}

fn read_route(field: &Field<'_>) -> Option<(Route, (PluginName, Mistake))> {
    let read = |section: &Section<'_>| {
        let plugin = section.required("plugin").and_then(|field| wanted(&field, field.as_str()?));
        let name = section.field("name").map(|field| field.parse());
        let types = section.field("types").and_then(|field| field.as_list()).unwrap_or_default();
        let types = types.iter().map(|field| field.parse()).collect::<Option<Vec<_>>>();
        let (plugin, warning) = plugin?;
        let name = name.unwrap_or_else(|| Some(plugin.clone().into()))?;
        Some((Route { name, plugin: plugin.clone(), types: types? }, (plugin, warning)))
    };
    field.section(read).flatten()
}

/// A plugin that is not there is no error: its jobs wait parked until it is, and so do senders whose requests it proves.
pub(super) fn wanted(field: &Field<'_>, name: &str) -> Option<(PluginName, Mistake)> {
    let plugin: PluginName = field.parse_with(|_| name.parse::<PluginName>().map_err(|error| error.to_string()))?;
    let message = format!("plugin `{plugin}` is not in the plugin directory yet");
    let help =
        Some(format!("its jobs wait parked, and senders whose requests it proves are told to come back, until {plugin}.wasm is there"));
    let warning = field.mistake(Severity::Warning, message, help);
    Some((plugin, warning))
}

pub(super) fn read_retry(section: &Section<'_>) -> Option<RetryPolicy> {
    enum Strategy {
        Exponential,
        Schedule,
    }
    let words = [("exponential", Strategy::Exponential as u8), ("schedule", Strategy::Schedule as u8)];
    let default = RetryPolicy::default();
    let strategy = section.required("strategy")?.one_of(&words)?;
    let max_age = section.field("max_age").and_then(|field| field.as_duration(Duration::from_secs(1)..=30 * DAY));
    if strategy == Strategy::Schedule as u8 {
        let delays = section.required("delays")?.as_list()?;
        let range = Duration::from_millis(1)..=30 * DAY;
        let delays = delays.iter().map(|field| field.as_duration(range.clone())).collect::<Option<Vec<_>>>()?;
        let max_attempts = u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1);
        return Some(RetryPolicy { strategy: RetryStrategy::Schedule(delays), max_attempts, max_age });
    }
    let RetryStrategy::Exponential { base, factor, cap } = default.strategy else { unreachable!("the default is exponential") };
    let duration =
        |key, otherwise| section.field(key).map_or(Some(otherwise), |field| field.as_duration(Duration::from_millis(1)..=30 * DAY));
    let (base, cap) = (duration("base", base), duration("cap", cap));
    let factor = section.field("factor").map_or(Some(factor), |field| field.as_number(1.0..=100.0));
    let max_attempts = section.field("max_attempts").map_or(Some(i64::from(default.max_attempts)), |field| field.as_integer(1..=1000));
    let strategy = RetryStrategy::Exponential { base: base?, factor: factor?, cap: cap? };
    Some(RetryPolicy { strategy, max_attempts: u32::try_from(max_attempts?).ok()?, max_age })
}

/// What a source orders its events by.
pub(super) struct Ordering {
    pub(super) key: Location,
    pub(super) skip_after: Option<u32>,
}

/// `"json:/data/customer"`, or `{ key = "header:x-customer", policy = "block" }`, or `{ key = …, skip_after = 3 }`.
pub(super) fn read_ordering(field: &Field<'_>) -> Option<Ordering> {
    if !field.is_table() {
        return field.parse().map(|key| Ordering { key, skip_after: None });
    }
    let read = |section: &Section<'_>| {
        let key = section.required("key").and_then(|field| field.parse());
        let blocks = section.field("policy").and_then(|field| field.one_of(&[("block", true)]));
        let skip_after = section.field("skip_after").and_then(|field| field.as_integer(1..=1000)).and_then(|n| u32::try_from(n).ok());
        if blocks.is_some() && skip_after.is_some() {
            section.error("`policy = \"block\"` and `skip_after` contradict each other; keep one");
        }
        Some(Ordering { key: key?, skip_after })
    };
    field.section(read).flatten()
}

/// `dedupe = "72h"`, or `dedupe = "none"`.
fn read_dedupe(field: &Field<'_>) -> DedupePolicy {
    if field.as_str() == Some("none") {
        return DedupePolicy::None;
    }
    DedupePolicy::Window(field.as_duration(Duration::from_mins(1)..=30 * DAY).unwrap_or(WINDOW_DEFAULT))
}

fn read_encodings(field: &Field<'_>) -> Option<Vec<ContentEncoding>> {
    field.as_list()?.iter().map(|field| field.one_of(&ContentEncoding::WORDS)).collect()
}

/// `rate = "100/s"`, or `{ per_second = 100, burst = 200 }`.
pub(super) fn read_rate(field: &Field<'_>) -> Option<Rate> {
    if !field.is_table() {
        return field.parse();
    }
    let read = |section: &Section<'_>| {
        let per_second = section.required("per_second").and_then(|field| field.as_number(0.001..=1_000_000.0));
        let burst = section.required("burst").and_then(|field| field.as_integer(1..=1_000_000));
        Some(Rate::new(per_second?, u32::try_from(burst?).ok()?))
    };
    field.section(read).flatten()
}

fn read_allowed(field: &Field<'_>) -> Option<Networks> {
    if field.as_list()?.is_empty() {
        field.error(format!("`{}` is empty: nobody could send", field.path()), Some("leave it out to take requests from anywhere".into()));
        return None;
    }
    network::read(field)
}
