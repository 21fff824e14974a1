//! Makes connections: resolves, checks every address, dials exactly what was checked, speaks TLS. One timeout over all of it.
//! Must never resolve a name twice for one connection, nor dial an address that the guard has not seen.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address;
use super::base_url::literal_address;
use super::fault::Break;
use super::tls::{Tls, UnusableTls};

/// Idle connections are probed this often, so that one that a firewall forgot is noticed.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

type Dialling<T> = Pin<Box<dyn Future<Output = Result<T, Break>> + Send>>;

/// Connects to one upstream. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    route: Route,
    timeout: Duration,
}

#[derive(Clone)]
enum Route {
    Plain(Tcp),
    Tls(HttpsConnector<Tcp>),
}

impl Connector {
    /// For `https` it needs certificates to trust: the operator's own, or the machine's.
    pub(super) fn new(is_https: bool, tls: &Tls, guard: Guard, timeout: Duration) -> Result<Self, UnusableTls> {
        let tcp = Tcp::new(GaiResolver::new(), guard, timeout);
        let route = if is_https {
            let builder = HttpsConnectorBuilder::new().with_tls_config(tls.client()?);
            Route::Tls(builder.https_only().enable_all_versions().wrap_connector(tcp))
        } else {
            Route::Plain(tcp)
        };
        Ok(Self { route, timeout })
    }
}

/// A connection. Boxed, since the client has room for one in each state of each future that it makes around it, and moves them all: with
/// what TLS keeps by value that is 30 KB of the stack of whoever is first to call, which may be a guest's.
pub(super) struct Stream(Box<MaybeHttpsStream<TokioIo<TcpStream>>>);

impl Stream {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut MaybeHttpsStream<TokioIo<TcpStream>>> {
        Pin::new(&mut *self.get_mut().0)
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(context, pieces)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Break;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Break>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { mut route, timeout } = self.clone();
        Box::pin(async move {
            let dialling = async {
                match &mut route {
                    Route::Plain(tcp) => tcp.call(uri).await.map(MaybeHttpsStream::Http),
                    Route::Tls(tls) => tls.call(uri).await.map_err(|error| of_tls(&*error)),
                }
            };
            let dialled = tokio::time::timeout(timeout, dialling).await.unwrap_or(Err(Break::ConnectTimeout(timeout)));
            dialled.map(|stream| Stream(Box::new(stream)))
        })
    }
}

/// What failed below TLS says so by its type; the rest is TLS. The detail is for the operator alone.
fn of_tls(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Break {
    error.downcast_ref().copied().unwrap_or_else(|| {
        tracing::debug!(error, "TLS handshake failed");
        Break::Tls
    })
}

/// TCP connections to guarded addresses only.
#[derive(Clone)]
struct Tcp<R = GaiResolver> {
    http: HttpConnector<GuardedResolver<R>>,
    guard: Guard,
    timeout: Duration,
}

impl<R> Tcp<R> {
    fn new(resolver: R, guard: Guard, timeout: Duration) -> Self {
        let mut http = HttpConnector::new_with_resolver(GuardedResolver { resolver, guard });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(TCP_KEEPALIVE));
        // Shared out over the resolved addresses, so that a dead one leaves time for the next.
        http.set_connect_timeout(Some(timeout));
        Self { http, guard, timeout }
    }
}

impl<R: Resolve> Service<Uri> for Tcp<R> {
    type Response = TokioIo<TcpStream>;
    type Error = Break;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Break>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { mut http, guard, timeout } = self.clone();
        Box::pin(async move {
            // The connector dials an address that the URL spells out without asking the resolver.
            if let Some(literal) = literal_address(&uri) {
                guard.check([SocketAddr::new(literal, 0)].iter())?;
            }
            http.call(uri).await.map_err(|error| Break::of_dial(&error, timeout))
        })
    }
}

/// Which addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    PublicOnly,
    Anywhere,
    /// Takes one address of this machine for the only public one.
    #[cfg(test)]
    Only(IpAddr),
}

impl Guard {
    /// One bad address refuses all: a name that mixes public and private addresses is an attack, or an accident waiting to happen.
    fn check<'a>(self, mut addresses: impl Iterator<Item = &'a SocketAddr>) -> Result<(), Break> {
        let passes = addresses.all(|address| self.passes(address.ip()));
        if passes { Ok(()) } else { Err(Break::PrivateAddress) }
    }

    fn passes(self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::PublicOnly => address::is_public(address),
            #[cfg(test)]
            Self::Only(only) => address == only,
        }
    }
}

/// What finds the addresses of a name: the system, or a test.
trait Resolve: Clone + Send + Sync + 'static {
    fn resolve(&mut self, name: Name) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static;
}

impl Resolve for GaiResolver {
    fn resolve(&mut self, name: Name) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let resolving = self.call(name);
        async { Ok(resolving.await?.collect()) }
    }
}

/// A resolver whose answers pass the guard before anything is dialled. The connector dials these and asks for no others.
#[derive(Clone)]
struct GuardedResolver<R> {
    resolver: R,
    guard: Guard,
}

impl<R: Resolve> Service<Name> for GuardedResolver<R> {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Break;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Break>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.resolver.resolve(name);
        let guard = self.guard;
        Box::pin(async move {
            let addresses = resolving.await.map_err(|_| Break::NoSuchHost)?;
            guard.check(addresses.iter())?;
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};

    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(500);

    /// Gives these answers one after the other, and none after the last.
    #[derive(Clone)]
    struct Flipping(Arc<Mutex<Vec<&'static [&'static str]>>>);

    impl Flipping {
        fn new(answers: impl IntoIterator<Item = &'static [&'static str]>) -> Self {
            let mut answers: Vec<_> = answers.into_iter().collect();
            answers.reverse();
            Self(Arc::new(Mutex::new(answers)))
        }

        fn left(&self) -> usize {
            self.0.lock().expect("no panic").len()
        }
    }

    impl Resolve for Flipping {
        fn resolve(&mut self, _: Name) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
            let answer = self.0.lock().expect("no panic").pop();
            let parse = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 0);
            let answer = answer.map(|texts| texts.iter().map(parse).collect()).ok_or_else(|| io::Error::other("SERVFAIL"));
            std::future::ready(answer)
        }
    }

    /// Dials the name as many times as given; to whom it came each time. `127.0.0.1` stands for the public internet.
    async fn dial(resolver: &Flipping, port: u16, times: usize) -> Vec<Result<IpAddr, Break>> {
        let guard = Guard::Only(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut dialled = Vec::new();
        for _ in 0..times {
            let mut tcp = Tcp::new(resolver.clone(), guard, SHORT);
            let uri = format!("http://rebinding.example:{port}").parse().expect("a URL");
            let connection = tcp.call(uri).await;
            dialled.push(connection.map(|connection| connection.inner().peer_addr().expect("connected").ip()));
        }
        dialled
    }

    #[tokio::test]
    async fn what_was_checked_is_dialled_and_a_name_that_flips_gains_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // The whole of 127.0.0.0/8 is this machine: a connection to the forbidden address would be made.
        let forbidden = TcpListener::bind(("127.0.0.2", port)).await.expect("a port");
        let resolver = Flipping::new([&["127.0.0.1"][..], &["127.0.0.2"], &["127.0.0.1", "127.0.0.2"], &["127.0.0.1"]]);

        assert_eq!(dial(&resolver, port, 1).await, [Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))]);
        assert_eq!(resolver.left(), 3, "one connection asks once");
        assert_eq!(dial(&resolver, port, 2).await, [Err(Break::PrivateAddress), Err(Break::PrivateAddress)]);
        assert_eq!(dial(&resolver, port, 1).await, [Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))]);
        let reached = tokio::time::timeout(Duration::ZERO, forbidden.accept()).await;
        assert!(reached.is_err(), "somebody connected to the forbidden address");
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_dialled_nowhere() {
        assert_eq!(dial(&Flipping::new([]), 80, 1).await, [Err(Break::NoSuchHost)]);
        assert_eq!(dial(&Flipping::new([&[][..]]), 80, 1).await, [Err(Break::NoConnection)]);
    }

    #[test]
    fn one_private_address_among_public_ones_refuses_them_all() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let public = addresses(&["1.1.1.1:0", "[2606:4700::1111]:0"]);
        let mixed = addresses(&["1.1.1.1:0", "[::1]:0", "8.8.8.8:0"]);
        assert_eq!(Guard::PublicOnly.check(public.iter()), Ok(()));
        assert_eq!(Guard::PublicOnly.check(mixed.iter()), Err(Break::PrivateAddress));
        assert_eq!(Guard::Anywhere.check(mixed.iter()), Ok(()));
    }
}
