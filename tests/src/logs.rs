//! What the servers of this test process log: warnings and errors, kept to be asked for.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Errors that stories provoke; any other is a mistake of ours.
const EXPECTED: [&str; 2] = [
    "the configuration has mistakes; the old one stays in force",
    "a job's event cannot be read from the database; the job becomes a dead letter",
];

/// Begins to keep what is logged.
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("hookfast=warn"));
        logs.json().with_writer(|| Keeper).init();
    });
}

/// Whether there is a line with all of these words.
pub fn has(words: &[&str]) -> bool {
    lines().iter().any(|line| words.iter().all(|word| line.contains(word)))
}

/// Error lines that no story provokes. A `place` stands on the lines of a configuration's mistakes.
pub(crate) fn unexpected_errors() -> Vec<String> {
    let provoked = |line: &String| EXPECTED.iter().any(|expected| line.contains(expected)) || line.contains("\"place\"");
    lines().into_iter().filter(|line| line.contains("\"level\":\"ERROR\"") && !provoked(line)).collect()
}

fn lines() -> Vec<String> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Keeper;

impl Write for Keeper {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
