//! `[sources.NAME]`: an inbound URL with its provider, secrets, routes and policies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::network::{self, Networks};
use super::response;
use super::secret::{self, SourceSecret};
use crate::document::{Field, Mistake, Section, Severity, nearest};
use crate::domain::{Answer, ContentEncoding, DedupePolicy, OnRefusal, PluginName, Rate, RetryPolicy, RetryStrategy, Route, SourceName};
use crate::verify::{Catalogue, Keyring, Location, Options, Provider, Verifier};

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

/// A plugin in the provider's place.
#[derive(Debug)]
pub struct Adapter {
    /// Its name.
    pub plugin: PluginName,
    /// The source's secrets, for it to use.
    pub keyring: Arc<Keyring>,
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
    let proof = read_proof(section, catalogue, directory, ordering);
    let routes = section.field("routes").and_then(|field| field.as_list()).unwrap_or_default();
    let (routes, mut unless_there): (Vec<_>, Vec<_>) = routes.iter().filter_map(read_route).unzip();
    for (position, route) in routes.iter().enumerate() {
        if routes[..position].iter().any(|other: &Route| other.name == route.name) {
            section.error(format!("two routes are called `{}`; give one of them a `name`", route.name));
        }
    }
    let retry = section.section("retry", read_retry).flatten().unwrap_or_default();
    let max_body = section.field("max_body").and_then(|field| field.as_bytes(1..=32 << 20)).unwrap_or(1 << 20);
    let content_encodings = section.field("content_encodings").and_then(|field| read_encodings(&field)).unwrap_or_default();
    let rate = section.field("rate").and_then(|field| read_rate(&field));
    let allow_from = section.field("allow_from").and_then(|field| read_allowed(&field));
    let on_refusal = section.field("on_refusal").and_then(|field| field.one_of(&OnRefusal::WORDS)).unwrap_or_default();
    let dedupe = section.field("dedupe").map_or(DedupePolicy::Window(WINDOW_DEFAULT), |field| read_dedupe(&field));
    let response::Response { answer, headers } = section.section("response", response::read).unwrap_or_default();
    let Proof { verifier, secrets, adapter } = proof?;
    warn_of_unproved(section, &verifier);
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

/// Who proves a source's requests: the engine by what the catalogue says, or a plugin.
struct Proof {
    verifier: Verifier,
    secrets: Vec<SourceSecret>,
    adapter: Option<(Adapter, (PluginName, Mistake))>,
}

fn read_proof(section: &Section<'_>, catalogue: &Catalogue, directory: &Path, ordering: Option<Location>) -> Option<Proof> {
    let read_secrets = |field: Field<'_>| field.as_list()?.iter().map(|field| secret::read(field, directory)).collect();
    let secrets: Option<Vec<SourceSecret>> = section.field("secrets").map_or(Some(Vec::new()), read_secrets);
    let unproved = section.field("verify").filter(|field| field.one_of(&[("none", ())]).is_some());
    let tolerance = section.field("timestamp_tolerance").and_then(|field| field.as_duration(Duration::from_secs(1)..=DAY));
    let dedupe = section.field("dedupe_key").and_then(|field| field.parse());
    let provider_field = section.required("provider")?;
    if let Some(plugin) = provider_field.as_str()?.strip_prefix("plugin:") {
        unproved.iter().for_each(|field| field.error("`verify = \"none\"` and a plugin that proves requests contradict each other", None));
        return by_plugin(section, &provider_field, plugin, secrets?);
    }
    let provider = find_provider(section, &provider_field, catalogue)?;
    let recorded_keys =
        if provider.publishes_keys() { section.section("recorded_keys", |keys| read_recorded(keys, directory)) } else { None };
    let recorded_keys = recorded_keys.map_or(Some(BTreeMap::new()), |keys| keys)?;
    let options = Options { tolerance, dedupe, ordering, recorded_keys, ..Options::read(section, provider) };
    let secrets = secrets?;
    let verifier = match unproved {
        Some(field) => unproved_verifier(&field, provider, &secrets, &options)?,
        None => verifier(section, provider, &secrets, &options)?,
    };
    Some(Proof { verifier, secrets, adapter: None })
}

fn by_plugin(section: &Section<'_>, field: &Field<'_>, plugin: &str, secrets: Vec<SourceSecret>) -> Option<Proof> {
    let (plugin, warning) = wanted(field, plugin)?;
    let options = Options::of_plugin(section);
    let named = secrets.iter().map(|secret| (secret.name.clone(), secret.spec.clone())).collect();
    let keyring = Keyring::new(named).map_err(|error| section.error(error.to_string())).ok()?;
    let verifier = Verifier::of_plugin(plugin.as_str(), &options);
    let adapter = Adapter { plugin: plugin.clone(), keyring: Arc::new(keyring) };
    Some(Proof { verifier, secrets, adapter: Some((adapter, (plugin, warning))) })
}

fn find_provider<'c>(section: &Section<'_>, field: &Field<'_>, catalogue: &'c Catalogue) -> Option<&'c Provider> {
    let name = field.as_str()?;
    let provider = catalogue.provider(name);
    if provider.is_none() {
        let meant = nearest(name, catalogue.names()).map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
        let help = format!("{meant}`hookfast providers list` shows all {}; add your own in catalogue.d/", catalogue.names().count());
        field.error(format!("no provider is called `{name}`"), Some(help));
        // Its settings cannot be told from mistakes, so none of them is reported.
        section.entries();
    }
    provider.map(AsRef::as_ref)
}

fn verifier(section: &Section<'_>, provider: &Provider, secrets: &[SourceSecret], options: &Options) -> Option<Verifier> {
    if secrets.is_empty() && !provider.schemes.is_empty() && !provider.publishes_keys() {
        section.error("`secrets` is missing or empty: nothing could be verified");
        return None;
    }
    if let Some(name) = secrets.iter().find_map(|secret| secret.name.as_ref()) {
        section.error(format!("the secret's name `{name}` is of no use: only plugins that prove requests ask for secrets by name"));
    }
    let specs: Vec<_> = secrets.iter().map(|secret| secret.spec.clone()).collect();
    Verifier::new(provider, &specs, options).map_err(|error| section.error(error.to_string())).ok()
}

/// `verify = "none"`: whoever knows the URL is believed, which only a provider that proves nothing makes right.
fn unproved_verifier(field: &Field<'_>, provider: &Provider, secrets: &[SourceSecret], options: &Options) -> Option<Verifier> {
    let verifier = Verifier::unproved(provider, options).map_err(|error| field.error(error.to_string(), None)).ok()?;
    if !secrets.is_empty() {
        field.error("`verify = \"none\"` checks nothing, so `secrets` would only look as if", Some("take `secrets` out".into()));
        return None;
    }
    Some(verifier)
}

fn warn_of_unproved(section: &Section<'_>, verifier: &Verifier) {
    let Some(field) = section.field("verify").filter(|_| verifier.takes_unproved()) else { return };
    let provider = &verifier.provider().name;
    let message = format!("`{}` lets in anyone who knows the URL: provider `{provider}` proves nothing", field.path());
    let narrowed = if section.has("allow_from") { "" } else { "say with `allow_from` where it sends from, and " };
    field.warning(message, Some(format!("{narrowed}let plugins ask the provider before they act on an event")));
}

/// Files that stand for what a provider publishes, by URL.
fn read_recorded(section: &Section<'_>, directory: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let read = |(url, field): (String, Field<'_>)| {
        let path = directory.join(field.as_str()?);
        let document =
            std::fs::read(&path).map_err(|error| field.error(format!("{} cannot be read: {error}", path.display()), None)).ok()?;
        Some((url, document))
    };
    section.entries().into_iter().map(read).collect()
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
fn wanted(field: &Field<'_>, name: &str) -> Option<(PluginName, Mistake)> {
    let plugin: PluginName = field.parse_with(|_| name.parse::<PluginName>().map_err(|error| error.to_string()))?;
    let message = format!("plugin `{plugin}` is not in the plugin directory yet");
    let help =
        Some(format!("its jobs wait parked, and senders whose requests it proves are told to come back, until {plugin}.wasm is there"));
    let warning = field.mistake(Severity::Warning, message, help);
    Some((plugin, warning))
}

fn read_retry(section: &Section<'_>) -> Option<RetryPolicy> {
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
struct Ordering {
    key: Location,
    skip_after: Option<u32>,
}

/// `"json:/data/customer"`, or `{ key = "header:x-customer", policy = "block" }`, or `{ key = …, skip_after = 3 }`.
fn read_ordering(field: &Field<'_>) -> Option<Ordering> {
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
fn read_rate(field: &Field<'_>) -> Option<Rate> {
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
