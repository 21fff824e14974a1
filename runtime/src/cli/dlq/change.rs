//! Replaying and discarding dead letters. What reaches further than one event is confirmed first: by an answer at the prompt,
//! or by `--yes` where nobody could give one.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Connection, Listed, parse_id};
use crate::cli::client::{self, Client};
use crate::cli::failure::{Exit, failure};
use crate::cli::output::{Output, count};
use crate::domain::SourceName;

#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    selection: Selection,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Discard {
    #[command(flatten)]
    selection: Selection,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Which dead letters are meant: exactly one of the three is given.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// The event's id, or `EVENT.ROUTE` for one of its routes
    #[arg(value_parser = parse_id)]
    id: Option<String>,
    /// All of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// All there are
    #[arg(long)]
    all: bool,
}

/// What the server did.
#[derive(Deserialize)]
struct Moved {
    count: u64,
    ids: Vec<String>,
}

pub(super) async fn replay(Replay { selection, yes, connection }: Replay) -> anyhow::Result<()> {
    let client = Client::open(&connection)?;
    selection.confirm("replay", yes, &client).await?;
    let document = client.post("/dead-letters/replay", &selection.document()).await?;
    show(&document, "replayed", &connection)?;
    if let Some(event) = selection.id.as_deref().and_then(|id| id.split('.').next()) {
        Output::new(connection.json).hint(&format!("follow it: hookfast events show {event}{}", connection.flags()));
    }
    Ok(())
}

pub(super) async fn discard(Discard { selection, reason, yes, connection }: Discard) -> anyhow::Result<()> {
    let client = Client::open(&connection)?;
    selection.confirm("discard", yes, &client).await?;
    let mut document = selection.document();
    if let Some(reason) = reason {
        document["reason"] = reason.into();
    }
    let document = client.post("/dead-letters/discard", &document).await?;
    show(&document, "discarded", &connection)
}

impl Selection {
    /// As the API takes it.
    fn document(&self) -> Value {
        match (&self.id, &self.source) {
            (Some(id), _) => json!({ "id": id }),
            (None, Some(source)) => json!({ "source": source }),
            (None, None) => json!({ "all": self.all }),
        }
    }

    /// Returns if the change may be made.
    async fn confirm(&self, verb: &str, yes: bool, client: &Client) -> anyhow::Result<()> {
        if yes || self.id.is_some() {
            return Ok(());
        }
        let query = [("source", self.source.as_ref().map(ToString::to_string)), ("limit", Some("1".into()))];
        let Listed { total, .. } = client::read(&client.get("/dead-letters", &query).await?)?;
        if total == 0 {
            return Err(failure(Exit::NotFound, "no dead letter matches"));
        }
        let of = self.source.as_ref().map(|source| format!(" of source {source}")).unwrap_or_default();
        let letters = format!("{}{of}", count(total, "dead letter"));
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(failure(Exit::AnswerNeeded, format!("this would {verb} {letters}; confirm it with --yes")));
        }
        if asked(&format!("{verb} {letters}?"))? { Ok(()) } else { Err(failure(Exit::Failed, "nothing was changed")) }
    }
}

fn asked(question: &str) -> anyhow::Result<bool> {
    let mut answer = String::new();
    let mut stderr = io::stderr().lock();
    let heard = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).and_then(|()| io::stdin().lock().read_line(&mut answer));
    heard.context("the terminal gives no answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn show(document: &Value, done: &str, connection: &Connection) -> anyhow::Result<()> {
    let Moved { count: number, ids } = client::read(document)?;
    let output = Output::new(connection.json);
    output.show(document, |_| ids.iter().map(|id| format!("{id}\n")).collect())?;
    output.hint(&format!("{} {done}", count(number, "dead letter")));
    Ok(())
}
