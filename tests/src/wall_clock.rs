//! A wall clock for a real process, which a test can step while it runs. The monotonic clock stays as it is, as it would.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::directory::Directory;

const SHIM: &str = include_str!("wall_clock.c");

/// The clock of the processes that are started under it.
pub struct WallClock {
    directory: Directory,
    offset: File,
}

impl WallClock {
    /// A clock that is right.
    ///
    /// # Errors
    /// Why there can be none on this machine.
    pub fn new() -> Result<Self, String> {
        let directory = Directory::new();
        let (source, library) = (directory.path().join("wall_clock.c"), directory.path().join("wall_clock.so"));
        fs::write(&source, SHIM).map_err(|error| error.to_string())?;
        // Rust's own linker on Linux.
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
        let built = built.map_err(|error| format!("cc: {error}"))?;
        if !built.status.success() {
            return Err(format!("cc: {}", String::from_utf8_lossy(&built.stderr)));
        }
        let offset = File::create(directory.path().join("offset")).map_err(|error| error.to_string())?;
        let clock = Self { directory, offset };
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
        let path = |name| self.directory.path().join(name);
        command.env("LD_PRELOAD", path("wall_clock.so")).env("WALL_CLOCK_OFFSET", path("offset"));
    }
}
