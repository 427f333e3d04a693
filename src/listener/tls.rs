//! A certificate and its key, as a listener presents them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// A certificate or key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no such thing in PEM.
    #[error("{what} can't be read from {}: {problem}", path.display())]
    File {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong; never what is in the file.
        problem: String,
    },
    /// Certificate and key don't belong together, or can't be served.
    #[error("the certificate and its key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A server's certificate chain with its key. `Debug` does not show the key.
#[derive(Debug)]
pub struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads a PEM file with the certificate, intermediates after it, and one with the key.
    ///
    /// # Errors
    /// [`TlsError::File`] naming the file.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |what, path: &Path, problem: String| TlsError::File {
            what,
            path: path.to_owned(),
            problem,
        };
        let open = |what, path: &Path| std::fs::read(path).map_err(|error| wrong(what, path, error.to_string()));
        let chain = certificates(&open("the certificate", certificate)?)
            .map_err(|problem| wrong("the certificate", certificate, problem))?;
        let key = PrivateKeyDer::from_pem_slice(&open("the key", key)?)
            .map_err(|error| wrong("the key", key, error.to_string()))?;
        Ok(Self { chain, key })
    }

    /// The same from certificates and a key that are there already.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// What a listener needs: TLS 1.2 and 1.3, no client certificates, HTTP/1.1.
    ///
    /// # Errors
    /// [`TlsError::Unusable`] when certificate and key don't belong together.
    pub fn acceptor(self) -> Result<TlsAcceptor, TlsError> {
        self.with(&provider(), Arc::new(NoClientAuth))
    }

    /// The same, and clients must show (or, unless `required`, may show) a certificate of these authorities.
    ///
    /// # Errors
    /// [`TlsError`] naming what can't be used.
    pub fn acceptor_for_clients_of(self, authorities: &Path, required: bool) -> Result<TlsAcceptor, TlsError> {
        let provider = provider();
        let verifier = clients_of(authorities, required, &provider)?;
        self.with(&provider, verifier)
    }

    fn with(
        self,
        provider: &Arc<CryptoProvider>,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain, self.key)?;
        Ok(acceptor(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Judges clients by authorities of one's own.
fn clients_of(
    authorities: &Path,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let wrong = |problem: String| TlsError::File {
        what: "the clients' authorities",
        path: authorities.to_owned(),
        problem,
    };
    let pem = std::fs::read(authorities).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&pem).map_err(wrong)? {
        roots.add(certificate)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// Accepts connections by `config`; they speak HTTP/1.1.
#[must_use]
pub fn acceptor(mut config: ServerConfig) -> TlsAcceptor {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Every certificate of a PEM text, at least one.
///
/// # Errors
/// What is wrong with it.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("it holds no certificate in PEM".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(error.to_string()),
    }
}
