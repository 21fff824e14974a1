//! Keeping the live plugins as the directory and the other nodes have them, and waking jobs whose plugin has come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Role;
use super::shared_plugins::SharedPlugins;
use crate::config::{Current, InForce};
use crate::domain::{Grant, PluginName};
use crate::http::Upload;
use crate::memory;
use crate::sandbox::{Change, Directory, LoadFailure, LoadStage, Plugin};
use crate::store::{NodeFacts, Store};

const INTERVAL: Duration = Duration::from_millis(500);
/// How long an instance may wait for another event.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long after none was found jobs are looked for that other nodes have parked for want of a plugin that runs here.
const PARKED_LOOK: Duration = Duration::from_secs(5);

/// The directory and who must know of its changes.
pub(super) struct Watcher {
    pub(super) directory: Directory,
    pub(super) shared: SharedPlugins,
    pub(super) current: Current,
    pub(super) store: Store,
    pub(super) role: Role,
    /// Versions that came through the admin API.
    pub(super) uploads: mpsc::Receiver<Upload>,
    /// Live plugins whose parked jobs could not be made ready yet.
    pub(super) unwoken: BTreeSet<PluginName>,
    /// When no job was found that another node has parked.
    pub(super) none_parked_at: Instant,
}

impl Watcher {
    fn facts(&self, in_force: &InForce) -> NodeFacts {
        let plugins = self.runnable(in_force).into_iter().map(|plugin| (plugin.name.clone(), plugin.digest)).collect();
        NodeFacts { role: self.role.as_str(), configuration: in_force.settings.digest.clone(), plugins }
    }

    /// The plugins that jobs are run with here.
    fn runnable(&self, in_force: &InForce) -> Vec<Arc<Plugin>> {
        let live = self.shared.plugins.statuses().into_iter().filter_map(|status| self.shared.plugins.get(&status.name));
        live.filter(|plugin| plugin.is_within(&in_force.settings.grant(&plugin.name))).collect()
    }

    /// Wakes what nodes have parked that do not run what is run here: just as it went live, or since they run others of a source's plugins.
    /// Some at a time, so that what they park again holds nothing else up.
    async fn wake_parked_elsewhere(&mut self, in_force: &InForce) {
        if self.role == Role::Ingest || self.none_parked_at.elapsed() < PARKED_LOOK {
            return;
        }
        let runnable: Vec<PluginName> = self.runnable(in_force).iter().map(|plugin| plugin.name.clone()).collect();
        match self.store.unpark_some(&runnable).await {
            Ok(0) => self.none_parked_at = Instant::now(),
            Ok(jobs) => info!(jobs, "jobs are ready that other nodes had parked for want of a plugin"),
            Err(error) => warn!(%error, "jobs that other nodes have parked could not be looked for; tried again soon"),
        }
    }

    /// Looks twice a second, and loads what comes through the admin API, until `closing`.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                () = tokio::time::sleep(INTERVAL) => self.poll().await,
                Some(upload) = self.uploads.recv() => self.load(upload).await,
            }
        }
    }

    async fn load(&mut self, upload: Upload) {
        let Upload { name, wasm, answer } = upload;
        let grant = self.current.load().settings.grant(&name);
        let put = self.put(&name, &wasm, grant).await;
        if put.is_ok() {
            self.poll().await;
        }
        // Whoever asked may have gone; what was asked is done all the same.
        let _ = answer.send(put);
    }

    /// A version that was live on all nodes before, and is not now, changes nothing.
    async fn put(&mut self, name: &PluginName, wasm: &[u8], grant: Arc<Grant>) -> Result<(), LoadFailure> {
        let digest = self.directory.check(name, wasm, grant).await?;
        let live = self.store.publish_plugin(name, digest, wasm).await.map_err(|error| {
            warn!(plugin = %name, %error, "a plugin could not be published");
            LoadFailure::new(LoadStage::Keep, "passed, but the database does not take it now; try again".into())
        })?;
        if live == digest { self.directory.put(name, wasm) } else { Ok(()) }
    }

    /// Looks once.
    pub(super) async fn poll(&mut self) {
        let in_force = self.current.load();
        for change in self.directory.poll(|plugin| in_force.settings.grant(plugin)).await {
            if let Change::Live(plugin, digest, wasm) = change {
                self.unwoken.insert(plugin.clone());
                self.shared.offer(plugin, digest, wasm);
            }
        }
        match self.shared.exchange(|plugin| in_force.settings.grant(plugin)).await {
            Ok(loaded) => self.unwoken.extend(loaded),
            Err(error) => warn!(%error, "plugins could not be compared with those of the other nodes; tried again soon"),
        }
        self.shared.plugins.dismiss_idle(IDLE_MAX);
        if !self.unwoken.is_empty() {
            // Reading and compiling have taken far more than what is live takes.
            tokio::task::spawn_blocking(memory::give_back);
        }
        self.store.tell(self.facts(&in_force));
        self.wake_parked_elsewhere(&in_force).await;
        for plugin in std::mem::take(&mut self.unwoken) {
            match self.store.unpark(&plugin).await {
                Ok(0) => {}
                Ok(jobs) => info!(%plugin, jobs, "jobs that waited for this plugin are ready"),
                Err(error) => {
                    error!(%plugin, %error, "jobs that wait for this plugin could not be made ready; tried again soon");
                    self.unwoken.insert(plugin);
                }
            }
        }
    }
}
