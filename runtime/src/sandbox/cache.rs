//! Compiled plugins on disk, so that a restart does not compile again. Keyed by the plugin's digest and the engine's version
//! and settings. Only files that this process or its predecessors wrote are ever read: they are native code.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;
use wasmtime::component::Component;

use super::SandboxError;
use crate::domain::Digest;
use crate::random::Random;

/// How long nothing takes to be written.
const WRITE_MAX: Duration = Duration::from_hours(1);

/// Written beside its place and renamed. Synced before that: a file torn by a power cut would be run as native code.
fn write(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

/// The directory of compiled plugins, readable by its owner only.
pub(super) struct Cache {
    directory: PathBuf,
    engine: u64,
    random: Random,
}

impl Cache {
    pub(super) fn open(directory: &Path, engine: &wasmtime::Engine, random: Random) -> Result<Self, SandboxError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(|error| SandboxError::Cache(directory.to_owned(), error))?;
        // A directory that others can write to would let them run native code as us.
        let mode = fs::metadata(directory).map_err(|error| SandboxError::Cache(directory.to_owned(), error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let error = io::Error::new(io::ErrorKind::PermissionDenied, "others may use it; remove it, or chmod 700");
            return Err(SandboxError::Cache(directory.to_owned(), error));
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self { directory: directory.to_owned(), engine: hasher.finish(), random };
        cache.forget_other_engines();
        Ok(cache)
    }

    /// What another version or another setting has compiled is of no use any more, nor is what a write left unfinished, unless another
    /// process is at it.
    fn forget_other_engines(&self) {
        let own = format!("-{:016x}.cwasm", self.engine);
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let is_abandoned = || {
                let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
                age.is_some_and(|age| age > WRITE_MAX)
            };
            if (name.ends_with(".tmp") && is_abandoned()) || (name.contains(".cwasm") && !name.ends_with(&own)) {
                // One that stays costs some space.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        if !path.exists() {
            return None;
        }
        // SAFETY: the directory is ours with mode 0700 and files are only added by `put`, whole and by rename.
        #[expect(unsafe_code, reason = "the one place where native code is read back")]
        let loaded = unsafe { Component::deserialize_file(engine, &path) };
        loaded.inspect_err(|error| warn!(%error, path = %path.display(), "a compiled plugin cannot be read from its file")).ok()
    }

    /// Keeps a compiled plugin, and gives it back as it is read from its file: code that stands in a file takes memory only while it runs.
    /// `None` where it cannot be kept, which costs the next start a compilation, and nothing else.
    pub(super) fn put(&self, engine: &wasmtime::Engine, digest: Digest, component: &Component) -> Option<Component> {
        let path = self.path(digest);
        // A name of its own: whoever else compiles the same must not write into what is renamed here, and may have the same process number
        // in another container.
        let temporary = path.with_extension(format!("{}.tmp", hex::encode(self.random.bytes::<8>())));
        let written = component.serialize().map_err(io::Error::other).and_then(|bytes| write(&path, &temporary, &bytes));
        match written {
            Ok(()) => self.get(engine, digest),
            Err(error) => {
                // It may be what fills the disk.
                let _ = fs::remove_file(&temporary);
                warn!(%error, path = %path.display(), "a compiled plugin cannot be cached");
                None
            }
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(format!("{}-{:016x}.cwasm", hex::encode(digest.as_bytes()), self.engine))
    }
}
