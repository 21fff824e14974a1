//! The load generator: one thread on a core of its own, so that what it costs is not taken for the server's. Knows nothing of
//! what the server does.

mod connection;
mod request;
mod tally;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::cores::{Core, pinned};
use crate::usage::thread_cpu;
use connection::Connection;

pub(crate) use request::{Body, EVENT_TYPE, Requests, SECRET};
pub(crate) use tally::Tally;

/// What is sent.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) to: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) what: What,
    pub(crate) pace: Pace,
}

#[derive(Clone)]
pub(crate) enum What {
    /// Signed while it is sent, each with its own id.
    Fresh(Requests),
    /// The same bytes again and again, for a server that does not look at them.
    Same(Vec<u8>),
}

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Closed loop: each connection sends as soon as it has its answer, for so long.
    For(Duration),
    /// Closed loop, until so many were sent.
    Count(u64),
    /// Open loop: requests become due at even intervals whatever the server does, and latency counts from then.
    Rate(f64, Duration),
}

impl Load {
    /// Sends it all.
    pub(crate) fn run(self) -> anyhow::Result<Tally> {
        pinned(Core::Load, "load", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(LocalSet::new().run_until(self.send()))
        })
    }

    async fn send(self) -> anyhow::Result<Tally> {
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            connections.push(Connection::open(self.to).await.context("the server takes no connection")?);
        }
        let cpu = thread_cpu()?;
        let started = Instant::now();
        let crew = Rc::new(Crew::new(&self, started));
        if let Pace::Rate(rate, _) = self.pace {
            let (arrivals, limit) = (Arc::clone(&crew.arrivals), crew.limit);
            let senders = self.connections;
            std::thread::spawn(move || pace(&arrivals, started, rate, limit, senders));
        }
        let senders = connections.into_iter().map(|connection| tokio::task::spawn_local(Rc::clone(&crew).sender(connection)));
        for sender in senders.collect::<Vec<_>>() {
            sender.await?;
        }
        let (took, cpu) = (started.elapsed(), thread_cpu()?.saturating_sub(cpu));
        Ok(crew.tally.take().finish(took, cpu))
    }
}

/// What the connections share.
struct Crew {
    what: What,
    to: SocketAddr,
    started: Instant,
    next: Cell<u64>,
    /// No request has this number or a higher one.
    limit: u64,
    ends: Option<Instant>,
    /// Requests a second of the open loop.
    rate: Option<f64>,
    arrivals: Arc<Semaphore>,
    tally: RefCell<Tally>,
}

impl Crew {
    fn new(load: &Load, started: Instant) -> Self {
        let (limit, ends, rate) = match load.pace {
            Pace::For(time) => (u64::MAX, Some(started + time), None),
            Pace::Count(count) => (count, None, None),
            Pace::Rate(rate, time) => ((rate * time.as_secs_f64()) as u64, None, Some(rate)),
        };
        let (next, arrivals, tally) = (Cell::new(0), Arc::new(Semaphore::new(0)), RefCell::default());
        Self { what: load.what.clone(), to: load.to, started, next, limit, ends, rate, arrivals, tally }
    }

    async fn sender(self: Rc<Self>, mut connection: Connection) {
        let mut request = Vec::new();
        while let Some(due) = self.turn().await {
            let bytes = match &self.what {
                What::Same(bytes) => bytes,
                What::Fresh(requests) => {
                    requests.write(&mut request);
                    &request
                }
            };
            let status = connection.exchange(bytes).await;
            self.tally.borrow_mut().answered(*status.as_ref().unwrap_or(&0), due.elapsed());
            if status.is_err() {
                // A server that is gone ends this connection's part; the others find out by themselves.
                let Ok(again) = Connection::open(self.to).await else { break };
                connection = again;
            }
        }
    }

    /// From when the next request's latency counts; `None` when all are sent.
    async fn turn(&self) -> Option<Instant> {
        if self.rate.is_some() {
            self.arrivals.acquire().await.ok()?.forget();
        }
        let number = self.next.get();
        let now = Instant::now();
        if number >= self.limit || self.ends.is_some_and(|ends| now >= ends) {
            return None;
        }
        self.next.set(number + 1);
        Some(self.rate.map_or(now, |rate| self.started + Duration::from_secs_f64(number as f64 / rate)))
    }
}

/// Lets requests become due. A thread, since a runtime's timers tick in milliseconds.
fn pace(arrivals: &Semaphore, started: Instant, rate: f64, limit: u64, senders: usize) {
    let mut released = 0;
    while released < limit {
        let due = limit.min((started.elapsed().as_secs_f64() * rate) as u64 + 1);
        arrivals.add_permits(usize::try_from(due - released).unwrap_or(0));
        released = due;
        let next = started + Duration::from_secs_f64(released as f64 / rate);
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
    // One more for each sender, so that it finds that there is nothing left.
    arrivals.add_permits(senders);
}
