//! Plugins that nodes share through the database: what one node has loaded from its directory, every other one loads.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::{Digest, Grant, PluginName};
use crate::sandbox::{Loader, Plugins};
use crate::store::{Store, StoreError};

/// This node's side of it.
pub(super) struct SharedPlugins {
    pub(super) store: Store,
    pub(super) loader: Arc<Loader>,
    pub(super) plugins: Arc<Plugins>,
    pub(super) clock: Clock,
    /// What the directory has brought and the others do not have yet.
    unpublished: BTreeMap<PluginName, (Digest, Vec<u8>)>,
    /// What was loaded last, or tried: a version that fails is tried again under another grant only.
    tried: BTreeMap<PluginName, (Digest, Arc<Grant>)>,
}

impl SharedPlugins {
    pub(super) fn new(store: Store, loader: Arc<Loader>, plugins: Arc<Plugins>, clock: Clock) -> Self {
        Self { store, loader, plugins, clock, unpublished: BTreeMap::new(), tried: BTreeMap::new() }
    }

    /// A version that this node has loaded from its directory.
    pub(super) fn offer(&mut self, name: PluginName, digest: Digest, wasm: Vec<u8>) {
        self.unpublished.insert(name, (digest, wasm));
    }

    /// Publishes what is new here and loads what is live elsewhere; the plugins that went live.
    pub(super) async fn exchange(&mut self, grant_of: impl Fn(&PluginName) -> Arc<Grant>) -> Result<Vec<PluginName>, StoreError> {
        while let Some((name, (digest, wasm))) = self.unpublished.first_key_value() {
            let live = self.store.publish_plugin(name, *digest, wasm).await?;
            if live != *digest {
                warn!(plugin = %name, file = %digest.short(), live = %live.short(), "the file is an older version than the one that all nodes run; that one stays");
            }
            self.unpublished.pop_first();
        }
        let mut loaded = Vec::new();
        for (name, digest) in self.store.live_plugins().await? {
            let grant = grant_of(&name);
            let is_live = self.plugins.get(&name).is_some_and(|plugin| plugin.digest == digest && plugin.is_within(&grant));
            if is_live || self.tried.get(&name) == Some(&(digest, Arc::clone(&grant))) {
                continue;
            }
            if self.load(&name, digest, &grant).await? {
                loaded.push(name.clone());
            }
            self.tried.insert(name, (digest, grant));
        }
        Ok(loaded)
    }

    async fn load(&self, name: &PluginName, digest: Digest, grant: &Arc<Grant>) -> Result<bool, StoreError> {
        let Some(wasm) = self.store.plugin_bytes(name, digest).await? else { return Ok(false) };
        match self.loader.load(name.clone(), wasm, Arc::clone(grant)).await {
            Ok(plugin) => {
                info!(plugin = %name, digest = %digest.short(), version = plugin.description.version, "plugin is live, as on the other nodes");
                self.plugins.swap_in(plugin, self.clock.now());
                Ok(true)
            }
            Err(failure) => {
                warn!(plugin = %name, stage = failure.stage.code(), %failure, digest = %digest.short(), "a plugin of the other nodes did not load here");
                self.plugins.note_failure(name, &failure, self.clock.now());
                Ok(false)
            }
        }
    }
}
