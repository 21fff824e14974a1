//! `hookfast.toml` and what stands beside it, read into settings that the rest can use as they are: names checked, secrets
//! resolved, keys decoded, defaults filled in. All mistakes are found in one run, each with file, line and column.
//! The only module that reads the environment.

mod files;
mod server;
mod source;
mod topic;
mod proof;
mod response;
mod network;
mod secret;
mod upstream;
mod auth;
mod faults;
mod policies;
mod grant;
mod alerts;
mod in_force;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{Mistake, Mistakes, Section, Severity};
use crate::domain::{Grant, PluginName, SourceName, UpstreamName};
use crate::upstream::{Faults, UpstreamSettings};
use crate::verify::Catalogue;

pub use alerts::{ALERTS, AlertFormat, AlertRules, AlertSettings, AlertTarget, ShareRule, SpikeRule, alerts_topic};
pub use files::fingerprint;
pub use in_force::{Current, InForce};
pub use network::Networks;
pub use proof::Adapter;
pub use secret::SourceSecret;
pub use server::{ForwardedHeader, Proxies, Server, Storage, Worker};
pub use source::Source;
pub use topic::{Target, Topic};

/// Everything the operator has said.
pub struct Settings {
    /// Listeners and their limits. Changes need a restart.
    pub server: Server,
    /// Where events are kept. Changes need a restart.
    pub storage: Storage,
    /// How much runs at once. Changes need a restart.
    pub worker: Worker,
    /// The polled plugin directory. Changes need a restart.
    pub plugin_directory: PathBuf,
    /// What can be reloaded while serving.
    pub live: Live,
    /// The [`fingerprint`] of the files as they were just before they were read.
    pub fingerprint: u64,
}

/// The part of the settings that is reloaded on change, as a whole or not at all.
pub struct Live {
    /// Inbound URLs.
    pub sources: BTreeMap<SourceName, Arc<Source>>,
    /// Where plugins emit events to, beside the sources.
    pub topics: BTreeMap<SourceName, Arc<Topic>>,
    /// Outbound targets.
    pub upstreams: Vec<UpstreamSettings>,
    /// What plugins may do.
    pub grants: BTreeMap<PluginName, Arc<Grant>>,
    /// What is told to the operator, where something is.
    pub alerts: Option<Arc<AlertSettings>>,
    /// A digest of what the files say of these: equal where two nodes are configured alike.
    pub digest: String,
}

impl Live {
    /// What a plugin may do; nothing but compute where the operator says nothing.
    pub fn grant(&self, plugin: &PluginName) -> Arc<Grant> {
        self.grants.get(plugin).cloned().unwrap_or_default()
    }
}

/// A reading of the configuration: the settings if they can be used, and every mistake.
pub struct Reading {
    /// `None` where there is an error among the mistakes.
    pub settings: Option<Settings>,
    /// Errors and warnings by file and place.
    pub mistakes: Vec<Mistake>,
}

impl Reading {
    /// The same with faults at upstreams that somebody at the command line asks for, in place of those that the files say.
    #[must_use]
    pub fn breaking(mut self, faults: &[(UpstreamName, Faults)]) -> Self {
        for (name, faults) in faults {
            let Some(settings) = &mut self.settings else { return self };
            match settings.live.upstreams.iter_mut().find(|upstream| upstream.name == *name) {
                Some(upstream) => upstream.faults = faults.clone(),
                None => {
                    let message = format!("`--faults {name}:…`: no upstream has this name");
                    let help = Some("name one that stands under [upstreams]".into());
                    self.mistakes.push(Mistake::of_file(Severity::Error, "command line", message, help));
                    self.settings = None;
                }
            }
        }
        self
    }
}

/// Reads `path`, `conf.d/*.toml` and `catalogue.d/*.toml` beside it. Relative paths in them are relative to the file's directory.
pub fn read(path: &Path) -> Reading {
    // First, so that an edit in between is a change.
    let fingerprint = fingerprint(path);
    let mistakes = Mistakes::default();
    let settings = files::read(path, &mistakes).map(|files| Draft::read(path, &files, &mistakes).settle(fingerprint, &mistakes));
    let usable = !mistakes.any_error();
    Reading { settings: settings.filter(|_| usable), mistakes: mistakes.into_vec() }
}

/// The providers that a configuration knows: those compiled in, and `catalogue.d/*.toml` beside it. The file itself is not looked at.
///
/// # Errors
/// What is wrong with the files in `catalogue.d`.
pub fn catalogue(path: &Path) -> Result<Catalogue, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let catalogue = with_own(&files::read_catalogue(path, &mistakes), &mistakes);
    if mistakes.any_error() { Err(mistakes.into_vec()) } else { Ok(catalogue) }
}

fn with_own(files: &[(String, String)], mistakes: &Mistakes) -> Catalogue {
    let mut catalogue = Catalogue::builtin();
    files.iter().for_each(|(file, text)| catalogue.add(file, text, mistakes));
    catalogue
}

/// Where a server with this configuration listens, and the folder where it keeps its own files, for whoever talks to it. Needs none of its secrets.
///
/// # Errors
/// What is wrong with `[server]` and `[storage]`; the rest of the file is not looked at.
pub fn locate(path: &Path) -> Result<(Server, PathBuf), Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let found = find(path, &mistakes);
    found.filter(|_| !mistakes.any_error()).ok_or_else(|| mistakes.into_vec())
}

/// The admin address as far as the file tells it. A mistake that somebody has just saved is no matter of the server that runs
/// and has refused it. `None` where the file cannot be read.
pub fn admin_address(path: &Path) -> Option<SocketAddr> {
    find(path, &Mistakes::default()).map(|(server, _)| server.admin)
}

fn find(path: &Path, mistakes: &Mistakes) -> Option<(Server, PathBuf)> {
    let directory = path.parent().unwrap_or(Path::new(""));
    let read = |root: &Section<'_>| {
        // Counts every other key as known.
        root.entries();
        // Its other keys are not looked at.
        let own = |section: &Section<'_>| {
            section.entries();
            server::read_directory(section, directory)
        };
        let own = root.section("storage", own).unwrap_or_else(|| directory.to_owned());
        (root.section("server", server::read_server).unwrap_or_default(), own)
    };
    files::read(path, mistakes).map(|files| crate::document::read(&files.main.0, &files.main.1, mistakes, read))
}

/// The settings as they come together from several files.
struct Draft {
    server: Option<Server>,
    storage: Option<Storage>,
    storage_default: Storage,
    worker: Option<Worker>,
    plugin_directory: PathBuf,
    sources: BTreeMap<SourceName, Arc<Source>>,
    topics: BTreeMap<SourceName, Arc<Topic>>,
    upstreams: Vec<UpstreamSettings>,
    grants: BTreeMap<PluginName, Arc<Grant>>,
    alerts: Option<Arc<AlertSettings>>,
    digest: String,
    /// All names below `[upstreams]`, also of those that could not be read.
    upstream_names: BTreeSet<String>,
    faults: Vec<faults::Configured>,
    wanted_upstreams: Vec<(UpstreamName, Mistake)>,
    wanted_plugins: Vec<(PluginName, Mistake)>,
    wanted_targets: Vec<(SourceName, Mistake)>,
    /// What each topic would be if a source had its name.
    unless_free: Vec<(SourceName, Mistake)>,
    /// What is a mistake once alerts are configured.
    unless_without_alerts: Vec<Mistake>,
    /// What alerts are if nobody is told of them.
    unless_subscribed: Option<Mistake>,
}

impl Draft {
    fn read(path: &Path, files: &files::Files, mistakes: &Mistakes) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        let catalogue = with_own(&files.catalogue, mistakes);
        let mut draft = Self {
            server: None,
            storage: None,
            storage_default: Storage::default_in(directory),
            worker: None,
            plugin_directory: directory.join("plugins"),
            sources: BTreeMap::new(),
            topics: BTreeMap::new(),
            upstreams: Vec::new(),
            grants: BTreeMap::new(),
            alerts: None,
            digest: files.digest(),
            upstream_names: BTreeSet::new(),
            faults: Vec::new(),
            wanted_upstreams: Vec::new(),
            wanted_plugins: Vec::new(),
            wanted_targets: Vec::new(),
            unless_free: Vec::new(),
            unless_without_alerts: Vec::new(),
            unless_subscribed: None,
        };
        crate::document::read(&files.main.0, &files.main.1, mistakes, |root| {
            draft.server = root.section("server", server::read_server);
            draft.storage = root.section("storage", |section| server::read_storage(section, directory)).flatten();
            draft.worker = root.section("worker", server::read_worker);
            draft.faults = root.field("faults").map(|field| faults::read(&field)).unwrap_or_default();
            let plugins = root.section("plugins", |section| section.field("directory").and_then(|field| field.as_str().map(str::to_owned)));
            draft.plugin_directory = directory.join(plugins.flatten().unwrap_or_else(|| "plugins".into()));
            draft.read_named(root, &catalogue, directory);
        });
        for (file, text) in &files.more {
            crate::document::read(file, text, mistakes, |root| draft.read_named(root, &catalogue, directory));
        }
        draft
    }

    /// Reads what both the main file and those in `conf.d` may hold.
    fn read_named(&mut self, root: &Section<'_>, catalogue: &Catalogue, directory: &Path) {
        let sources = root.each("sources", |name, section| {
            source::read(name, section, catalogue, directory).map(|configured| (name.clone(), configured))
        });
        for (field, configured) in sources.into_iter().flatten() {
            let source::Configured { source, unless_there } = configured;
            self.wanted_plugins.extend(unless_there);
            if source.name.as_str() == ALERTS {
                self.unless_without_alerts.push(alerts::taken_by_source(&field));
            }
            if self.sources.insert(source.name.clone(), Arc::new(source)).is_some() {
                field.error("this source stands in another file too", None);
            }
        }
        let topics = root.each("topics", |name, section| topic::read(name, section).map(|configured| (name.clone(), configured)));
        for (field, configured) in topics.into_iter().flatten() {
            let topic::Configured { topic, unless_there } = configured;
            self.wanted_plugins.extend(unless_there);
            if topic.name.as_str() == ALERTS && topic.routes.iter().any(|route| route.name.as_str() == ALERTS) {
                self.unless_without_alerts.push(alerts::taken_by_route(&field));
            }
            let message = format!("`{0}` is a source, too: a name is that of one of them", topic.name);
            self.unless_free
                .push((topic.name.clone(), field.mistake(Severity::Error, message, Some("give the topic another name".into()))));
            if self.topics.insert(topic.name.clone(), Arc::new(topic)).is_some() {
                field.error("this topic stands in another file too", None);
            }
        }
        let names = &mut self.upstream_names;
        let upstreams = root.each("upstreams", |name, section| {
            names.extend(name.as_str().map(str::to_owned));
            upstream::read(name, section, directory).map(|settings| (name.clone(), settings))
        });
        for (field, settings) in upstreams.into_iter().flatten() {
            if self.upstreams.iter().any(|other| other.name == settings.name) {
                field.error("this upstream stands in another file too", None);
            }
            self.upstreams.push(settings);
        }
        let grants = root.each("grants", |name, section| grant::read(name, section).map(|granted| (name.clone(), granted)));
        for (field, granted) in grants.into_iter().flatten() {
            if self.grants.contains_key(&granted.plugin) {
                field.error("this grant stands in another file too", None);
            }
            self.wanted_upstreams.extend(granted.unless_configured);
            self.wanted_targets.extend(granted.unless_there);
            self.grants.insert(granted.plugin, Arc::new(granted.grant));
        }
        let alerts = root.field("alerts").and_then(|field| Some((field.section(alerts::read)?, field)));
        if let Some((alerts::Configured { settings, unless_configured }, field)) = alerts {
            self.wanted_upstreams.extend(unless_configured);
            if self.unless_subscribed.replace(alerts::told_to_nobody(&field)).is_some() {
                field.error("[alerts] stands in another file too", None);
            }
            self.alerts = settings.map(Arc::new);
        }
    }

    fn settle(mut self, fingerprint: u64, mistakes: &Mistakes) -> Settings {
        self.check_grants(mistakes);
        self.check_plugins(mistakes);
        self.check_targets(mistakes);
        self.check_alerts(mistakes);
        self.plan_faults(mistakes);
        Settings {
            server: self.server.unwrap_or_default(),
            storage: self.storage.unwrap_or(self.storage_default),
            worker: self.worker.unwrap_or_default(),
            plugin_directory: self.plugin_directory,
            live: Live {
                sources: self.sources,
                topics: self.topics,
                upstreams: self.upstreams,
                grants: self.grants,
                alerts: self.alerts,
                digest: self.digest,
            },
            fingerprint,
        }
    }

    fn plan_faults(&mut self, mistakes: &Mistakes) {
        for faults::Configured { upstream, faults, unless_there } in self.faults.drain(..) {
            match self.upstreams.iter_mut().find(|settings| settings.name == upstream) {
                Some(settings) => settings.faults = faults,
                None if self.upstream_names.contains(upstream.as_str()) => {}
                None => mistakes.push(unless_there),
            }
        }
    }

    /// An upstream that stands there and could not be read is a mistake already told.
    fn check_grants(&mut self, mistakes: &Mistakes) {
        for (name, mistake) in self.wanted_upstreams.drain(..) {
            if !self.upstream_names.contains(name.as_str()) {
                mistakes.push(mistake);
            }
        }
    }

    /// Names of sources and topics are one.
    fn check_targets(&mut self, mistakes: &Mistakes) {
        self.unless_free.drain(..).filter(|(name, _)| self.sources.contains_key(name)).for_each(|(_, mistake)| mistakes.push(mistake));
        for (name, mistake) in self.wanted_targets.drain(..) {
            if !self.sources.contains_key(&name) && !self.topics.contains_key(&name) {
                mistakes.push(mistake);
            }
        }
    }

    /// The name is the host's own, where it tells of alerts.
    fn check_alerts(&mut self, mistakes: &Mistakes) {
        let Some(alerts) = &self.alerts else { return };
        self.unless_without_alerts.drain(..).for_each(|mistake| mistakes.push(mistake));
        if alerts.to.is_empty() && !self.topics.contains_key(ALERTS) {
            self.unless_subscribed.take().into_iter().for_each(|mistake| mistakes.push(mistake));
        }
    }

    fn check_plugins(&mut self, mistakes: &Mistakes) {
        for (name, warning) in self.wanted_plugins.drain(..) {
            if !self.plugin_directory.join(format!("{name}.wasm")).exists() {
                mistakes.push(warning);
            }
        }
    }
}
