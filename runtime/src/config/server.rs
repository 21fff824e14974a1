//! `[server]`, `[storage]`, `[worker]`: what needs a restart to change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::network::{self, Networks};
use super::secret;
use crate::document::{Field, Section};
use crate::store::Database;

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
    /// Bytes of bodies that have no proof yet, of all requests together.
    pub body_budget: usize,
    /// The proxies before this server.
    pub proxies: Proxies,
    /// How long running work may take to end at shutdown before it is given back.
    pub drain: Duration,
}

/// Who may say from where a request comes.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// Their addresses; empty where senders connect directly.
    pub trusted: Networks,
    /// The header that they write.
    pub header: ForwardedHeader,
}

/// Where proxies write the address that they were connected from. One and not both: a proxy passes the one that it does not write on,
/// as whoever is before it has made it up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            ingest: SocketAddr::from(([0, 0, 0, 0], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            body_budget: 256 << 20,
            proxies: Proxies::default(),
            drain: Duration::from_secs(25),
        }
    }
}

/// Where events are kept.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The database.
    pub database: Database,
    /// Whether `serve` brings the tables up to date.
    pub migrates: bool,
    /// How long a node that falls silent keeps its jobs; only where several nodes share a database.
    pub lease: Duration,
    /// How long finished events are kept; `None` for ever.
    pub retention: Option<Duration>,
    /// What this node keeps of its own: the token file, compiled plugins. Unless said otherwise the folder of the SQLite file, or that
    /// of the configuration.
    directory: PathBuf,
}

impl Storage {
    /// `hookfast.db` beside the configuration file.
    pub(super) fn default_in(directory: &Path) -> Self {
        Self::sqlite(directory.join("hookfast.db"))
    }

    fn sqlite(path: PathBuf) -> Self {
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { database: Database::Sqlite(path), migrates: true, lease: LEASE_DEFAULT, retention: Some(RETENTION_DEFAULT), directory }
    }

    /// The folder of this node's own files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file or folder of this node's own, such as the token file.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.join(name)
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
        body_budget: section.field("body_budget").and_then(|field| field.as_bytes(1 << 20..=1 << 40)).unwrap_or(default.body_budget),
        proxies: read_proxies(section),
        drain: duration("drain", default.drain, seconds(0, 600)),
    }
}

fn read_proxies(section: &Section<'_>) -> Proxies {
    let words = [("x-forwarded-for", ForwardedHeader::XForwardedFor), ("forwarded", ForwardedHeader::Forwarded)];
    let trusted = section.field("trusted_proxies").and_then(|field| network::read(&field));
    let header = section.field("forwarded_header").and_then(|field| field.one_of(&words));
    Proxies { trusted: trusted.unwrap_or_default(), header: header.unwrap_or_default() }
}

pub(super) fn read_storage(section: &Section<'_>, directory: &Path) -> Option<Storage> {
    let lease = section.field("lease").and_then(|field| field.as_duration(Duration::from_secs(1)..=Duration::from_mins(2)));
    let retention = section.field("retention").map(|field| read_retention(&field));
    let migrates = section.field("migrate").and_then(|field| field.as_bool());
    let own = read_own_directory(section, directory);
    let field = section.required("url")?;
    let url = match field.as_str()?.split_once(':') {
        Some(("env" | "file" | "literal", _)) => String::from_utf8(secret::resolve(&field, directory)?.expose().to_vec()).ok(),
        _ => field.as_str().map(str::to_owned),
    };
    let read = url.ok_or("it is not text").and_then(|url| read_url(&url, directory));
    let read = read.map(|storage| Storage {
        migrates: migrates.unwrap_or(storage.migrates),
        lease: lease.unwrap_or(storage.lease),
        retention: retention.unwrap_or(storage.retention),
        directory: own.unwrap_or(storage.directory),
        ..storage
    });
    // A PostgreSQL URL may hold a password: its text is not shown.
    read.map_err(|reason| field.secret_error(format!("`{}`: {reason}", field.path()), Some(URLS.into()))).ok()
}

const LEASE_DEFAULT: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);
const RETENTION_DEFAULT: Duration = Duration::from_hours(30 * 24);
const URLS: &str =
    "\"sqlite:hookfast.db\", or \"postgres://user@host/database\"; a URL with a password is better kept in env:NAME or file:PATH";

/// `retention = "30d"`, or `retention = "forever"`.
fn read_retention(field: &Field<'_>) -> Option<Duration> {
    if field.as_str() == Some("forever") {
        return None;
    }
    field.as_duration(Duration::from_mins(1)..=3650 * DAY).or(Some(RETENTION_DEFAULT))
}

/// The folder of a node's own files, as far as the URL tells without its secrets.
pub(super) fn read_directory(section: &Section<'_>, directory: &Path) -> PathBuf {
    if let Some(own) = read_own_directory(section, directory) {
        return own;
    }
    let url = section.field("url").and_then(|field| field.as_str());
    let file = url.and_then(|url| url.strip_prefix("sqlite:")).map(|path| Storage::sqlite(directory.join(path)).directory);
    file.unwrap_or_else(|| directory.to_owned())
}

/// `directory = "/var/lib/hookfast"`, for a node whose database is elsewhere and whose configuration it may not write to.
fn read_own_directory(section: &Section<'_>, directory: &Path) -> Option<PathBuf> {
    section.field("directory").and_then(|field| field.as_str().map(|path| directory.join(path)))
}

fn read_url(url: &str, directory: &Path) -> Result<Storage, &'static str> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(Storage::sqlite(directory.join(path))),
        Some(("postgres" | "postgresql", _)) => {
            let url = url.trim().parse().map_err(|()| "it is not the URL of a PostgreSQL database")?;
            Ok(Storage {
                migrates: true,
                database: Database::Postgres(url),
                lease: LEASE_DEFAULT,
                retention: Some(RETENTION_DEFAULT),
                directory: directory.to_owned(),
            })
        }
        _ => Err("it is neither an SQLite file nor a PostgreSQL database"),
    }
}

pub(super) fn read_worker(section: &Section<'_>) -> Worker {
    let concurrency = section.field("concurrency").and_then(|field| field.as_integer(1..=4096));
    Worker { concurrency: concurrency.and_then(|number| u32::try_from(number).ok()).unwrap_or(Worker::default().concurrency) }
}
