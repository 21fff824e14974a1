//! A scripted upstream: a real HTTP server that answers as it is told and keeps what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wait::within;

/// How the upstream meets one call.
#[derive(Clone)]
pub enum Reply {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status and a `Retry-After`.
    RetryAfter(u16, &'static str),
    /// Answers with this status and body.
    Body(u16, &'static str),
    /// Never answers.
    Silence,
    /// Breaks the connection.
    Break,
    /// Answers 200 once the gate is open.
    Held(Gate),
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self::Status(status)
    }
}

/// Something that a call waits for until a test opens it.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets every call through, now and from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        // The sender lives as long as this gate does.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What the upstream was asked.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method and path, as in `POST /crm/invoices`.
    pub line: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Call {
    /// A header's text.
    ///
    /// # Panics
    /// If it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// Decides on the spot how a call is met; `None` leaves it to the script.
type Watcher = Box<dyn Fn(&Call) -> Option<Reply> + Send + Sync>;

/// The running upstream. Its first path segment is the name under which it was called.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    script: Arc<Script>,
}

struct Script {
    replies: Mutex<VecDeque<Reply>>,
    calls: watch::Sender<Vec<Call>>,
    watcher: Watcher,
}

impl Upstream {
    /// Answers 200 until it is told otherwise.
    pub async fn start() -> Self {
        Self::watched(|_| None).await
    }

    /// Shows each call to `watcher` first, which may decide how it is met.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn watched(watcher: impl Fn(&Call) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let script = Arc::new(Script { replies: Mutex::default(), calls: watch::Sender::default(), watcher: Box::new(watcher) });
        tokio::spawn(accept(listener, Arc::clone(&script)));
        Self { address, script }
    }

    /// Meets the next calls so, in this order, and then with 200 again.
    pub fn script<R: Into<Reply>>(&self, replies: impl IntoIterator<Item = R>) {
        self.script.replies().extend(replies.into_iter().map(Into::into));
    }

    /// What it was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.script.calls.borrow().clone()
    }

    /// Waits until it was asked so often.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn called(&self, times: usize) {
        let mut calls = self.script.calls.subscribe();
        within(&format!("{times} calls"), calls.wait_for(|calls| calls.len() >= times)).await.expect("the script lives");
    }

    /// Each call as its line and idempotency key.
    pub fn keys(&self) -> Vec<String> {
        self.calls().iter().map(|call| format!("{} {}", call.line, call.header("idempotency-key"))).collect()
    }
}

impl Script {
    fn replies(&self) -> MutexGuard<'_, VecDeque<Reply>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, call: Call) -> Reply {
        let reply = (self.watcher)(&call).or_else(|| self.replies().pop_front()).unwrap_or(Reply::Status(200));
        self.calls.send_modify(|calls| calls.push(call));
        reply
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&script)));
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>) {
    let service = service_fn(|request| answer(request, Arc::clone(&script)));
    // A caller that goes away is part of many stories.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The error ends the connection without an answer.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("broken as scripted")
    }
}

impl std::error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn answer(request: Request<Incoming>, script: Arc<Script>) -> Result<Response<Full<Bytes>>, Broken> {
    let (head, body) = request.into_parts();
    let line = format!("{} {}", head.method, head.uri.path());
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let mut response = Response::builder();
    let (status, text) = match script.reply(Call { line, headers: head.headers, body }) {
        Reply::Status(status) => (status, ""),
        Reply::Body(status, text) => (status, text),
        Reply::RetryAfter(status, after) => {
            response = response.header("retry-after", after);
            (status, "")
        }
        Reply::Silence => std::future::pending().await,
        Reply::Break => return Err(Broken),
        Reply::Held(gate) => {
            gate.passed().await;
            (200, "")
        }
    };
    Ok(response.status(status).body(Full::from(text)).expect("a response"))
}
