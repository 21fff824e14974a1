//! A plain server that keeps the promise on SQLite: axum, an HMAC, the event's id, and one row, committed in a group and synced before the
//! 202. It has no jobs, no dedupe keys, no other provider, no limits and no metrics: what Hookfast takes beyond it, it takes for those.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hookfast_tests::directory::Directory;
use ring::hmac::{Context, HMAC_SHA256, Key};
use rusqlite::{Connection, params};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::sqlite::open;
use crate::cores::{Core, pinned};
use crate::load::{Body, Load, Pace, Requests, SECRET, Tally, What};

/// A commit begins when so many wait, or so long after the one before: as Hookfast's do in a rush.
const GROUP: usize = 128;
const SPACING: Duration = Duration::from_millis(8);
/// The log is written back, once everybody has been answered, when it has so many bytes of bodies.
const LOG_BYTES: usize = 8 << 20;

/// The server, for as long as the process lives.
pub(crate) struct Plain {
    address: SocketAddr,
    _directory: Directory,
}

impl Plain {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let directory = Directory::new();
        let connection = open(&directory.path().join("plain.db"))?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection
            .execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL)", [])?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (ready, is_ready) = mpsc::channel();
        let inbox = Arc::new(Inbox::default());
        let writers = Arc::clone(&inbox);
        std::thread::spawn(move || write(connection, &writers));
        std::thread::spawn(move || pinned(Core::Server, "plain", move || serve(listener, inbox, &ready)));
        is_ready.recv().context("the plain server did not start")?;
        Ok(Self { address, _directory: directory })
    }

    /// Sends it requests with this body for so long.
    pub(crate) fn load(&self, body: Body, connections: usize, time: Duration) -> anyhow::Result<Tally> {
        let what = What::Fresh(Requests::new(body, &["stripe"]));
        let tally = Load { to: self.address, connections, what, pace: Pace::For(time) }.run()?;
        ensure!(tally.refused() == 0, "the plain server refused requests: {}", tally.refusals());
        Ok(tally)
    }
}

struct Arrival {
    id: String,
    headers: Vec<u8>,
    body: Bytes,
    stored: oneshot::Sender<()>,
}

#[derive(Default)]
struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Arrival>,
    is_closed: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once it is closed, an arrival is dropped, and its sender told 503.
    fn push(&self, arrival: Arrival) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        state.waiting.push(arrival);
        if [1, GROUP].contains(&state.waiting.len()) {
            self.changed.notify_one();
        }
    }

    fn next_group(&self, last_start: Instant) -> Vec<Arrival> {
        let mut state = self.lock();
        loop {
            let left = SPACING.saturating_sub(last_start.elapsed());
            state = match state.waiting.len() {
                0 => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                1..GROUP if !left.is_zero() => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                _ => return std::mem::take(&mut state.waiting),
            };
        }
    }
}

fn write(connection: Connection, inbox: &Arc<Inbox>) {
    let own = Arc::clone(inbox);
    let ended = pinned(Core::Server, "plain-writer", move || write_groups(connection, &own));
    *inbox.lock() = State { waiting: Vec::new(), is_closed: true };
    if let Err(error) = ended {
        eprintln!("  the plain server stores nothing any more: {error:#}");
    }
}

fn write_groups(mut connection: Connection, inbox: &Inbox) -> anyhow::Result<()> {
    let (mut last_start, mut logged_bytes) = (Instant::now(), 0);
    loop {
        let group = inbox.next_group(last_start);
        last_start = Instant::now();
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO events (id, headers, body) VALUES (?1, ?2, ?3)")?;
        for arrival in &group {
            insert.execute(params![arrival.id, arrival.headers, &arrival.body[..]])?;
            logged_bytes += arrival.body.len();
        }
        drop(insert);
        transaction.commit()?;
        // Who no longer waits has lost nothing.
        for arrival in group {
            let _ = arrival.stored.send(());
        }
        if logged_bytes >= LOG_BYTES {
            logged_bytes = 0;
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
    }
}

fn serve(listener: TcpListener, inbox: Arc<Inbox>, ready: &mpsc::Sender<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let key = Arc::new(Key::new(HMAC_SHA256, SECRET.as_bytes()));
    runtime.block_on(async {
        let take = post(move |headers: HeaderMap, body: Bytes| take(Arc::clone(&inbox), Arc::clone(&key), headers, body));
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready.send(())?;
        Ok(axum::serve(listener, Router::new().route("/in/{source}", take)).await?)
    })
}

async fn take(inbox: Arc<Inbox>, key: Arc<Key>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !is_genuine(&key, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(Event { id }) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    let mut lines = Vec::with_capacity(512);
    for (name, value) in &headers {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].into_iter().for_each(|part| lines.extend_from_slice(part));
    }
    let (stored, is_stored) = oneshot::channel();
    inbox.push(Arrival { id, headers: lines, body, stored });
    is_stored.await.map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct Event {
    id: String,
}

/// Stripe's signature; how old it is, nobody looks.
fn is_genuine(key: &Key, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((timestamp, signature)) = header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else { return false };
    let mut signed = Context::with_key(key);
    [timestamp.as_bytes(), b".", body].into_iter().for_each(|part| signed.update(part));
    hex::decode(signature).is_ok_and(|signature| signed.sign().as_ref() == signature)
}
