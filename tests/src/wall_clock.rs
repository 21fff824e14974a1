//! A wall clock for a real process, which a test can step while it runs. The monotonic clock stays as it is, as it would.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use crate::directory::Directory;
use crate::preload;

const SHIM: &str = include_str!("wall_clock.c");

/// The clock of the processes that are started under it.
pub struct WallClock {
    directory: Directory,
    library: PathBuf,
    offset: File,
}

impl WallClock {
    /// A clock that is right.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub fn new() -> Result<Self, String> {
        let directory = Directory::new();
        let library = preload::library(&directory, "wall_clock", SHIM)?;
        let offset = File::create(directory.path().join("offset")).map_err(|error| error.to_string())?;
        let clock = Self { directory, library, offset };
        clock.step_to(0);
        Ok(clock)
    }

    /// Puts it so many seconds ahead of the right time, or behind it.
    ///
    /// # Panics
    /// If the offset cannot be written.
    pub fn step_to(&self, seconds: i64) {
        self.offset.write_all_at(&seconds.to_ne_bytes(), 0).expect("an offset");
    }

    pub(crate) fn govern(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("WALL_CLOCK_OFFSET", self.directory.path().join("offset"));
    }
}
