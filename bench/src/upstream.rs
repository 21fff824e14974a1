//! The smallest upstreams there can be, on the load generator's core: one answers 200 to everything, at once, and counts; the other
//! takes requests and never answers, so that whoever calls it waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cores::{Core, pinned};
use crate::patience::wait_until;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Both, for as long as the process lives.
pub(crate) struct Upstreams {
    pub(crate) answering: SocketAddr,
    pub(crate) silent: SocketAddr,
    answered: Arc<AtomicU64>,
    held: Arc<AtomicU64>,
}

impl Upstreams {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (answering, silent) = (std::net::TcpListener::bind("127.0.0.1:0")?, std::net::TcpListener::bind("127.0.0.1:0")?);
        let (answered, held) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let upstreams = Self { answering: answering.local_addr()?, silent: silent.local_addr()?, answered, held };
        let (answered, held) = (Arc::clone(&upstreams.answered), Arc::clone(&upstreams.held));
        std::thread::spawn(move || {
            pinned(Core::Load, "upstream", move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async { tokio::try_join!(serve(answering, answered), hold(silent, held)).map(drop) })
            })
        });
        Ok(upstreams)
    }

    /// Requests that were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Connections of callers that wait for ever, so far.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Waits until more requests than `before` have been answered.
    pub(crate) fn until_more_than(&self, before: u64, patience: Duration) -> anyhow::Result<()> {
        if !wait_until(patience, || Ok(self.answered() > before))? {
            bail!("no call came within {patience:?}");
        }
        Ok(())
    }
}

async fn serve(listener: std::net::TcpListener, answered: Arc<AtomicU64>) -> anyhow::Result<()> {
    let listener = listen(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is the caller's matter.
        tokio::spawn(answer(stream, Arc::clone(&answered)));
    }
}

async fn hold(listener: std::net::TcpListener, held: Arc<AtomicU64>) -> anyhow::Result<()> {
    let listener = listen(listener)?;
    let mut connections = Vec::new();
    loop {
        connections.push(listener.accept().await?);
        held.fetch_add(1, Ordering::Relaxed);
    }
}

fn listen(listener: std::net::TcpListener) -> anyhow::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

async fn answer(mut stream: TcpStream, answered: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        match length(&buffer) {
            Some(length) if buffer.len() >= length => {
                buffer.drain(..length);
                answered.fetch_add(1, Ordering::Relaxed);
                stream.write_all(ANSWER).await?;
            }
            _ if stream.read_buf(&mut buffer).await? == 0 => return Ok(()),
            _ => {}
        }
    }
}

/// The length of a request, once its head is there.
fn length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|length| length.trim().parse().ok());
    Some(end + length.unwrap_or(0))
}
