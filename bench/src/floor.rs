//! The floor of a machine: bare axum that reads a body and answers. Whatever Hookfast does is measured against it, in the same run.

use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use clap::Args;
use tokio::net::TcpListener;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9001")]
    address: SocketAddr,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = Router::new().route("/hook", post(async |body: Bytes| body.len().to_string()));
        axum::serve(TcpListener::bind(arguments.address).await?, router).await?;
        Ok(ExitCode::SUCCESS)
    })
}
