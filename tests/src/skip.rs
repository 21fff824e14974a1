//! Tests that need what not every machine has say so, and why, in one line that no test runner swallows.

use std::io::Write;

/// Says that what this test would show was not shown.
pub fn skipped(what: &str, why: &str) {
    // Not by a macro: what those print is kept back where a test succeeds.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
