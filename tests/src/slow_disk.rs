//! A disk on which a sync takes its time, as on one in a network: for all files, or for some.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::directory::Directory;
use crate::preload;

const SHIM: &str = include_str!("slow_disk.c");

/// The disk of the processes that are started on it.
pub struct SlowDisk {
    _directory: Directory,
    library: PathBuf,
    sync: Duration,
    ending: &'static str,
}

impl SlowDisk {
    /// One on which a sync of a file whose name ends so takes so much longer, in whole microseconds.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub fn new(sync: Duration, ending: &'static str) -> Result<Self, String> {
        let directory = Directory::new();
        let library = preload::library(&directory, "slow_disk", SHIM)?;
        Ok(Self { _directory: directory, library, sync, ending })
    }

    /// Puts what a process writes on this disk.
    pub fn slow_down(&self, command: &mut Command) {
        let micros = self.sync.as_micros().to_string();
        command.env("LD_PRELOAD", &self.library).env("SLOW_DISK_MICROS", micros).env("SLOW_DISK_ENDING", self.ending);
    }
}
