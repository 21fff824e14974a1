//! How a source's requests are proved: by a provider of the catalogue, by one that the source describes itself, by a plugin, or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::secret::{self, SourceSecret};
use super::source::wanted;
use crate::document::{Field, Mistake, Section, nearest};
use crate::domain::PluginName;
use crate::verify::{Catalogue, Keyring, Location, Options, Provider, Verifier};

const DAY: Duration = Duration::from_hours(24);

/// A plugin in the provider's place.
#[derive(Debug)]
pub struct Adapter {
    /// Its name.
    pub plugin: PluginName,
    /// The source's secrets, for it to use.
    pub keyring: Arc<Keyring>,
    /// Whose request is before it.
    pub turns: Turns,
}

/// How many of a source's requests are before its plugin at once, and how many wait for that.
#[derive(Debug)]
pub struct Turns {
    places: Semaphore,
    waiting: Semaphore,
}

impl Turns {
    const PLACES: usize = 4;
    const WAITING_MAX: usize = 64;

    fn new() -> Self {
        Self { places: Semaphore::new(Self::PLACES), waiting: Semaphore::new(Self::WAITING_MAX) }
    }

    /// A place, held until it is dropped; `None` where too many wait.
    pub async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = self.waiting.try_acquire().ok()?;
        self.places.acquire().await.ok()
    }
}

/// Who proves a source's requests: the engine by what the catalogue says, or a plugin, with the warning that it is not there.
pub(super) struct Proof {
    pub(super) verifier: Verifier,
    pub(super) secrets: Vec<SourceSecret>,
    pub(super) adapter: Option<(Adapter, (PluginName, Mistake))>,
}

/// Reads what a source says of its provider and its secrets.
pub(super) fn read(section: &Section<'_>, catalogue: &Catalogue, directory: &Path, ordering: Option<Location>) -> Option<Proof> {
    let read_secrets = |field: Field<'_>| field.as_list()?.iter().map(|field| secret::read(field, directory)).collect();
    let secrets: Option<Vec<SourceSecret>> = section.field("secrets").map_or(Some(Vec::new()), read_secrets);
    let unproved = section.field("verify").filter(|field| field.one_of(&[("none", ())]).is_some());
    let tolerance = section.field("timestamp_tolerance").and_then(|field| field.as_duration(Duration::from_secs(1)..=DAY));
    let dedupe = section.field("dedupe_key").and_then(|field| field.parse());
    let provider_field = section.required("provider")?;
    if provider_field.is_table() {
        let provider = provider_field.section(Provider::inline)??;
        return by_provider(
            section,
            &provider,
            secrets?,
            unproved,
            directory,
            Options { tolerance, dedupe, ordering, ..Options::default() },
        );
    }
    if let Some(plugin) = provider_field.as_str()?.strip_prefix("plugin:") {
        unproved.iter().for_each(|field| field.error("`verify = \"none\"` and a plugin that proves requests contradict each other", None));
        for key in ["timestamp_tolerance", "dedupe_key", "ordering"] {
            if section.has(key) {
                section.error(format!("`{key}` goes with providers of the catalogue only: the plugin says it of each event"));
            }
        }
        return by_plugin(section, &provider_field, plugin, secrets?);
    }
    let provider = find_provider(section, &provider_field, catalogue)?;
    by_provider(section, provider, secrets?, unproved, directory, Options { tolerance, dedupe, ordering, ..Options::default() })
}

fn by_provider(
    section: &Section<'_>,
    provider: &Provider,
    secrets: Vec<SourceSecret>,
    unproved: Option<Field<'_>>,
    directory: &Path,
    options: Options,
) -> Option<Proof> {
    let Options { tolerance, dedupe, ordering, .. } = options;
    let is_published = provider.publishes_keys();
    let recorded_keys = if is_published { section.section("recorded_keys", |keys| read_recorded(keys, directory)) } else { None };
    let recorded_keys = recorded_keys.map_or(Some(BTreeMap::new()), |keys| keys)?;
    let token = if provider.asks_for_keys_token() { section.field("keys_token") } else { None };
    let keys_token = token.map_or(Some(None), |field| secret::resolve(&field, directory).map(Some))?;
    let options = Options { tolerance, dedupe, ordering, recorded_keys, keys_token, ..Options::read(section, provider) };
    let verifier = match unproved {
        Some(field) => unproved_verifier(&field, provider, &secrets, &options)?,
        None => verifier(section, provider, &secrets, &options)?,
    };
    warn_of_unproved(section, &verifier);
    Some(Proof { verifier, secrets, adapter: None })
}

fn by_plugin(section: &Section<'_>, field: &Field<'_>, plugin: &str, secrets: Vec<SourceSecret>) -> Option<Proof> {
    let (plugin, warning) = wanted(field, plugin)?;
    let options = Options::of_plugin(section);
    let named = secrets.iter().map(|secret| (secret.name.clone(), secret.spec.clone())).collect();
    let keyring = Keyring::new(named).map_err(|error| section.error(error.to_string())).ok()?;
    let verifier = Verifier::of_plugin(plugin.as_str(), &options);
    let adapter = Adapter { plugin: plugin.clone(), keyring: Arc::new(keyring), turns: Turns::new() };
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
    if secrets.is_empty() && !provider.schemes.is_empty() && !provider.publishes_keys() && !provider.offers_secret() {
        section.error("`secrets` is missing or empty: nothing could be verified; write `secrets = [\"env:NAME\"]` or `[\"file:PATH\"]`");
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
