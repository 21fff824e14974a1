//! TLS with an upstream: whose certificates are trusted, and what certificate the host shows of itself. Connects to nothing.
//! Must never let a private key into an error or a log line.

use std::io;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::domain::Secret;

/// The operator's own certificates for an upstream; without any it is known by the machine's trusted roots, and does not know who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The roots that are trusted instead of the machine's, PEM.
    pub ca: Option<Secret>,
    /// What the host shows where the upstream asks who calls.
    pub identity: Option<Identity>,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its root, PEM.
    pub certificate: Secret,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1, PEM.
    pub key: Secret,
}

/// Why no TLS can be spoken.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableTls {
    #[error("the machine has no trusted roots")]
    Roots(#[source] io::Error),
    #[error("{0}")]
    Own(&'static str),
}

impl Tls {
    /// Whether these certificates can be used; else one sentence for the operator.
    ///
    /// # Errors
    /// Text that is no PEM, holds no certificate or no private key, or a key that is of another certificate.
    pub fn check(&self) -> Result<(), &'static str> {
        let trusting_nobody = || Ok(builder().with_root_certificates(RootCertStore::empty()));
        self.client_trusting(trusting_nobody).map(drop).map_err(|unusable| match unusable {
            UnusableTls::Own(reason) => reason,
            UnusableTls::Roots(_) => "there is nobody to trust",
        })
    }

    /// What a client needs to know. Reads the machine's roots where the operator gives none.
    pub(super) fn client(&self) -> Result<ClientConfig, UnusableTls> {
        self.client_trusting(|| builder().with_native_roots().map_err(UnusableTls::Roots))
    }

    fn client_trusting(
        &self,
        otherwise: impl FnOnce() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, UnusableTls>,
    ) -> Result<ClientConfig, UnusableTls> {
        let builder = match &self.ca {
            Some(ca) => builder().with_root_certificates(roots(ca)?),
            None => otherwise()?,
        };
        let Some(Identity { certificate, key }) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate, "`certificate` holds no certificate in PEM form")?;
        let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| UnusableTls::Own("`key` holds no private key in PEM form"))?;
        // The detail of the error may quote what it was given.
        builder.with_client_auth_cert(chain, key).map_err(|_| UnusableTls::Own("`key` is not the private key of `certificate`"))
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    builder.with_safe_default_protocol_versions().expect("the provider speaks TLS 1.2 and 1.3")
}

fn roots(ca: &Secret) -> Result<RootCertStore, UnusableTls> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "`ca` holds no certificate in PEM form")? {
        roots.add(certificate).map_err(|_| UnusableTls::Own("`ca` holds something that is no usable certificate"))?;
    }
    Ok(roots)
}

fn certificates(pem: &Secret, otherwise: &'static str) -> Result<Vec<CertificateDer<'static>>, UnusableTls> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(UnusableTls::Own(otherwise))
}
