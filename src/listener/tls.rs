//! What a listener speaks TLS with: a certificate and its key, and whose certificates clients must show.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::pem::{Made, Pem, PemError, Renewed, authorities_end, chain_ends};
use crate::telemetry::labels::Certificate;

/// The TLS of a listener, in force for each connection that begins.
#[derive(Clone)]
pub enum Tls {
    /// The same for as long as it listens.
    Fixed(TlsAcceptor),
    /// That of files, as they are now.
    Files(Arc<Renewed<TlsAcceptor>>),
}

/// The PEM files of a listener.
#[derive(Debug, Clone)]
pub struct Files {
    /// Which certificate it is.
    pub shown: Certificate,
    /// The certificate, intermediates after it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whose certificates clients show.
    pub clients: Option<Clients>,
}

/// Whose certificates clients show.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Which certificates the authorities' are.
    pub trusted: Certificate,
    /// The authorities.
    pub authorities: PathBuf,
    /// Whether a client must show one; else it may.
    pub required: bool,
}

impl Files {
    /// Reads the files, and makes what the listener needs of them.
    ///
    /// # Errors
    /// [`PemError`], naming the file where it is one.
    pub fn read(self) -> Result<Arc<Renewed<TlsAcceptor>>, PemError> {
        let mut files = vec![("the certificate", self.certificate), ("the key", self.key)];
        if let Some(clients) = &self.clients {
            files.push(("the clients' authorities", clients.authorities.clone()));
        }
        let (shown, clients) = (self.shown, self.clients);
        Renewed::read(files, move |files| made(shown, clients.as_ref(), files))
    }
}

impl Tls {
    /// That of files, which are looked at again so often.
    ///
    /// # Errors
    /// [`PemError`], naming the file where it is one.
    pub fn of_files(files: Files, every: Duration) -> Result<Self, PemError> {
        let renewed = files.read()?;
        renewed.watch(every);
        Ok(Self::Files(renewed))
    }

    /// That of a certificate and a key which stay as they are.
    ///
    /// # Errors
    /// [`PemError::Unusable`] when they don't belong together.
    pub fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, PemError> {
        acceptor(chain, key, &provider(), Arc::new(NoClientAuth)).map(Self::Fixed)
    }

    /// What accepts the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        match self {
            Self::Fixed(acceptor) => acceptor.clone(),
            Self::Files(renewed) => renewed.now(),
        }
    }
}

/// Made anew as a whole: a session of before can't be resumed, so each client is judged by what is in force.
fn made(shown: Certificate, clients: Option<&Clients>, files: &[Pem]) -> Result<Made<TlsAcceptor>, PemError> {
    let [certificate, key, authorities @ ..] = files else {
        return Err(rustls::Error::NoCertificatesPresented.into());
    };
    let provider = provider();
    let chain = certificate.certificates()?;
    let mut ends: Vec<_> = chain_ends(&chain).map(|end| (shown, end)).into_iter().collect();
    let verifier: Arc<dyn ClientCertVerifier> = match clients.zip(authorities.first()) {
        None => Arc::new(NoClientAuth),
        Some((clients, file)) => {
            let authorities = file.certificates()?;
            ends.extend(authorities_end(&authorities).map(|end| (clients.trusted, end)));
            clients_of(file, authorities, clients.required, &provider)?
        }
    };
    let value = acceptor(chain, key.key()?, &provider, verifier)?;
    Ok(Made { value, ends })
}

/// TLS 1.2 and 1.3, HTTP/1.1.
fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<TlsAcceptor, PemError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Judges clients by authorities of one's own.
fn clients_of(
    file: &Pem,
    authorities: Vec<CertificateDer<'static>>,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate).map_err(|error| file.wrong(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder.build().map_err(|error| file.wrong(error.to_string()))
}
