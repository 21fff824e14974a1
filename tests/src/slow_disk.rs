//! A disk on which a sync takes its time, as on one in a network.

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
}

impl SlowDisk {
    /// One on which a sync takes so much longer, in whole microseconds.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub fn new(sync: Duration) -> Result<Self, String> {
        let directory = Directory::new();
        let library = preload::library(&directory, "slow_disk", SHIM)?;
        Ok(Self { _directory: directory, library, sync })
    }

    /// Puts what a process writes on this disk.
    pub fn slow_down(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("SLOW_DISK_MICROS", self.sync.as_micros().to_string());
    }
}
