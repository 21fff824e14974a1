//! TLS with the operator's own certificates, against a real TLS server. Those in the folder are made for 100 years by `openssl`.

use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::domain::Secret;

const CA: &[u8] = include_bytes!("certificates/ca.pem");
const SERVER: &[u8] = include_bytes!("certificates/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("certificates/server.key");
const CLIENT: &[u8] = include_bytes!("certificates/client.pem");
const CLIENT_KEY: &[u8] = include_bytes!("certificates/client.key");

/// A TLS server that answers 200 and notes by which version of HTTP it was asked.
struct TlsServer {
    port: u16,
    versions: Arc<Mutex<Vec<Version>>>,
}

impl TlsServer {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self { port: listener.local_addr().expect("an address").port(), versions: Arc::default() };
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&server.versions)));
        server
    }

    fn settings(&self, tls: Tls) -> UpstreamSettings {
        UpstreamSettings { tls, ..settings(&format!("https://localhost:{}", self.port)) }
    }

    fn versions(&self) -> Vec<Version> {
        self.versions.lock().expect("no panic").clone()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, versions: Arc<Mutex<Vec<Version>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, versions) = (acceptor.clone(), Arc::clone(&versions));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let answering = service_fn(|request: Request<Incoming>| {
                versions.lock().expect("no panic").push(request.version());
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))) }
            });
            // A client that hangs up is no matter here.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answering).await;
        });
    }
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().expect("certificates")
}

/// A server's side; it asks for a certificate of the test CA where `asks_who_calls`.
fn server(protocols: &[&str], asks_who_calls: bool) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = if asks_who_calls {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(CA));
        builder
            .with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).expect("a key");
    let mut config = builder.with_single_cert(certificates(SERVER), key).expect("a certificate");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

fn trusting_the_ca() -> Tls {
    Tls { ca: Some(Secret::new(CA)), identity: None }
}

fn known() -> Tls {
    Tls { identity: Some(Identity { certificate: Secret::new(CLIENT), key: Secret::new(CLIENT_KEY) }), ..trusting_the_ca() }
}

#[tokio::test]
async fn a_server_of_the_operators_own_ca_is_trusted_where_it_is_named() {
    let server = TlsServer::start(server(&[], false)).await;
    assert_eq!(call(server.settings(trusting_the_ca()), get("/")).await.0.expect("an answer").status, 200);
    assert_eq!(server.versions(), [Version::HTTP_11]);
    let fault = fault(server.settings(Tls::default()), get("/")).await;
    assert_eq!(fault.kind, CallFaultKind::Tls, "{}", fault.message);
}

#[tokio::test]
async fn a_server_that_speaks_only_http_2_is_reached() {
    let server = TlsServer::start(server(&["h2"], false)).await;
    let upstreams = upstreams(server.settings(trusting_the_ca()));
    for _ in 0..2 {
        assert_eq!(upstreams.call(post("x"), &context()).await.0.expect("an answer").body, "ok");
    }
    assert_eq!(server.versions(), [Version::HTTP_2; 2]);
}

#[tokio::test]
async fn both_versions_are_offered_and_the_server_chooses() {
    for (protocols, version) in [(["h2", "http/1.1"], Version::HTTP_2), (["http/1.1", "h2"], Version::HTTP_11)] {
        let server = TlsServer::start(server(&protocols, false)).await;
        call(server.settings(trusting_the_ca()), get("/")).await.0.expect("an answer");
        assert_eq!(server.versions(), [version]);
    }
}

#[tokio::test]
async fn a_server_that_asks_who_calls_is_shown_the_certificate() {
    for protocols in [["h2"], ["http/1.1"]] {
        let server = TlsServer::start(server(&protocols, true)).await;
        assert_eq!(call(server.settings(known()), get("/")).await.0.expect("an answer").status, 200);
        let unknown = fault(server.settings(trusting_the_ca()), post("x")).await;
        assert_eq!(unknown.kind, CallFaultKind::Tls, "{}", unknown.message);
        // Of HTTP/2 it is not known why TLS failed, and so not whether the request was read.
        assert_eq!(unknown.may_have_happened, protocols == ["h2"]);
        assert_eq!(server.versions().len(), 1);
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_when_the_upstream_is_built() {
    let own = |certificate: &[u8], key: &[u8]| Tls {
        identity: Some(Identity { certificate: Secret::new(certificate), key: Secret::new(key) }),
        ..trusting_the_ca()
    };
    for (tls, reason) in [
        (own(CLIENT, SERVER_KEY), "`key` is not the private key of `certificate`"),
        (own(CLIENT, CLIENT), "`key` holds no private key in PEM form"),
        (own(CLIENT_KEY, CLIENT_KEY), "`certificate` holds no certificate in PEM form"),
        (Tls { ca: Some(Secret::new(&b"hunter2"[..])), identity: None }, "`ca` holds no certificate in PEM form"),
    ] {
        assert_eq!(tls.check(), Err(reason));
        let error = Upstreams::new([UpstreamSettings { tls, ..settings("https://crm") }]).err().expect("refused").to_string();
        assert_eq!(error, format!("[upstreams.crm] tls: {reason}"));
    }
    assert_eq!((Tls::default().check(), known().check()), (Ok(()), Ok(())));
}
