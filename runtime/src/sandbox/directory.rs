//! The polled plugin directory: `NAME.wasm` is the plugin NAME. Polling, not notification: it works on network file systems,
//! bind mounts and swapped symlinks alike. Publish by rename; a half-written file fails validation and is tried again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use super::load::{LoadFailure, LoadStage, Loader, digest};
use super::registry::Plugins;
use crate::clock::Clock;
use crate::domain::{Digest, Grant, PluginName};

/// Watches a directory, one [`Self::poll`] at a time.
pub struct Directory {
    path: PathBuf,
    loader: Arc<Loader>,
    plugins: Arc<Plugins>,
    clock: Clock,
    seen: BTreeMap<PluginName, Seen>,
}

/// What a poll changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A version went live, with these bytes: parked jobs may run.
    Live(PluginName, Digest, Vec<u8>),
    /// A version failed to load.
    Failed(PluginName),
    /// The file is gone, and the plugin with it.
    Removed(PluginName),
}

/// What a file was when it was last tried.
struct Seen {
    modified: Option<SystemTime>,
    length: u64,
    digest: Option<Digest>,
    grant: Arc<Grant>,
    missing_polls: u32,
}

impl Directory {
    /// Watches `path`, which need not exist yet.
    pub fn new(path: &Path, loader: Arc<Loader>, plugins: Arc<Plugins>, clock: Clock) -> Self {
        Self { path: path.to_owned(), loader, plugins, clock, seen: BTreeMap::new() }
    }

    /// Looks once and loads what has changed: the file's time, length and then digest, or what the operator grants.
    pub async fn poll(&mut self, grant_of: impl Fn(&PluginName) -> Arc<Grant>) -> Vec<Change> {
        let found = match list(&self.path) {
            Ok(found) => found,
            Err(error) => {
                warn!(%error, path = %self.path.display(), "the plugin directory cannot be read; what is live stays live");
                return Vec::new();
            }
        };
        let mut changes = Vec::new();
        for (name, (path, modified, length)) in &found {
            let grant = grant_of(name);
            let unchanged = |seen: &Seen| seen.modified == *modified && seen.length == *length && seen.grant == grant;
            if self.seen.get_mut(name).is_some_and(|seen| {
                seen.missing_polls = 0;
                unchanged(seen)
            }) {
                continue;
            }
            let change = self.load(name, path, &grant).await;
            let digest = change.as_ref().and_then(|(_, digest)| *digest).or_else(|| self.seen.get(name).and_then(|seen| seen.digest));
            if matches!(&change, Some((Change::Failed(_), None))) {
                self.seen.remove(name);
                changes.extend(change.map(|(change, _)| change));
                continue;
            }
            self.seen.insert(name.clone(), Seen { modified: *modified, length: *length, digest, grant, missing_polls: 0 });
            changes.extend(change.map(|(change, _)| change));
        }
        changes.extend(self.remove_missing(&found));
        changes
    }

    /// Takes a version through every stage of loading, and makes nothing of it live.
    pub async fn check(&self, name: &PluginName, wasm: &[u8], grant: Arc<Grant>) -> Result<Digest, LoadFailure> {
        self.loader.load(name.clone(), wasm.to_vec(), grant).await.map(|plugin| plugin.digest)
    }

    /// Puts a version into the directory; the next poll makes it live, also where it was tried before and failed.
    pub fn put(&mut self, name: &PluginName, wasm: &[u8]) -> Result<(), LoadFailure> {
        self.seen.remove(name);
        self.write(name, wasm).map_err(|error| {
            let message = format!("passed, but {} cannot be written: {error}", self.path.display());
            LoadFailure::new(LoadStage::Keep, message)
        })
    }

    /// Published by rename, so that nobody sees half of it.
    fn write(&self, name: &PluginName, wasm: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)?;
        let unfinished = self.path.join(format!("{name}.wasm.unfinished"));
        let mut file = File::create(&unfinished)?;
        file.write_all(wasm)?;
        file.sync_all()?;
        std::fs::rename(unfinished, self.path.join(format!("{name}.wasm")))?;
        File::open(&self.path)?.sync_all()
    }

    /// `None` where the bytes are those that were tried last, under the same grant.
    async fn load(&self, name: &PluginName, path: &Path, grant: &Arc<Grant>) -> Option<(Change, Option<Digest>)> {
        let wasm = match std::fs::read(path) {
            Ok(wasm) => wasm,
            Err(error) => {
                // Not remembered as seen: it is tried again at the next look.
                let failure = LoadFailure::new(LoadStage::Read, format!("{} cannot be read: {error}", path.display()));
                self.plugins.note_failure(name, &failure, self.clock.now());
                return Some((Change::Failed(name.clone()), None));
            }
        };
        let digest = digest(&wasm);
        if self.seen.get(name).is_some_and(|seen| seen.digest == Some(digest) && seen.grant == *grant) {
            return None;
        }
        let change = match self.loader.load(name.clone(), wasm.clone(), Arc::clone(grant)).await {
            Ok(plugin) => {
                info!(plugin = %name, digest = %digest.short(), version = plugin.description.version, "plugin is live");
                self.plugins.swap_in(plugin, self.clock.now());
                Change::Live(name.clone(), digest, wasm)
            }
            Err(failure) => {
                let serving = self.plugins.get(name).map(|plugin| plugin.digest.short());
                warn!(plugin = %name, stage = failure.stage.code(), %failure, digest = %digest.short(), serving, "plugin did not load");
                self.plugins.note_failure(name, &failure, self.clock.now());
                Change::Failed(name.clone())
            }
        };
        Some((change, Some(digest)))
    }

    /// A file that is missing in two polls running is gone; in one it may just be being replaced.
    fn remove_missing(&mut self, found: &BTreeMap<PluginName, Found>) -> Vec<Change> {
        let mut gone = Vec::new();
        for (name, seen) in self.seen.iter_mut().filter(|(name, _)| !found.contains_key(*name)) {
            seen.missing_polls += 1;
            if seen.missing_polls >= 2 {
                gone.push(name.clone());
            }
        }
        for name in &gone {
            warn!(plugin = %name, "the plugin's file is gone; its jobs wait parked until it is back");
            self.seen.remove(name);
            self.plugins.remove(name, self.clock.now());
        }
        gone.into_iter().map(Change::Removed).collect()
    }
}

type Found = (PathBuf, Option<SystemTime>, u64);

/// A directory that is not there is empty; one that cannot be read is an error.
fn list(directory: &Path) -> io::Result<BTreeMap<PluginName, Found>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let found = paths.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?.parse().ok()?;
        // Follows symlinks, so that a swapped link counts as a change.
        let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        Some((name, (path, metadata.modified().ok(), metadata.len())))
    });
    Ok(found.collect())
}
