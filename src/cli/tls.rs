//! A TLS handshake that looks at the certificate and trusts nothing: no byte is sent over it.
//!
//! Whether the certificate is trusted is decided where it matters, by the client that sends deliveries. This
//! shows what that client was shown, also where it then refused.

use std::sync::Arc;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::cli::text::{plain, short, time};

/// Names of a certificate that are shown, at most.
const NAMES: usize = 5;

/// What was agreed on and shown.
pub(super) struct Seen {
    /// `TLS 1.3`.
    pub(super) version: String,
    /// The server's own certificate, where it could be read.
    pub(super) certificate: Option<Shown>,
}

/// A certificate in words; whatever it holds, nothing in it steers a terminal.
pub(super) struct Shown {
    pub(super) subject: String,
    pub(super) names: Vec<String>,
    pub(super) issuer: String,
    /// RFC 3339.
    pub(super) valid_from: String,
    pub(super) valid_until: String,
    /// The same in seconds since the epoch.
    pub(super) ends: u64,
    /// By this machine's clock.
    pub(super) is_expired: bool,
    pub(super) is_early: bool,
}

/// Shakes hands over a fresh connection.
///
/// # Errors
/// When no TLS can be agreed on.
pub(super) async fn look(host: &str, connection: TcpStream) -> anyhow::Result<Seen> {
    let name = ServerName::try_from(host.to_owned()).context("the host can't be the name of a TLS server")?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Onlooker))
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, connection).await?;
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().and_then(|version| version.as_str());
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    Ok(Seen {
        version: version.unwrap_or("TLS").replace("TLSv1_", "TLS 1."),
        certificate: certificate.and_then(|der| shown(der)),
    })
}

fn shown(der: &[u8]) -> Option<Shown> {
    let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
    let names = match certificate.get::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0.iter().filter_map(name).take(NAMES).collect(),
        _ => Vec::new(),
    };
    let millis = |time: x509_cert::time::Time| u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX);
    let (from, until) = (
        millis(certificate.validity.not_before),
        millis(certificate.validity.not_after),
    );
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let words = |text: String| match plain(&short(&text, 120)) {
        text if text.is_empty() => "no name".to_owned(),
        text => text,
    };
    Some(Shown {
        subject: words(certificate.subject.to_string()),
        names,
        issuer: words(certificate.issuer.to_string()),
        valid_from: time(from),
        valid_until: time(until),
        ends: until / 1_000,
        is_expired: until < now,
        is_early: now < from,
    })
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(plain(&short(name.as_str(), 80))),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            &[a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            bytes => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// Takes whatever certificate comes: it is only looked at.
#[derive(Debug)]
struct Onlooker;

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
