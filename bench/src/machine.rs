//! Which machine, which versions, when: a figure without them says nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use hookfast::clock::Clock;
use serde::Serialize;

use crate::cores::are_pinned;

/// Facts of a run.
#[derive(Serialize)]
pub(crate) struct Machine {
    command: String,
    date: String,
    commit: String,
    processor: String,
    cores: usize,
    pinned: bool,
    memory: String,
    kernel: String,
    file_system: String,
    load_average_at_start: String,
    rustc: String,
    sqlite: String,
    postgres: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let line = |text: &str, name: &str| {
            let found = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
            found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let dirty = if said("git", &["status", "--porcelain"]).is_empty() { "" } else { ", with changes" };
        Self {
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            date: Clock::system().now().to_string(),
            commit: format!("{}{dirty}", said("git", &["rev-parse", "--short=12", "HEAD"])),
            processor: line(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            pinned: are_pinned(),
            memory: line(&read("/proc/meminfo"), "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&std::env::temp_dir(), &read("/proc/mounts")),
            load_average_at_start: read("/proc/loadavg").trim().to_owned(),
            rustc: said("rustc", &["--version"]),
            sqlite: rusqlite::version().to_owned(),
            postgres: said("psql", &["--version"]),
        }
    }

    pub(crate) fn markdown(&self) -> String {
        let Self {
            command,
            date,
            commit,
            processor,
            cores,
            memory,
            kernel,
            file_system,
            load_average_at_start,
            rustc,
            sqlite,
            postgres,
            ..
        } = self;
        let pinned = if self.pinned { "" } else { " **Nothing is pinned: there is one core.**" };
        format!(
            "Commit {commit}, {date}, arguments `{command}`. {processor}, {cores} core(s), {memory} of memory, Linux {kernel}, {file_system} for the\n\
             databases; load average at the start {load_average_at_start}. {rustc}, SQLite {sqlite}, {postgres}.{pinned}\n\nMedians (and the range of the rounds). Hookfast runs as a process on core 0 with its log in a file, the load generator and the\n\
             upstreams on core 1, PostgreSQL on both. Compare within a run only: the same machine is twice as fast at one time as at another.\n"
        )
    }
}

/// The kind of the file system that a folder is on, as in `ext4`.
fn file_system(folder: &Path, mounts: &str) -> String {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields.len() > 2);
    let nearest = fields.filter(|fields| folder.starts_with(fields[1])).max_by_key(|fields| fields[1].len());
    nearest.map_or_else(|| "unknown".to_owned(), |fields| fields[2].to_owned())
}

/// What a tool prints; nothing where it is not there.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
