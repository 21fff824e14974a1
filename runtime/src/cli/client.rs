//! The admin API as a command speaks it: where it is, the token, and what its errors mean for whoever waits at the prompt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::arguments::{CONFIG, Connection};
use super::failure::{Exit, failure};
use super::output::plain;
use crate::app::TOKEN_FILE;
use crate::config::{self, Server, Settings};
use crate::document::{Mistake, Severity};
use crate::domain::{CallFault, CallFaultKind, Headers};
use crate::http::ApiToken;
use crate::upstream::fetch;
use crate::verify::Catalogue;

/// A bulk operation on the store may wait for many commits.
const TIMEOUT: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

/// A server's admin API.
pub(super) struct Client {
    base: String,
    token_file: PathBuf,
    token: ApiToken,
}

/// One page of a list, of which only what is shown is read.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

impl Client {
    /// The server that the arguments name. Connects to nothing yet.
    pub(super) fn open(connection: &Connection) -> anyhow::Result<Self> {
        let (base, token_file) = match (&connection.url, &connection.token_file) {
            (Some(url), Some(file)) => (url.clone(), file.clone()),
            (url, file) => {
                let (server, own) = locate(&connection.config)?;
                let base = url.clone().unwrap_or_else(|| local_url(server.admin));
                (base, file.clone().unwrap_or_else(|| own.join(TOKEN_FILE)))
            }
        };
        let token = read_token(&token_file)?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token_file, token })
    }

    /// The document at a path below `/api/v1`; parameters without a value are left out.
    pub(super) async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> anyhow::Result<Value> {
        let given = query.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", encoded(value))));
        let query = given.collect::<Vec<_>>().join("&");
        let separator = if query.is_empty() { "" } else { "?" };
        self.ask("GET", &format!("{path}{separator}{query}"), JSON, Bytes::new()).await
    }

    /// What the server answers to a document.
    pub(super) async fn post(&self, path: &str, document: &Value) -> anyhow::Result<Value> {
        self.ask("POST", path, JSON, document.to_string().into()).await
    }

    /// What the server answers to a component.
    pub(super) async fn put_wasm(&self, path: &str, wasm: Vec<u8>) -> anyhow::Result<Value> {
        self.ask("PUT", path, "application/wasm", wasm.into()).await
    }

    async fn ask(&self, method: &str, path: &str, content_type: &'static str, body: Bytes) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut headers = Headers::default();
        headers.push("authorization", self.token.bearer());
        headers.push("accept", "application/json");
        headers.push("content-type", content_type);
        let answer = fetch(method, &url, headers, body, TIMEOUT)
            .await
            .map_err(|fault| unanswered(&fault, "is the server running? hookfast serve"))?;
        match answer.status {
            200..=299 => {
                serde_json::from_slice(&answer.body).with_context(|| format!("what answers at {} is no Hookfast admin API", self.base))
            }
            401 => Err(self.unauthorized()),
            _ => Err(self.problem(answer.status, &answer.body)),
        }
    }

    fn unauthorized(&self) -> anyhow::Error {
        let file = self.token_file.display();
        let message = format!("{} does not take the token in {file}; give that server's own with --config or --token-file", self.base);
        failure(Exit::Failed, message)
    }

    /// The sentence of an `application/problem+json` document.
    fn problem(&self, status: u16, body: &[u8]) -> anyhow::Error {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = match problem["detail"].as_str() {
            Some(detail) => plain(detail),
            None => format!("{} answered {status}; is it a Hookfast admin API?", self.base),
        };
        failure(Exit::of_status(status), message)
    }
}

/// Reads of a document what a command shows.
pub(super) fn read<'d, T: Deserialize<'d>>(document: &'d Value) -> anyhow::Result<T> {
    T::deserialize(document).context("the server's answer is not understood; is the server of another version?")
}

/// The whole configuration, for commands that need its secrets.
pub(super) fn settings(path: &Path) -> anyhow::Result<Settings> {
    let reading = config::read(path);
    let errors: Vec<Mistake> = reading.mistakes.into_iter().filter(|mistake| mistake.severity == Severity::Error).collect();
    reading.settings.ok_or_else(|| unusable(path, &errors))
}

/// The providers that the configuration knows, for commands that need no server. Without one, unless it was asked for, those compiled in.
pub(super) fn catalogue(given: Option<&Path>) -> anyhow::Result<Catalogue> {
    let path = given.unwrap_or(Path::new(CONFIG));
    if path.is_file() {
        return config::catalogue(path).map_err(|mistakes| unusable(&path.with_file_name("catalogue.d"), &mistakes));
    }
    match given {
        None => Ok(Catalogue::builtin()),
        Some(_) => Err(failure(Exit::Configuration, format!("there is no configuration {}", path.display()))),
    }
}

fn locate(path: &Path) -> anyhow::Result<(Server, PathBuf)> {
    config::locate(path).map_err(|mistakes| unusable(path, &mistakes))
}

fn unusable(path: &Path, mistakes: &[Mistake]) -> anyhow::Error {
    mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
    failure(Exit::Configuration, format!("{} cannot be used", path.display()))
}

fn read_token(path: &Path) -> anyhow::Result<ApiToken> {
    use std::io::ErrorKind;
    ApiToken::read(path).map_err(|error| {
        let file = path.display();
        match error.kind() {
            ErrorKind::NotFound => {
                let message = format!("there is no token file {file}; the server writes it at its first start: hookfast serve");
                failure(Exit::Unreachable, message)
            }
            ErrorKind::PermissionDenied => {
                failure(Exit::Failed, format!("the token file {file} is its owner's only; run this as the server's user"))
            }
            _ => failure(Exit::Failed, format!("the token file {file} cannot be read: {error}")),
        }
    })
}

/// The error of a request that got no answer.
pub(super) fn unanswered(fault: &CallFault, advice: &str) -> anyhow::Error {
    match fault.kind {
        CallFaultKind::InvalidRequest => failure(Exit::Usage, &*fault.message),
        CallFaultKind::ResponseTooLarge => failure(Exit::Failed, &*fault.message),
        _ => failure(Exit::Unreachable, format!("{}; {advice}", fault.message)),
    }
}

/// The URL of a listener on this machine; one that listens everywhere is reached by loopback.
pub(super) fn local_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// A value as it stands in a query (RFC 3986 §2.3).
fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_parameter() {
        assert_eq!(encoded("orders/create&limit=1 ü"), "orders%2Fcreate%26limit%3D1%20%C3%BC");
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_loopback() {
        let url = |text: &str| local_url(text.parse().expect("an address"));
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("[::]:8080"), "http://[::1]:8080");
        assert_eq!(url("10.0.0.7:80"), "http://10.0.0.7:80");
    }
}
