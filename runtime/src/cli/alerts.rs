//! `hookfast alerts list`: what fires now.

use clap::Subcommand;
use serde::Deserialize;

use super::arguments::Connection;
use super::client::{self, Client};
use super::output::{Output, count};
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(super) enum Alerts {
    /// What fires on the node that is asked, and since when
    #[command(after_help = "Example:\n  hookfast alerts list")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Deserialize)]
struct Firing {
    data: Vec<Alert>,
    configured: bool,
    to: Vec<String>,
}

#[derive(Deserialize)]
struct Alert {
    rule: String,
    subject: String,
    summary: String,
    since: String,
    told_at: Option<String>,
}

pub(super) async fn run(Alerts::List { connection }: Alerts) -> anyhow::Result<()> {
    let document = Client::open(&connection)?.get("/alerts", &[]).await?;
    let Firing { data, configured, to } = client::read(&document)?;
    let output = Output::new(connection.json);
    let hint = match (configured, to.is_empty()) {
        (false, _) => "nothing is looked at: the configuration has no [alerts]".to_owned(),
        (true, true) => format!("{}; nobody is told: alerts.to is empty", firing(data.len())),
        (true, false) => format!("{}; told to {}", firing(data.len()), to.join(", ")),
    };
    output.show(&document, |times| {
        let told = |at: Option<String>| at.map(|at| times.write(&at)).unwrap_or_default();
        let row = |alert: Alert| [alert.rule, alert.subject, times.write(&alert.since), told(alert.told_at), alert.summary];
        Table::new(["RULE", "SUBJECT", "SINCE", "TOLD", "SUMMARY"], data.into_iter().map(row)).to_string()
    })?;
    output.hint(&hint);
    Ok(())
}

fn firing(alerts: usize) -> String {
    if alerts == 0 { "no alert fires".into() } else { format!("{} firing", count(alerts as u64, "alert")) }
}
