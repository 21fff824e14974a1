//! A scripted HTTP/1.1 server on raw TCP: it shows what arrived byte for byte, and can misbehave as no real server would.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does once it has read a request.
pub(in crate::upstream) enum Reply {
    /// Writes and stays for the next request.
    Keep(String),
    /// Writes and closes.
    Close(String),
    /// Closes so that the client gets a TCP reset.
    Reset,
    /// Writes and then says nothing more, without closing.
    Silence(String),
    /// Writes, and then a byte every 20 ms for ever.
    Drip(String),
}

/// A request as it arrived.
pub(in crate::upstream) struct Seen {
    /// Request line and headers.
    pub(in crate::upstream) head: String,
    /// The body.
    pub(in crate::upstream) body: String,
    /// On which connection, from 0.
    pub(in crate::upstream) connection: usize,
}

impl Seen {
    /// The value of a header, where it came exactly once.
    pub(in crate::upstream) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
}

pub(in crate::upstream) struct Server {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Server {
    /// Gives these replies in order, then 200 to whatever comes.
    pub(in crate::upstream) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let script = Arc::new(Mutex::new(Script { replies: replies.into_iter().collect(), seen: Vec::new() }));
        tokio::spawn(accept(listener, Arc::clone(&script)));
        Self { address, script }
    }

    pub(in crate::upstream) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(in crate::upstream) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests since the last look.
    pub(in crate::upstream) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.script.lock().expect("no panic").seen)
    }
}

/// A complete answer that leaves the connection open.
pub(in crate::upstream) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

async fn accept(listener: TcpListener, script: Arc<Mutex<Script>>) {
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        tokio::spawn(serve(stream, connection, Arc::clone(&script)));
    }
}

async fn serve(mut stream: TcpStream, connection: usize, script: Arc<Mutex<Script>>) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let reply = {
            let mut script = script.lock().expect("no panic");
            script.seen.push(Seen { head, body, connection });
            script.replies.pop_front()
        };
        match reply.unwrap_or_else(|| Reply::Keep(answer("200 OK", "", "ok"))) {
            Reply::Keep(text) => stream.write_all(text.as_bytes()).await.expect("written"),
            Reply::Close(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Reply::Reset => return stream.set_zero_linger().expect("a socket option"),
            Reply::Silence(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return std::future::pending().await;
            }
            Reply::Drip(text) => return drip(stream, text).await,
        }
    }
}

async fn drip(mut stream: TcpStream, text: String) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut next = text.into_bytes();
    while stream.write_all(&next).await.is_ok() {
        next = vec![b'.'];
        tick.tick().await;
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let seen = Seen { head, body: String::new(), connection: 0 };
            let length: usize = seen.header("content-length").map_or(0, |length| length.parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                return Some((seen.head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
