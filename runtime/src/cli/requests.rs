//! `hookfast requests`: what arrived and did not become an event, why, and what to do next.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::arguments::{Connection, Paging};
use super::client::{self, Client, Page};
use super::output::{Output, plain};
use super::table::Table;
use super::time::Times;
use crate::domain::{RequestId, SourceName};

#[derive(Debug, Subcommand)]
pub(super) enum Requests {
    /// List refused requests, newest first
    #[command(after_help = "Examples:\n  hookfast requests list --source stripe\n  hookfast requests list --cause wrong_signature")]
    List(List),
    /// Show one refused request: why it was refused, what was found out about it, and what to do next
    #[command(after_help = "Example:\n  hookfast requests show req_019e0f3c1c6a7c538c0e0b1d2f3a4b5c")]
    Show(Show),
    /// Judge again what a source with `on_refusal = "quarantine"` has refused and kept, and admit what holds now
    #[command(after_help = "Example:\n  hookfast requests reverify --source stripe")]
    Reverify(Reverify),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only with this cause, such as wrong_signature
    #[arg(long)]
    cause: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The request's id
    id: RequestId,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Reverify {
    /// The source
    #[arg(long)]
    source: SourceName,
    #[command(flatten)]
    connection: Connection,
}

/// What the server did.
#[derive(Deserialize)]
struct Reverified {
    admitted: u64,
    duplicates: u64,
    handshakes: u64,
    refused: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Request {
    id: String,
    source: Option<String>,
    at: String,
    cause: String,
    status: u16,
    detail: String,
    body_bytes: u64,
    skew_ms: Option<i64>,
    diagnosis: Option<String>,
    finding: Option<String>,
    advice: Option<String>,
    headers: Option<Vec<(String, String)>>,
}

pub(super) async fn run(command: Requests) -> anyhow::Result<()> {
    match command {
        Requests::List(arguments) => list(arguments).await,
        Requests::Show(arguments) => show(arguments).await,
        Requests::Reverify(arguments) => reverify(arguments).await,
    }
}

async fn list(List { source, cause, paging, connection }: List) -> anyhow::Result<()> {
    let client = Client::open(&connection)?;
    let query = [
        ("source", source.map(|name| name.to_string())),
        ("cause", cause),
        ("limit", Some(paging.limit.to_string())),
        ("cursor", paging.cursor),
    ];
    let document = client.get("/requests", &query).await?;
    let Page { data, next_cursor } = client::read::<Page<Request>>(&document)?;
    let output = Output::new(connection.json);
    if data.is_empty() {
        output.hint("no refused requests");
    }
    let explained = data.iter().find(|request| request.diagnosis.is_some()).map(|request| request.id.clone());
    output.show(&document, |times| {
        let row = |request: Request| {
            let Request { id, source, at, cause, status, detail, .. } = request;
            [id, times.write(&at), source.unwrap_or_default(), cause, status.to_string(), detail]
        };
        Table::new(["ID", "RECEIVED", "SOURCE", "CAUSE", "STATUS", "DETAIL"], data.into_iter().map(row)).to_string()
    })?;
    explained.iter().for_each(|id| output.hint(&format!("find out more: hookfast requests show {id}{}", connection.flags())));
    next_cursor.iter().for_each(|cursor| output.hint(&format!("there are more: add --cursor {cursor}")));
    Ok(())
}

async fn show(Show { id, connection }: Show) -> anyhow::Result<()> {
    let document = Client::open(&connection)?.get(&format!("/requests/{id}"), &[]).await?;
    let request: Request = client::read(&document)?;
    Output::new(connection.json).show(&document, |times| request.write(times))
}

async fn reverify(Reverify { source, connection }: Reverify) -> anyhow::Result<()> {
    let document = Client::open(&connection)?.post(&format!("/sources/{source}/reverify"), &json!({})).await?;
    let Reverified { admitted, duplicates, handshakes, refused } = client::read(&document)?;
    let output = Output::new(connection.json);
    output.show(&document, |_| {
        let done = [("admitted", admitted), ("duplicates", duplicates), ("handshakes", handshakes)];
        let done = done.map(|(what, count)| [what.to_owned(), String::new(), count.to_string()]);
        let refused = refused.iter().map(|(cause, count)| ["refused".into(), cause.clone(), count.to_string()]);
        Table::new(["RESULT", "CAUSE", "COUNT"], done.into_iter().chain(refused)).to_string()
    })?;
    if !refused.is_empty() {
        output
            .hint(&format!("what is refused stays in quarantine; see why: hookfast requests list --source {source}{}", connection.flags()));
    }
    Ok(())
}

impl Request {
    fn write(&self, times: Times) -> String {
        let skew = self.skew_ms.map(written_skew);
        let facts = [
            ("source", Some(self.source.clone().unwrap_or_else(|| "-".into()))),
            ("received", Some(times.write(&self.at))),
            ("status", Some(self.status.to_string())),
            ("body bytes", Some(self.body_bytes.to_string())),
            ("cause", Some(format!("{}: {}", self.cause, self.detail))),
            ("skew", skew),
            ("diagnosis", self.diagnosis.as_ref().map(|code| format!("{code}: {}", self.finding.as_deref().unwrap_or_default()))),
            ("next", self.advice.clone()),
        ];
        let mut text = format!("{}\n", self.id);
        for (name, value) in facts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            text.push_str(&format!("  {name:14}{}\n", plain(&value)));
        }
        let Some(headers) = &self.headers else { return text };
        let headers = headers.iter().map(|(name, value)| format!("  {}: {}\n", plain(name), plain(value)));
        text + "\nHEADERS\n" + &headers.collect::<String>()
    }
}

/// `301.000 s late`, `6.000 s ahead`.
fn written_skew(millis: i64) -> String {
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    format!("{seconds}.{rest:03} s {}", if millis < 0 { "ahead" } else { "late" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_with_its_cause_its_diagnosis_and_what_to_do_next() {
        let request = json!({
            "id": "req_1", "source": "shop", "at": "2026-01-01T00:00:00.000Z", "cause": "timestamp_too_old", "status": 401,
            "detail": "too old", "body_bytes": 12, "skew_ms": 301_000, "diagnosis": "sent_late", "finding": "it was late",
            "advice": "be quicker", "headers": [["x-evil", "a\u{1b}[2Jb"]],
        });
        let text = serde_json::from_value::<Request>(request).expect("a request").write(Times::Absolute);
        for part in ["cause         timestamp_too_old: too old\n", "skew          301.000 s late\n", "next          be quicker\n"] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(text.contains("diagnosis     sent_late: it was late\n") && text.ends_with("x-evil: a [2Jb\n"), "{text}");
        assert_eq!(written_skew(-6050), "6.050 s ahead");
    }
}
