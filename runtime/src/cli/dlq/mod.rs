//! `hookfast dlq`: jobs that were given up; looking at them, running them again, letting them go.

mod change;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::arguments::Connection;
use super::attempts::{self, Attempt};
use super::client::{self, Client};
use super::failure::{Exit, failure};
use super::output::{Output, count, plain};
use super::table::Table;
use super::time::Times;
use crate::domain::{EventId, Lineage, SourceName};

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// List dead letters, newest first
    #[command(after_help = "Example:\n  hookfast dlq list --source stripe")]
    List(List),
    /// Show a dead letter and the attempts that failed
    #[command(after_help = "Example:\n  hookfast dlq show evt_019e0f3c1c6a7c538c0e0b1d2f3a4b5c.stripe-crm")]
    Show(Show),
    /// Run dead letters again, with a new retry budget
    #[command(after_help = "Examples:
  hookfast dlq replay evt_019e0f3c1c6a7c538c0e0b1d2f3a4b5c
  hookfast dlq replay --source stripe
  hookfast dlq replay --all --yes")]
    Replay(change::Replay),
    /// Give dead letters up for good; their events stay
    #[command(after_help = "Example:\n  hookfast dlq discard --source stripe --reason \"test data\" --yes")]
    Discard(change::Discard),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// How many rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The event's id, or `EVENT.ROUTE` for one of its routes
    #[arg(value_parser = parse_id)]
    id: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<DeadLetter>,
    total: u64,
}

#[derive(Deserialize)]
struct DeadLetter {
    id: String,
    event: String,
    route: String,
    source: String,
    #[serde(rename = "type")]
    event_type: Option<String>,
    plugin: String,
    attempts: u32,
    cause: String,
    reason: String,
    died_at: String,
}

/// What is shown of the event of a dead letter.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    attempts: Vec<Attempt>,
}

pub(super) async fn run(command: DeadLetters) -> anyhow::Result<()> {
    match command {
        DeadLetters::List(arguments) => list(arguments).await,
        DeadLetters::Show(arguments) => show(arguments).await,
        DeadLetters::Replay(arguments) => change::replay(arguments).await,
        DeadLetters::Discard(arguments) => change::discard(arguments).await,
    }
}

async fn list(List { source, limit, connection }: List) -> anyhow::Result<()> {
    let query = [("source", source.map(|name| name.to_string())), ("limit", Some(limit.to_string()))];
    let document = Client::open(&connection)?.get("/dead-letters", &query).await?;
    let Listed { data, total } = client::read(&document)?;
    let shown = data.len() as u64;
    let output = Output::new(connection.json);
    output.show(&document, |times| {
        let row = |letter: DeadLetter| {
            let DeadLetter { id, event_type, attempts, cause, reason, died_at, source, .. } = letter;
            [id, times.write(&died_at), source, event_type.unwrap_or_default(), attempts.to_string(), cause, reason]
        };
        Table::new(["ID", "DIED", "SOURCE", "TYPE", "ATTEMPTS", "CAUSE", "REASON"], data.into_iter().map(row)).to_string()
    })?;
    match total {
        0 => output.hint("no dead letters"),
        _ if total > shown => output.hint(&format!("{shown} of {} shown; add --limit or --source", count(total, "dead letter"))),
        _ => output.hint(&format!("why: hookfast dlq show ID{flags}; again: hookfast dlq replay ID{flags}", flags = connection.flags())),
    }
    Ok(())
}

async fn show(Show { id, connection }: Show) -> anyhow::Result<()> {
    let client = Client::open(&connection)?;
    let letters = client.get("/dead-letters", &[("id", Some(id.clone()))]).await?;
    let Listed { data, .. } = client::read(&letters)?;
    let first = data.first().ok_or_else(|| failure(Exit::NotFound, format!("there is no dead letter {id}")))?;
    let event = client.get(&format!("/events/{}", first.event), &[]).await?;
    let Event { attempts } = client::read(&event)?;
    let document = json!({ "data": letters["data"], "event": event });
    let output = Output::new(connection.json);
    output.show(&document, |times| data.iter().map(|letter| letter.write(&attempts, times)).collect::<Vec<_>>().join("\n"))?;
    output.hint(&format!("run it again: hookfast dlq replay {id}{}", connection.flags()));
    Ok(())
}

impl DeadLetter {
    fn write(&self, attempts: &[Attempt], times: Times) -> String {
        let died = times.write(&self.died_at);
        let tried = self.attempts.to_string();
        let facts = [
            ("source", self.source.as_str()),
            ("type", self.event_type.as_deref().unwrap_or("-")),
            ("plugin", &self.plugin),
            ("attempts", &tried),
            ("died", &died),
            ("cause", &self.cause),
            ("reason", &self.reason),
        ];
        let facts = facts.map(|(name, value)| format!("  {name:12}{}\n", plain(value))).concat();
        let own = attempts.iter().filter(|attempt| attempt.route == self.route);
        format!("{}\n{facts}{}", self.id, attempts::write(own, times))
    }
}

fn parse_id(text: &str) -> Result<String, String> {
    let is_id = text.parse::<EventId>().is_ok() || text.parse::<Lineage>().is_ok();
    is_id.then(|| text.to_owned()).ok_or_else(|| "an id is `evt_` and 32 hexadecimal digits, with or without `.ROUTE`".into())
}
