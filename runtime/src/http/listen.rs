//! The accept loop: timeouts that really fire (`axum::serve` installs none), HTTP/1.1 and HTTP/2 on one port, and an ending
//! that the peer receives: half-close, then drain, since closing on unread bytes would reset the connection and lose the answer.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::header::CONTENT_LENGTH;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::{debug, warn};

/// A body that is still on its way.
pub(super) use hyper::body::Incoming;

/// The longest that a refused sender's remaining bytes are read, so that it gets its answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 << 20;
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;
const STREAMS_MAX: u32 = 128;
/// Streams of one HTTP/2 connection that its peer has reset before they were looked at. One more ends the connection: to open and reset
/// costs a peer nothing and us work (CVE-2023-44487).
const RESET_BY_PEER_MAX: usize = 20;
/// Streams that we have reset for a peer's mistakes, in the whole life of a connection (CVE-2025-8671). More than a few, since a proxy
/// keeps one connection for weeks, and what it still sends of a body that we have refused is a mistake, too.
const RESET_FOR_MISTAKES_MAX: usize = 1024;
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Connections of one listener at a time; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 8192;

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct ListenLimits {
    /// From a connection's first moment, or the end of an answer, to the end of the next head; and how long a peer may let an
    /// answer wait that it does not read.
    pub header_timeout: Duration,
}

/// What answers the requests of a listener.
pub trait Respond: Clone + Send + Sync + 'static {
    /// The bodies of its answers. The default is an empty one.
    type Body: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Default + Send + 'static;

    /// The answer to a request of whoever is connected from this address.
    fn respond(self, request: Request<Incoming>, peer: IpAddr) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

impl Respond for Router {
    type Body = Body;

    fn respond(mut self, request: Request<Incoming>, _: IpAddr) -> impl Future<Output = Response<Body>> + Send + 'static {
        self.call(request.map(Body::new)).map(|answer| answer.unwrap_or_else(|never: Infallible| match never {}))
    }
}

/// A bound listener and its connections.
pub struct Listener {
    /// Where it listens: the port is real also where 0 was asked for.
    pub address: SocketAddr,
    connections: TaskTracker,
    closing: CancellationToken,
}

impl Listener {
    /// Binds and serves until [`Self::close`].
    pub async fn start(address: SocketAddr, answers: impl Respond, limits: ListenLimits) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let listener = Self { address: socket.local_addr()?, connections: TaskTracker::new(), closing: CancellationToken::new() };
        let (connections, closing) = (listener.connections.clone(), listener.closing.clone());
        listener.connections.spawn(accept(socket, answers, limits, connections, closing));
        Ok(listener)
    }

    /// Accepts no more and ends idle connections; waits up to `patience` for requests under way.
    pub async fn close(&self, patience: Duration) {
        self.closing.cancel();
        self.connections.close();
        if tokio::time::timeout(patience, self.connections.wait()).await.is_err() {
            warn!(address = %self.address, connections = self.connections.len(), "connections did not end in time");
        }
    }
}

async fn accept(socket: TcpListener, answers: impl Respond, limits: ListenLimits, connections: TaskTracker, closing: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        socket.accept().await.map(|(stream, peer)| (stream, peer, place))
    };
    while let Some(accepted) = closing.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, peer, place)) => {
                let from_peer = FromPeer { answers: answers.clone(), peer: peer.ip() };
                let served = serve(stream, from_peer, limits, closing.clone());
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: give connections time to end.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, from_peer: FromPeer<impl Respond>, limits: ListenLimits, closing: CancellationToken) {
    // An error only means that Nagle's algorithm stays on.
    let _ = stream.set_nodelay(true);
    let speaks = closing.run_until_cancelled(tokio::time::timeout(limits.header_timeout, is_http2(&stream))).await;
    let result = match speaks {
        Some(Ok(Ok(true))) => serve_http2(timed(stream, limits), from_peer, limits, closing).await,
        Some(Ok(Ok(false))) => serve_http1(timed(stream, limits), from_peer, limits, closing).await,
        // Closing, silent for too long, or gone.
        None | Some(Err(_) | Ok(Err(_))) => return,
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended early");
    }
}

type Timed = Pin<Box<TimeoutWriter<TcpStream>>>;

/// hyper waits for ever for a peer that asks and never reads; here the write fails in the end.
fn timed(stream: TcpStream, limits: ListenLimits) -> Timed {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.header_timeout));
    Box::pin(stream)
}

/// HTTP/2 begins with `PRI * HTTP/2.0` (RFC 9113 §3.4); no HTTP/1.1 method begins so.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    // Bytes that were only looked at keep a socket readable. Saying "not yet" from within `async_io` makes it wait for the next
    // ones to arrive, where a loop would spin for as long as a sender likes to keep its second byte back.
    let look = || {
        let mut first = [0; 3];
        let looked = tokio::task::coop::unconstrained(stream.peek(&mut first)).now_or_never();
        match looked.unwrap_or(Err(io::ErrorKind::WouldBlock.into()))? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            seen if first[..seen] != b"PRI"[..seen] => Ok(false),
            3 => Ok(true),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    };
    stream.async_io(Interest::READABLE, look).await
}

async fn serve_http1(
    mut stream: Timed,
    from_peer: FromPeer<impl Respond>,
    limits: ListenLimits,
    closing: CancellationToken,
) -> hyper::Result<()> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    builder.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX).half_close(true).writev(false);
    let service = service_fn(move |request| from_peer.respond(request).map(Ok::<_, Infallible>));
    let served = {
        // Lent, since there is more to read from it when hyper is done.
        let mut connection = pin!(builder.serve_connection(TokioIo::new(&mut stream), service));
        let ended = tokio::select! {
            served = &mut connection => Some(served),
            () = closing.cancelled() => None,
        };
        match ended {
            Some(served) => served,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    linger(stream).await;
    served
}

async fn serve_http2(
    stream: Timed,
    from_peer: FromPeer<impl Respond>,
    limits: ListenLimits,
    closing: CancellationToken,
) -> hyper::Result<()> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_BY_PEER_MAX)
        .max_local_error_reset_streams(RESET_FOR_MISTAKES_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    builder.keep_alive_interval(limits.header_timeout).keep_alive_timeout(limits.header_timeout);
    let activity = Arc::new(Activity::default());
    let watched = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (under_way, is_head) = (UnderWay::begin(&watched), request.method() == Method::HEAD);
        from_peer.respond(request).map(move |answer| {
            drop(under_way);
            Ok::<_, Infallible>(if is_head { without_body(answer) } else { answer })
        })
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        served = &mut connection => return served,
        () = closing.cancelled() => {}
        () = activity.idles(limits.header_timeout) => {}
    }
    connection.as_mut().graceful_shutdown();
    // A peer that does not finish the handshake, or never closes, is cut off.
    let ending = async {
        tokio::select! {
            served = connection => served,
            () = activity.idles(limits.header_timeout) => Ok(()),
        }
    };
    ending.await
}

/// An answer to HEAD, which tells the length of a body that it does not have (RFC 9110 §9.3.2). Over HTTP/1.1 hyper sees to it.
fn without_body<B: hyper::body::Body + Default>(answer: Response<B>) -> Response<B> {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
    Response::from_parts(head, B::default())
}

/// What goes on on an HTTP/2 connection. hyper times neither its handshake nor its idling, so it is watched from outside.
#[derive(Default)]
struct Activity {
    under_way: AtomicUsize,
    begun: AtomicUsize,
}

impl Activity {
    /// Returns once no request was under way and none began for a whole `time`.
    async fn idles(&self, time: Duration) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(time).await;
            if self.under_way.load(Ordering::Relaxed) == 0 && self.begun.load(Ordering::Relaxed) == begun {
                break;
            }
        }
    }
}

/// A request under way, until it is answered or given up.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends our end of stream, where hyper has not because of an error, and reads on for a moment, so that an answer to an unread body is not
/// lost to a reset.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut left = LINGER_BYTES_MAX;
    let drain = async {
        let mut buffer = vec![0; 16 << 10];
        stream.shutdown().await?;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // Whether the peer or the clock ended it, there is nothing more to do for this connection.
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// What answers the requests of one peer.
struct FromPeer<R> {
    answers: R,
    peer: IpAddr,
}

impl<R: Respond> FromPeer<R> {
    fn respond(&self, request: Request<Incoming>) -> impl Future<Output = Response<R::Body>> + Send + 'static + use<R> {
        self.answers.clone().respond(request, self.peer)
    }
}
