//! `hookfast requests`: what arrived and did not become an event, and why.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::arguments::{Connection, Paging};
use super::client::{self, Client, Page};
use super::output::Output;
use super::table::Table;
use crate::domain::SourceName;

#[derive(Debug, Subcommand)]
pub(super) enum Requests {
    /// List refused requests, newest first
    #[command(after_help = "Examples:\n  hookfast requests list --source stripe\n  hookfast requests list --cause wrong_signature")]
    List(List),
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

#[derive(Deserialize)]
struct Request {
    id: String,
    source: Option<String>,
    at: String,
    cause: String,
    status: u16,
    detail: String,
}

pub(super) async fn run(command: Requests) -> anyhow::Result<()> {
    let Requests::List(List { source, cause, paging, connection }) = command;
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
    output.show(&document, |times| {
        let row = |request: Request| {
            let Request { id, source, at, cause, status, detail } = request;
            [id, times.write(&at), source.unwrap_or_default(), cause, status.to_string(), detail]
        };
        Table::new(["ID", "RECEIVED", "SOURCE", "CAUSE", "STATUS", "DETAIL"], data.into_iter().map(row)).to_string()
    })?;
    next_cursor.iter().for_each(|cursor| output.hint(&format!("there are more: add --cursor {cursor}")));
    Ok(())
}
