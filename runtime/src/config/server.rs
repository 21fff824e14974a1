//! `[server]`, `[storage]`, `[worker]`: what needs a restart to change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::Section;

/// Listeners and their limits.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where providers send to.
    pub ingest: SocketAddr,
    /// Where operators look; loopback unless said otherwise.
    pub admin: SocketAddr,
    /// From a connection's first byte, or the end of the last request, to the end of the next head.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// How long running work may take to end at shutdown before it is given back.
    pub drain: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            ingest: SocketAddr::from(([0, 0, 0, 0], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            drain: Duration::from_secs(25),
        }
    }
}

/// Where events are kept.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The SQLite file.
    pub path: PathBuf,
}

impl Storage {
    /// `hookfast.db` beside the configuration file.
    pub(super) fn default_in(directory: &Path) -> Self {
        Self { path: directory.join("hookfast.db") }
    }

    /// A file or folder beside the database, such as the token file.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }
}

/// How much runs at once.
#[derive(Debug, Clone, Copy)]
pub struct Worker {
    /// Places: attempts that run at the same time, 1 to 4096.
    pub concurrency: u32,
}

impl Default for Worker {
    fn default() -> Self {
        Self { concurrency: 128 }
    }
}

pub(super) fn read_server(section: &Section<'_>) -> Server {
    let default = Server::default();
    let address = |key, otherwise| section.field(key).and_then(|field| field.parse()).unwrap_or(otherwise);
    let seconds = |low, high| Duration::from_secs(low)..=Duration::from_secs(high);
    let duration = |key, otherwise, range| section.field(key).and_then(|field| field.as_duration(range)).unwrap_or(otherwise);
    Server {
        ingest: address("ingest", default.ingest),
        admin: address("admin", default.admin),
        header_timeout: duration("header_timeout", default.header_timeout, Duration::from_millis(100)..=Duration::from_mins(10)),
        body_timeout: duration("body_timeout", default.body_timeout, Duration::from_millis(100)..=Duration::from_mins(10)),
        drain: duration("drain", default.drain, seconds(0, 600)),
    }
}

pub(super) fn read_storage(section: &Section<'_>, directory: &Path) -> Option<Storage> {
    let url = section.required("url")?.parse_with(|url| match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(directory.join(path)),
        _ => Err("a storage url is sqlite:PATH, as in \"sqlite:hookfast.db\"".into()),
    })?;
    Some(Storage { path: url })
}

pub(super) fn read_worker(section: &Section<'_>) -> Worker {
    let concurrency = section.field("concurrency").and_then(|field| field.as_integer(1..=4096));
    Worker { concurrency: concurrency.and_then(|number| u32::try_from(number).ok()).unwrap_or(Worker::default().concurrency) }
}
