//! Makes connections: resolves, checks every address, dials exactly what was checked, speaks TLS. One timeout over all of it.
//! Must never resolve a name twice for one connection, nor dial an address that the guard has not seen.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address;
use super::base_url::literal_address;
use super::fault::Break;

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
    /// For `https` it loads the machine's trusted root certificates (honouring `SSL_CERT_FILE`) and fails if there are none.
    pub(super) fn new(is_https: bool, guard: Guard, timeout: Duration) -> io::Result<Self> {
        let tcp = Tcp::new(guard, timeout);
        let route = if is_https {
            Route::Tls(HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_all_versions().wrap_connector(tcp))
        } else {
            Route::Plain(tcp)
        };
        Ok(Self { route, timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
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
            tokio::time::timeout(timeout, dialling).await.unwrap_or(Err(Break::ConnectTimeout(timeout)))
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
struct Tcp {
    http: HttpConnector<GuardedResolver>,
    guard: Guard,
    timeout: Duration,
}

impl Tcp {
    fn new(guard: Guard, timeout: Duration) -> Self {
        let mut http = HttpConnector::new_with_resolver(GuardedResolver { system: GaiResolver::new(), guard });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(TCP_KEEPALIVE));
        // Shared out over the resolved addresses, so that a dead one leaves time for the next.
        http.set_connect_timeout(Some(timeout));
        Self { http, guard, timeout }
    }
}

impl Service<Uri> for Tcp {
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
}

impl Guard {
    /// One bad address refuses all: a name that mixes public and private addresses is an attack, or an accident waiting to happen.
    fn check<'a>(self, mut addresses: impl Iterator<Item = &'a SocketAddr>) -> Result<(), Break> {
        let passes = self == Self::Anywhere || addresses.all(|address| address::is_public(address.ip()));
        if passes { Ok(()) } else { Err(Break::PrivateAddress) }
    }
}

/// The system's resolver, whose answers pass the guard before anything is dialled.
#[derive(Clone)]
struct GuardedResolver {
    system: GaiResolver,
    guard: Guard,
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Break;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Break>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.system.call(name);
        let guard = self.guard;
        Box::pin(async move {
            let addresses: Vec<_> = resolving.await.map_err(|_| Break::NoSuchHost)?.collect();
            guard.check(addresses.iter())?;
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
