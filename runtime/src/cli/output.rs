//! What a command prints: data to stdout, as text or as one JSON document, and hints to stderr. Whatever strangers sent is
//! printed without control characters, which a terminal would obey.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

use super::time::Times;
use crate::clock::Clock;

/// How data is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    times: Times,
}

impl Output {
    /// As the user asked for it, and as fits where it goes.
    pub(super) fn new(json: bool) -> Self {
        let times = if io::stdout().is_terminal() { Times::RelativeTo(Clock::system().now()) } else { Times::Absolute };
        Self { json, times }
    }

    /// Prints data: the document itself, or the text that shows it.
    pub(super) fn show(self, document: &impl Serialize, text: impl FnOnce(Times) -> String) -> anyhow::Result<()> {
        if !self.json {
            return print(&text(self.times));
        }
        let mut json = serde_json::to_string_pretty(document).context("the data is no JSON")?;
        json.push('\n');
        print(&json)
    }

    /// Tells a person on stderr what there was, or what to do next; whoever wants JSON reads no sentences.
    pub(super) fn hint(self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Whether one JSON document is wanted.
    pub(super) fn is_json(self) -> bool {
        self.json
    }
}

/// Writes to stdout. A reader that has read enough, as `head` does, is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// One line of text that a terminal only shows.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Text of several lines that a terminal only shows.
pub(super) fn plain_lines(text: &str) -> String {
    text.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

/// `1 event`, `2 events`.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
