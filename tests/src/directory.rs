//! A directory of a test's own, gone with it; kept where the test fails, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory.
pub struct Directory(PathBuf);

impl Directory {
    /// Empty but for a folder `plugins`.
    ///
    /// # Panics
    /// If the system has no place for it.
    #[expect(clippy::new_without_default, reason = "it makes something on the disk")]
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In another folder than where temporary files usually are.
    pub(crate) fn below(folder: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hookfast-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        // Of an older process with the same number, if it is there.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("plugins")).expect("a temporary directory");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file as plugins and configurations are to be published: whole, by rename.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let (temporary, path) = (self.0.join("being-written"), self.0.join(name));
        path.parent().iter().for_each(|folder| fs::create_dir_all(folder).expect("a folder"));
        fs::write(&temporary, content).expect("a file");
        fs::rename(temporary, path).expect("a rename");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).expect("a file that is there");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
