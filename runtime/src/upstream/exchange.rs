//! One request out, one answer in, within its bounds. Knows no upstream by name, adds nothing to the request, follows nothing.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout, timeout_at};

use super::connector::Connector;
use super::fault::{Break, Broken};
use super::header;
use crate::domain::OutboundAnswer;

/// Shorter than the idle timeouts of common load balancers, which would close a connection in the moment it is used again.
const IDLE_MAX: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS_MAX: usize = 256;

/// What a connection may buffer of a head; the exact limit on an answer's headers is in [`header::incoming`].
const HEAD_BYTES_MAX: u32 = 128 << 10;

/// An HTTP/2 connection in use that answers no ping is given up, instead of timing out call by call.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client with its pool of connections. These live on the runtime on which the first call was made.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// What one exchange may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The longest silence once connected.
    pub(super) read: Duration,
    /// For all of it, from its start to [`Self::deadline`].
    pub(super) total: Duration,
    pub(super) deadline: Instant,
    /// The answer's body, bytes.
    pub(super) answer_bytes_max: usize,
}

impl Bounds {
    pub(super) fn from_now(read: Duration, total: Duration, answer_bytes_max: usize) -> Self {
        Self { read, total, deadline: Instant::now() + total, answer_bytes_max }
    }

    /// What `work` comes to, if it is done in time.
    pub(super) async fn within<T>(self, work: impl Future<Output = Result<T, Break>>) -> Result<T, Break> {
        timeout_at(self.deadline, work).await.unwrap_or(Err(Break::Late(self.total)))
    }
}

/// A client over a connector, with everything bounded.
pub(super) fn client(connector: Connector) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http1_max_buf_size(HEAD_BYTES_MAX as usize)
        .http2_max_header_list_size(HEAD_BYTES_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .build(connector)
}

/// Sends the request and reads the answer in full. A redirect is an answer like any other.
pub(super) async fn exchange(client: &HttpClient, mut request: Request<Full<Bytes>>, bounds: Bounds) -> Result<OutboundAnswer, Broken> {
    let connection = capture_connection(&mut request);
    let exchanging = async {
        let may_have_body = request.method() != Method::HEAD;
        let (head, body) = head(client, request, connection.clone(), bounds.read).await?.into_parts();
        let headers = header::incoming(&head.headers).ok_or(Break::HeadTooLarge)?;
        let body = if may_have_body { read(body, bounds).await? } else { Bytes::new() };
        Ok(OutboundAnswer { status: head.status.as_u16(), headers, body, stale_for: None })
    };
    let result = bounds.within(exchanging).await;
    // On a connection the request is written at once; without one nothing can have left.
    result.map_err(|cause| Broken { cause, was_sent: connection.connection_metadata().is_some() && !cause.is_before_connection() })
}

/// The silence counts from when there is a connection: until then the connector's own timeout holds.
async fn head(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
    mut connection: CaptureConnection,
    silence_max: Duration,
) -> Result<Response<Incoming>, Break> {
    let mut answer = pin!(client.request(request));
    tokio::select! {
        biased;
        answer = &mut answer => return answer.map_err(|error| Break::of(&error)),
        _ = connection.wait_for_connection_metadata() => {}
    }
    match timeout(silence_max, answer).await {
        Ok(answer) => answer.map_err(|error| Break::of(&error)),
        Err(_) => Err(Break::Silent(silence_max)),
    }
}

async fn read(mut body: Incoming, bounds: Bounds) -> Result<Bytes, Break> {
    let max = bounds.answer_bytes_max;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(Break::BodyTooLarge(max));
    }
    // Most answers are one piece, which is handed on without a copy.
    let Some(first) = next_piece(&mut body, bounds.read).await? else { return Ok(Bytes::new()) };
    if first.len() > max {
        return Err(Break::BodyTooLarge(max));
    }
    let Some(second) = next_piece(&mut body, bounds.read).await? else { return Ok(first) };
    let mut all = BytesMut::with_capacity(announced.max(first.len() + second.len()));
    all.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if all.len() + piece.len() > max {
            return Err(Break::BodyTooLarge(max));
        }
        all.extend_from_slice(&piece);
        next = next_piece(&mut body, bounds.read).await?;
    }
    Ok(all.freeze())
}

/// The next piece of data; trailers are passed over.
async fn next_piece(body: &mut Incoming, silence_max: Duration) -> Result<Option<Bytes>, Break> {
    while !body.is_end_stream() {
        let frame = timeout(silence_max, body.frame()).await.map_err(|_| Break::Silent(silence_max))?;
        match frame.transpose().map_err(|error| Break::of(&error))? {
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            None => return Ok(None),
        }
    }
    Ok(None)
}
