//! Certificates and keys in PEM files, which are renewed under a running process.
//!
//! Used by the listeners and by the connection to Redis: [`Renewed`] holds what was made of the files and makes it anew
//! when they change.

mod renewed;

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;

pub use self::renewed::{Made, Renewed, tell};

/// Certificates or a key that can't be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PemError {
    /// A file can't be read, or holds no such thing in PEM.
    #[error("{what} can't be read from {}: {problem}", path.display())]
    File {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong; never what is in the file.
        problem: String,
    },
    /// A renewed one has ended already, unlike the one that it is to replace.
    #[error("a certificate in it has ended already: {0}")]
    Ended(String),
    /// Certificate and key don't belong together, or can't be served.
    #[error("the certificate and its key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A file, as it was read. It has no `Debug`: it may be a key.
pub struct Pem {
    what: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Pem {
    /// Reads a file; `what` should be in it.
    ///
    /// # Errors
    /// [`PemError::File`].
    pub fn read(what: &'static str, path: &Path) -> Result<Self, PemError> {
        let path = path.to_owned();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self { what, path, bytes }),
            Err(error) => Err(PemError::File {
                what,
                path,
                problem: error.to_string(),
            }),
        }
    }

    /// Every certificate in it, at least one.
    ///
    /// # Errors
    /// [`PemError::File`].
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        certificates(&self.bytes).map_err(|problem| self.wrong(problem))
    }

    /// The first private key in it.
    ///
    /// # Errors
    /// [`PemError::File`].
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| self.wrong(error.to_string()))
    }

    /// What is wrong with this file.
    #[must_use]
    pub fn wrong(&self, problem: String) -> PemError {
        PemError::File {
            what: self.what,
            path: self.path.clone(),
            problem,
        }
    }
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

/// When a certificate ends to be valid, in seconds since the epoch; `None` where that can't be read.
#[must_use]
pub fn ends(certificate: &[u8]) -> Option<u64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let until = certificate.tbs_certificate.validity.not_after;
    Some(until.to_unix_duration().as_secs())
}

/// When the first certificate of a chain ends: from then on it is not trusted.
#[must_use]
pub fn chain_ends(chain: &[CertificateDer<'_>]) -> Option<u64> {
    chain.iter().filter_map(|certificate| ends(certificate)).min()
}

/// When the last one of several authorities ends: from then on nobody is trusted.
#[must_use]
pub fn authorities_end(authorities: &[CertificateDer<'_>]) -> Option<u64> {
    authorities.iter().filter_map(|certificate| ends(certificate)).max()
}
