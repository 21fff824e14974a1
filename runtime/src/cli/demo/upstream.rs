//! The scripted upstream: plays the CRM, the chat room and whatever else the plugins call. Answers as it is told, and keeps a
//! record of what really arrived.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A request that arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// Method and path, as in `POST /crm/invoices`.
    pub(super) line: String,
    /// Its `Idempotency-Key`.
    pub(super) key: Option<String>,
    /// Its body, as text.
    pub(super) body: String,
    /// What it was answered; `None` while it waits, and for ever where the caller went away.
    pub(super) status: Option<u16>,
}

/// The listener and its script.
pub(super) struct Upstream {
    /// Where it listens.
    pub(super) address: SocketAddr,
    script: Arc<Script>,
    accepting: AbortHandle,
}

struct Script {
    status: AtomicU16,
    latency_ms: AtomicU64,
    received: Mutex<Vec<Received>>,
}

impl Upstream {
    /// Listens on a free port and answers 200 at once.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the scripted upstream cannot listen")?;
        let address = listener.local_addr()?;
        let script = Arc::new(Script { status: AtomicU16::new(200), latency_ms: AtomicU64::new(0), received: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&script))).abort_handle();
        Ok(Self { address, script, accepting })
    }

    /// From now on every request is answered `status`.
    pub(super) fn answer(&self, status: u16) {
        self.script.status.store(status, Ordering::Relaxed);
    }

    /// From now on every answer takes this long.
    pub(super) fn answer_after(&self, latency: Duration) {
        self.script.latency_ms.store(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What arrived under an idempotency key, in order.
    pub(super) fn under(&self, key: &str) -> Vec<Received> {
        self.script.received().iter().filter(|request| request.key.as_deref() == Some(key)).cloned().collect()
    }

    /// What has arrived, in order; the first `skip` left out.
    pub(super) fn received(&self, skip: usize) -> Vec<Received> {
        self.script.received().iter().skip(skip).cloned().collect()
    }

    /// The idempotency keys of the requests that were answered.
    pub(super) fn answered(&self) -> BTreeSet<String> {
        self.script.received().iter().filter(|request| request.status.is_some()).filter_map(|request| request.key.clone()).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Script {
    fn received(&self) -> MutexGuard<'_, Vec<Received>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let place = {
            let mut received = self.received();
            received.push(Received { line, key, body, status: None });
            received.len() - 1
        };
        tokio::time::sleep(Duration::from_millis(self.latency_ms.load(Ordering::Relaxed))).await;
        let status = self.status.load(Ordering::Relaxed);
        self.received()[place].status = Some(status);
        let mut response = Response::new(Full::from("{}"));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        response
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    while let Ok((stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            let service = service_fn(|request| async { Ok::<_, Infallible>(script.serve(request).await) });
            // A caller that went away, such as a server that was killed, is part of the story.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
