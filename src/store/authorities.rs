//! Whom `rediss://` trusts: the authorities of a file, which may be renewed under a running process, or the system's.

use std::path::PathBuf;
use std::sync::Arc;

use fred::rustls::client::WebPkiServerVerifier;
use fred::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use fred::rustls::crypto::{CryptoProvider, aws_lc_rs};
use fred::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use fred::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use fred::types::config::{TlsConfig, TlsConnector};

use super::error::StoreError;
use crate::pem::{Made, Pem, PemError, Renewed, authorities_end};
use crate::telemetry::labels::Certificate;

/// Judges servers by the authorities in a file.
pub(super) type Authorities = Renewed<Arc<WebPkiServerVerifier>>;

/// Reads the authorities of a file.
///
/// # Errors
/// [`StoreError::Setup`], naming the file.
pub(super) fn read(file: PathBuf) -> Result<Arc<Authorities>, StoreError> {
    let shown = file.display().to_string();
    Renewed::read(vec![("the authorities", file)], made).map_err(|error| {
        let why = match error {
            PemError::File { problem, .. } => problem,
            other => other.to_string(),
        };
        StoreError::Setup(format!(
            "HOLDFAST_REDIS__CA_FILE={shown} cannot be used: {why}; name a readable PEM file with certificates"
        ))
    })
}

fn made(files: &[Pem]) -> Result<Made<Arc<WebPkiServerVerifier>>, PemError> {
    let [file] = files else {
        return Err(Error::NoCertificatesPresented.into());
    };
    let authorities = file.certificates()?;
    let ends = authorities_end(&authorities).map(|end| (Certificate::RedisAuthorities, end));
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| file.wrong(error.to_string()))?;
    }
    let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    Ok(Made {
        value: judge.map_err(|error| file.wrong(error.to_string()))?,
        ends: ends.into_iter().collect(),
    })
}

/// TLS that trusts the authorities, each time as they are then; the system's without any.
///
/// # Errors
/// [`StoreError::Setup`], when the system has none.
pub(super) fn tls(authorities: Option<&Arc<Authorities>>) -> Result<TlsConfig, StoreError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|why| StoreError::Setup(format!("TLS is not available: {why}")))?;
    let config = match authorities {
        Some(authorities) => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trust(Arc::clone(authorities)))),
        None => config.with_root_certificates(system()?),
    };
    Ok(TlsConfig::from(TlsConnector::from(config.with_no_client_auth())))
}

fn system() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(fred::rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(StoreError::Setup(
            "rediss:// needs certificate authorities and the system has none; install ca-certificates or set \
             HOLDFAST_REDIS__CA_FILE"
                .to_owned(),
        ));
    }
    Ok(roots)
}

/// Named here, so that another crate's choice of a default provider can never matter.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Asks whoever judges at this moment.
#[derive(Debug)]
struct Trust(Arc<Authorities>);

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judge = self.0.now();
        judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.now().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.now().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.now().supported_verify_schemes()
    }
}
