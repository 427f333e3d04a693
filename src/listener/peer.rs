//! Who is at the other end of a connection; an extension of every request.

use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;

/// The client of a request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address and port, as the connection has it.
    pub addr: SocketAddr,
    /// The certificate that it showed and that was verified; `None` without TLS, or where none was asked for.
    pub certificate: Option<CertificateDer<'static>>,
}
