//! Bare axum that reads a body and answers 202, on the core that Hookfast would have.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;

use crate::cores::{Core, pinned};
use crate::load::{Body, Load, Pace, Requests, Tally, What};

/// The server, for as long as the process lives.
pub(crate) struct Axum {
    address: SocketAddr,
}

impl Axum {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || pinned(Core::Server, "axum", move || serve(listener, &ready)));
        is_ready.recv().context("axum did not start")?;
        Ok(Self { address })
    }

    /// Sends it requests with this body for so long. They are signed as for Hookfast, but all the same: nobody looks.
    pub(crate) fn load(&self, body: Body, connections: usize, time: Duration) -> anyhow::Result<Tally> {
        let mut request = Vec::new();
        Requests::new(body, &["stripe"]).write(&mut request);
        Load { to: self.address, connections, what: What::Same(request), pace: Pace::For(time) }.run()
    }
}

fn serve(listener: TcpListener, ready: &mpsc::Sender<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let echo = post(async |body: Bytes| (StatusCode::ACCEPTED, body.len().to_string()));
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready.send(())?;
        Ok(axum::serve(listener, Router::new().route("/in/{source}", echo)).await?)
    })
}
