//! `hookfast health`: whether a running server answers, for whoever starts and stops it. Needs no shell, no token and no secret, so
//! that it works inside a container that holds nothing else.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::arguments::CONFIG;
use super::client::{local_url, unanswered};
use super::failure::{Exit, failure};
use super::output::{plain, print};
use crate::config;
use crate::domain::Headers;
use crate::upstream::fetch;

/// Whoever asks does so every few seconds; a server that takes longer than this is not well.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 if the server answers 200, else with 3.\n\n\
    Examples:\n  hookfast health\n  hookfast health --live --config /etc/hookfast/hookfast.toml\n  hookfast health --url http://127.0.0.1:8081")]
pub(super) struct Health {
    /// The server's configuration file, which says where the admin API is
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The admin API [default: the configuration's admin address]
    #[arg(long)]
    url: Option<String>,
    /// Ask only whether the process answers (/livez), not whether it takes webhooks (/readyz)
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(arguments: Health) -> anyhow::Result<()> {
    let Health { config, url, live } = arguments;
    let base = url.or_else(|| config::admin_address(&config).map(local_url)).ok_or_else(|| {
        failure(Exit::Configuration, format!("{} cannot be read; give the file with --config, or the address with --url", config.display()))
    })?;
    let base = base.trim_end_matches('/');
    let (path, state) = if live { ("livez", "alive") } else { ("readyz", "ready") };
    let answer = fetch("GET", &format!("{base}/{path}"), Headers::default(), Bytes::new(), TIMEOUT).await;
    let answer = answer.map_err(|fault| unanswered(&fault, "is the server running? hookfast serve"))?;
    if answer.status == 200 {
        return print(&format!("{base} is {state}\n"));
    }
    let why = plain(String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default());
    Err(failure(Exit::Unreachable, format!("{base} is not {state}: it answered {} {why}", answer.status)))
}
