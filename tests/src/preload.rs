//! Libraries of C that a real process loads before its own, and that stand in for a call to the system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::directory::Directory;

/// Compiles one in this directory; where it is.
///
/// # Errors
/// Why there can be none on this machine.
pub(crate) fn library(directory: &Directory, name: &str, source: &str) -> Result<PathBuf, String> {
    let path = |ending| directory.path().join(format!("{name}.{ending}"));
    fs::write(path("c"), source).map_err(|error| error.to_string())?;
    // Rust's own linker on Linux.
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([path("so"), path("c")]).output();
    let built = built.map_err(|error| format!("cc: {error}"))?;
    if built.status.success() { Ok(path("so")) } else { Err(format!("cc: {}", String::from_utf8_lossy(&built.stderr))) }
}
