//! The smallest upstream there can be: 200 to everything, at once. `GET /done` tells how many requests with a body there were.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9000")]
    address: SocketAddr,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(arguments.address))
}

async fn serve(address: SocketAddr) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(address).await?;
    let done = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is the caller's matter.
        tokio::spawn(answer(stream, Arc::clone(&done)));
    }
}

async fn answer(mut stream: TcpStream, done: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let Some((head, length)) = head(&buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        if buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        }
        let body = if buffer.starts_with(b"GET ") {
            done.load(Ordering::Relaxed).to_string()
        } else {
            done.fetch_add(1, Ordering::Relaxed);
            "{}".to_owned()
        };
        buffer.drain(..head + length);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// The lengths of a request's head and body, once its head is there.
fn head(buffer: &[u8]) -> Option<(usize, usize)> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|length| length.trim().parse().ok());
    Some((end, length.unwrap_or(0)))
}
