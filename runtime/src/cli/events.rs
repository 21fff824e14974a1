//! `hookfast events`: what was accepted, and what became of it.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use super::arguments::{Connection, Paging};
use super::attempts::{self, Attempt};
use super::client::{self, Client, Page};
use super::jobs::{self, Job};
use super::output::{Output, plain, plain_lines};
use super::table::Table;
use super::time::Times;
use crate::domain::{EventId, SourceName};

/// Headers that may hold somebody's credentials, whatever the source's provider takes for a proof.
const CREDENTIALS: &[&str] = &["authorization", "cookie", "proxy-authorization"];

#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// List events, newest first
    #[command(after_help = "Examples:\n  hookfast events list --source stripe --type invoice.paid\n  hookfast events list --json")]
    List(List),
    /// Show one event: its jobs with their steps and deliveries, attempts, calls and log lines
    #[command(after_help = "Example:\n  hookfast events show evt_019e0f3c1c6a7c538c0e0b1d2f3a4b5c --payload")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The event's id; that of one of its jobs, as `hookfast dlq list` has it, does as well
    #[arg(value_parser = parse_id)]
    id: EventId,
    /// Show headers and body as well
    #[arg(long)]
    payload: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    source: String,
    source_class: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    dedupe_key: Option<String>,
    ordering_key: Option<String>,
    received_at: String,
    body_bytes: u64,
    status: String,
    parent: Option<Parent>,
    #[serde(default)]
    jobs: Vec<Job>,
    #[serde(default)]
    emitted: Vec<String>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Parent {
    lineage: String,
    depth: u32,
}

#[derive(Deserialize)]
struct Payload {
    headers: Vec<(String, String)>,
    text: Option<String>,
    base64: Option<String>,
}

pub(super) async fn run(command: Events) -> anyhow::Result<()> {
    match command {
        Events::List(arguments) => list(arguments).await,
        Events::Show(arguments) => show(arguments).await,
    }
}

async fn list(arguments: List) -> anyhow::Result<()> {
    let List { source, event_type, paging, connection } = arguments;
    let query = [
        ("source", source.map(|name| name.to_string())),
        ("type", event_type),
        ("limit", Some(paging.limit.to_string())),
        ("cursor", paging.cursor),
    ];
    let document = Client::open(&connection)?.get("/events", &query).await?;
    let Page { data, next_cursor } = client::read::<Page<Event>>(&document)?;
    let output = Output::new(connection.json);
    if data.is_empty() {
        output.hint("no events");
    }
    output.show(&document, |times| {
        let row = |event: Event| {
            let Event { id, source, event_type, received_at, body_bytes, status, .. } = event;
            [id, times.write(&received_at), source, event_type.unwrap_or_default(), body_bytes.to_string(), status]
        };
        Table::new(["ID", "RECEIVED", "SOURCE", "TYPE", "BYTES", "STATUS"], data.into_iter().map(row)).to_string()
    })?;
    next_cursor.iter().for_each(|cursor| output.hint(&format!("there are more: add --cursor {cursor}")));
    Ok(())
}

async fn show(arguments: Show) -> anyhow::Result<()> {
    let Show { id, payload, connection } = arguments;
    let query = [("payload", payload.then(|| "true".to_owned()))];
    let mut document = Client::open(&connection)?.get(&format!("/events/{id}"), &query).await?;
    hide_credentials(&mut document);
    let event = client::read::<Event>(&document)?;
    Output::new(connection.json).show(&document, |times| event.write(times))
}

/// Replaces credentials in the headers that are shown.
fn hide_credentials(event: &mut Value) {
    let headers = event.pointer_mut("/payload/headers").and_then(Value::as_array_mut);
    for header in headers.into_iter().flatten() {
        if header[0].as_str().is_some_and(|name| CREDENTIALS.contains(&name)) {
            header[1] = "[hidden]".into();
        }
    }
}

fn parse_id(text: &str) -> Result<EventId, String> {
    let event = text.split_once('.').map_or(text, |(event, _)| event);
    event.parse().map_err(|_| "an id is `evt_` and 32 hexadecimal digits".into())
}

impl Event {
    fn write(&self, times: Times) -> String {
        let received = times.write(&self.received_at);
        let (event_type, key) = (self.event_type.as_deref().unwrap_or("-"), self.dedupe_key.as_deref().unwrap_or("-"));
        let bytes = self.body_bytes.to_string();
        let class = self.source_class.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
        let facts = [
            ("source", &*format!("{}{class}", self.source)),
            ("type", event_type),
            ("status", &self.status),
            ("received", &received),
            ("dedupe key", key),
            ("ordering key", self.ordering_key.as_deref().unwrap_or("-")),
            ("body bytes", &bytes),
        ];
        let parent = self.parent.as_ref().map(|Parent { lineage, depth }| ("emitted by", format!("{lineage}, at depth {depth}")));
        let emitted = self.emitted.iter().map(|id| ("emitted", id.clone()));
        let facts = facts.map(|(name, value)| (name, value.to_owned())).into_iter().chain(parent).chain(emitted);
        let lines = facts.map(|(name, value)| format!("  {name:14}{}\n", plain(&value))).collect::<String>();
        let text = format!("{}\n{lines}", self.id);
        text + &jobs::write(&self.jobs, times) + &attempts::write(self.attempts.iter(), times) + &self.write_payload()
    }

    fn write_payload(&self) -> String {
        let Some(Payload { headers, text, base64 }) = &self.payload else { return String::new() };
        let headers = headers.iter().map(|(name, value)| format!("  {}: {}\n", plain(name), plain(value))).collect::<String>();
        let (kind, body) = match (text, base64) {
            (Some(text), _) => ("BODY", plain_lines(text)),
            (None, base64) => ("BODY (base64)", base64.clone().unwrap_or_default()),
        };
        format!("\nHEADERS\n{headers}\n{kind}\n{}\n", body.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_named_by_its_id_or_by_that_of_one_of_its_jobs() {
        let id = "evt_019e0f3c1c6a7c538c0e0b1d2f3a4b5c";
        let named = |text: &str| parse_id(text).map(|id| id.to_string());
        assert_eq!((named(id), named(&format!("{id}.crm:1"))), (Ok(id.into()), Ok(id.into())));
        assert!(named("crm").is_err());
    }

    #[test]
    fn credentials_in_headers_are_not_shown() {
        let mut event = json!({ "payload": { "headers": [["cookie", "session=1"], ["stripe-signature", "t=1"]], "text": "{}" } });
        hide_credentials(&mut event);
        assert_eq!(event["payload"]["headers"], json!([["cookie", "[hidden]"], ["stripe-signature", "t=1"]]));
    }
}
