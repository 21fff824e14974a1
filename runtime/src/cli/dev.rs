//! `hookfast dev`: a server for whoever writes plugins.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::arguments::CONFIG;
use crate::app::{self, Role, ServeOptions};
use crate::domain::UpstreamName;
use crate::upstream::Faults;

/// Serves, with faults on purpose. A plugin that `hookfast plugin build` writes into the plugin directory goes live at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hookfast dev --faults crm:reset=first:2\n  \
    hookfast dev --faults crm:server_error=0.2,latency=0.3@800ms --faults mail:hang=0.05 --seed 7\n\n\
    Kinds: refuse, reset, latency, hang, too_many, server_error, truncate, html, drip; each is a share, `first:N` or `always`, and for \
    some a value behind @. The same seed gives the same faults")]
pub(super) struct Dev {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// What goes wrong at an upstream, as in `crm:refuse=0.1,too_many=first:3@2s`; may be repeated for others
    #[arg(long, value_name = "UPSTREAM:KIND=WHEN,…")]
    faults: Vec<String>,
    /// What draws which calls go wrong
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What is logged
    #[arg(long, default_value = "info,hookfast=debug")]
    pub(super) log: String,
}

pub(super) fn run(Dev { config, faults, seed, log: _ }: Dev) -> anyhow::Result<ExitCode> {
    let faults: Result<Vec<(UpstreamName, Faults)>, String> = faults.iter().map(|text| Faults::parse(text, seed)).collect();
    let faults = match faults {
        Ok(faults) => faults,
        Err(reason) => {
            eprintln!("error: --faults: {reason}");
            return Ok(ExitCode::from(2));
        }
    };
    for (upstream, faults) in &faults {
        eprintln!("faults on purpose at {upstream}: {faults}");
    }
    app::serve(ServeOptions { config, role: Role::All, faults })
}
