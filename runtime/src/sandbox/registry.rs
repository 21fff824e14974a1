//! Which plugins are live, and what is known of the others. Readers never wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;

use super::load::LoadFailure;
use super::plugin::{Description, Plugin};
use crate::domain::{Digest, PluginName, Timestamp};
use crate::metrics::Metrics;

/// The live plugins by name, and the status of every plugin seen.
pub struct Plugins {
    live: ArcSwap<HashMap<PluginName, Arc<Plugin>>>,
    statuses: Mutex<BTreeMap<PluginName, PluginStatus>>,
    metrics: Arc<Metrics>,
}

/// Whether a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// Serves, and its file is what serves.
    Live,
    /// The last good version serves; the file's newer one failed.
    LiveOutdated,
    /// Does not serve: no version has loaded.
    Failed,
    /// Does not serve: its file is gone.
    Removed,
}

impl PluginState {
    const ALL: [&'static str; 4] = ["live", "live_outdated", "failed", "removed"];

    /// The word for the API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::LiveOutdated => "live_outdated",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// What is known of a plugin.
#[derive(Debug, Clone, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: PluginName,
    /// Whether it serves.
    pub state: PluginState,
    /// The code that serves.
    pub digest: Option<Digest>,
    /// The length of the `.wasm` that serves.
    pub wasm_bytes: Option<usize>,
    /// What it says of itself.
    pub description: Option<Description>,
    /// When the state last changed.
    pub since: Timestamp,
    /// Why the file's version does not serve: stage, then sentence.
    pub failure: Option<(&'static str, String)>,
}

impl Plugins {
    /// With none live.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { live: ArcSwap::default(), statuses: Mutex::default(), metrics }
    }

    /// The live version of a plugin.
    pub fn get(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        self.live.load().get(name).cloned()
    }

    /// The status of every plugin seen, by name.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        self.lock().values().cloned().collect()
    }

    /// Ends instances that have waited for another event for longer than `time`.
    pub fn dismiss_idle(&self, time: Duration) {
        self.live.load().values().for_each(|plugin| plugin.waiting.dismiss(time));
    }

    /// Makes a version live: new attempts run it, running ones finish on theirs.
    pub fn swap_in(&self, plugin: Plugin, now: Timestamp) {
        let status = PluginStatus {
            name: plugin.name.clone(),
            state: PluginState::Live,
            digest: Some(plugin.digest),
            wasm_bytes: Some(plugin.wasm_bytes),
            description: Some(plugin.description.clone()),
            since: now,
            failure: None,
        };
        let plugin = Arc::new(plugin);
        self.live.rcu(|live| {
            let mut live = HashMap::clone(live);
            live.insert(plugin.name.clone(), Arc::clone(&plugin));
            live
        });
        self.note(status);
    }

    /// Notes that a file's version failed; what serves goes on serving.
    pub fn note_failure(&self, name: &PluginName, failure: &LoadFailure, now: Timestamp) {
        self.metrics.plugin_failure(name, failure.stage.code());
        let live = self.get(name);
        let state = if live.is_some() { PluginState::LiveOutdated } else { PluginState::Failed };
        self.note(PluginStatus {
            name: name.clone(),
            state,
            digest: live.as_ref().map(|plugin| plugin.digest),
            wasm_bytes: live.as_ref().map(|plugin| plugin.wasm_bytes),
            description: live.map(|plugin| plugin.description.clone()),
            since: now,
            failure: Some((failure.stage.code(), failure.message.clone())),
        });
    }

    /// Takes a plugin out of service.
    pub fn remove(&self, name: &PluginName, now: Timestamp) {
        self.live.rcu(|live| {
            let mut live = HashMap::clone(live);
            live.remove(name);
            live
        });
        let (digest, wasm_bytes, description, failure) = (None, None, None, None);
        self.note(PluginStatus { name: name.clone(), state: PluginState::Removed, digest, wasm_bytes, description, since: now, failure });
    }

    fn note(&self, status: PluginStatus) {
        self.metrics.plugin_state(&status.name, status.state.as_str(), &PluginState::ALL);
        self.lock().insert(status.name.clone(), status);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PluginName, PluginStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
