//! `hookfast migrate`: brings the database's tables up to date, for whoever does not let `serve` do it.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::arguments::CONFIG;
use super::client::settings;
use crate::store::Store;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hookfast migrate --config /etc/hookfast/hookfast.toml")]
pub(super) struct Migrate {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

pub(super) async fn run(arguments: Migrate) -> anyhow::Result<()> {
    let database = settings(&arguments.config)?.storage.database;
    Store::migrate(&database).await.with_context(|| format!("the database {database} cannot be brought up to date"))?;
    eprintln!("the tables of {database} are up to date");
    Ok(())
}
