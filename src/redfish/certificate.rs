//! The service's certificate: the one that is configured, or a self-signed one that is made once and kept in Redis,
//! so that every pod shows the same and clients may pin it.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::{self, Config};
use crate::listener::tls::{Files, Tls};
use crate::pem::{PemError, certificates, chain_ends, tell};
use crate::store::{Store, StoreError};
use crate::telemetry::labels::Certificate;

/// The setting that keeps the self-signed certificate.
const SETTING: &str = "certificate";
/// How long it is valid, in years: it is pinned, not trusted through an authority.
const YEARS: i32 = 10;

/// No certificate can be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The configured one can't be used.
    #[error("{0}; see HOLDFAST_REDFISH__CERTIFICATE and HOLDFAST_REDFISH__KEY")]
    Configured(#[source] PemError),
    /// The one that is kept can't be used.
    #[error(
        "the self-signed certificate that is kept in Redis can't be used: {problem}. Set HOLDFAST_REDFISH__CERTIFICATE \
         and HOLDFAST_REDFISH__KEY, or remove the field {SETTING} of the hash …:{{redfish}}:settings: a new one is made"
    )]
    Kept {
        /// What is wrong with it; never what is in it.
        problem: String,
    },
    /// None could be made.
    #[error("no self-signed certificate could be made: {0}")]
    Made(#[from] rcgen::Error),
    /// Redis can't be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the kept key belongs to, for the sealing.
const PLACE: &str = "redfish certificate key";

/// A certificate and its key as they are kept, in PEM, the key sealed. It has no `Debug`: the key is shown to nobody.
#[derive(Serialize, Deserialize)]
struct Kept {
    certificate: String,
    key: String,
}

/// What the listener needs.
///
/// # Errors
/// When there is none that can be used.
pub(super) async fn tls(config: &Config, store: &Store) -> Result<Tls, CertificateError> {
    if let Some(files) = certificate_files(&config.redfish) {
        return Tls::of_files(files, config.certificates.check.0).map_err(CertificateError::Configured);
    }
    // Made before it is known whether it is needed: what is stored first wins, for all pods.
    let made = make(store)?;
    let text = store.setting_or_make(SETTING, || made.clone()).await?;
    if text == made {
        info!("a self-signed certificate was made for the Redfish service");
    }
    let wrong = |problem: String| CertificateError::Kept { problem };
    let kept: Kept = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let chain = certificates(kept.certificate.as_bytes()).map_err(wrong)?;
    let opened = store
        .sealer()
        .open(PLACE, &kept.key)
        .map_err(|error| wrong(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(opened.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if !store.sealer().is_current(&kept.key) {
        seal_anew(store, &text, kept.certificate, &opened).await?;
    }
    let fingerprint = chain
        .first()
        .map(|certificate| fingerprint(certificate))
        .unwrap_or_default();
    warn!(
        sha256 = fingerprint,
        "the Redfish service shows a self-signed certificate: clients can't verify it unless they pin it. Set \
         HOLDFAST_REDFISH__CERTIFICATE and HOLDFAST_REDFISH__KEY"
    );
    let end = chain_ends(&chain).map(|end| (Certificate::Redfish, end));
    let tls = Tls::of(chain, key).map_err(|error| wrong(error.to_string()))?;
    tell(end.as_slice());
    Ok(tls)
}

/// The files of the configured certificate.
#[must_use]
pub fn certificate_files(settings: &config::Redfish) -> Option<Files> {
    Some(Files {
        shown: Certificate::Redfish,
        certificate: settings.certificate.clone()?,
        key: settings.key.clone()?,
        clients: None,
    })
}

/// Keeps the key under the newest sealing key from now on, unless another pod was first.
async fn seal_anew(store: &Store, text: &str, certificate: String, key: &str) -> Result<(), StoreError> {
    let sealed = keep(store, certificate, key)?;
    store
        .change_setting(SETTING, |known| match known {
            Some(known) if known != text => Ok((known.to_owned(), ())),
            _ => Ok((sealed.clone(), ())),
        })
        .await
}

/// A new one, as it is kept.
fn make(store: &Store) -> Result<String, CertificateError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend((!host.is_empty() && host != "localhost").then_some(host));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Holdfast");
    let year = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year();
    params.not_before = rcgen::date_time_ymd(i32::from(year) - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(i32::from(year) + YEARS, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(keep(store, certificate, &key.serialize_pem())?)
}

fn keep(store: &Store, certificate: String, key: &str) -> Result<String, StoreError> {
    let key = store.sealer().seal(PLACE, key)?;
    Ok(serde_json::json!(Kept { certificate, key }).to_string())
}

/// SHA-256 of a certificate, as tools print it.
fn fingerprint(certificate: &[u8]) -> String {
    let digest = digest(&SHA256, certificate);
    let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}
