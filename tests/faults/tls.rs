//! TLS in front of a subscriber, with a certificate that can be changed while it runs.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use fred::rustls::ServerConfig;
use fred::rustls::crypto::aws_lc_rs;
use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Decrypts, and passes everything on to one server. It ends when dropped.
pub(crate) struct Front {
    port: u16,
    shown: Arc<Mutex<Shown>>,
    task: AbortHandle,
}

/// The certificate that is shown now, and what ends the connections that were shown it.
#[derive(Clone)]
struct Shown {
    acceptor: TlsAcceptor,
    cut: CancellationToken,
}

impl Front {
    /// A front of `server` that shows this certificate.
    pub(crate) async fn of(server: SocketAddr, identity: &(String, String)) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shown = Arc::new(Mutex::new(Shown::new(identity)));
        let task = tokio::spawn(accept(listener, server, shown.clone())).abort_handle();
        Self { port, shown, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections; new ones are shown this certificate.
    pub(crate) fn show(&self, identity: &(String, String)) {
        let before = std::mem::replace(&mut *self.shown.lock().unwrap(), Shown::new(identity));
        before.cut.cancel();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shown: Arc<Mutex<Shown>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let Shown { acceptor, cut } = shown.lock().unwrap().clone();
        tokio::spawn(async move { cut.run_until_cancelled(pass(client, server, acceptor)).await });
    }
}

/// Passes everything on, both ways, until either side ends.
async fn pass(client: TcpStream, server: SocketAddr, acceptor: TlsAcceptor) {
    let (Ok(mut client), Ok(mut server)) = (acceptor.accept(client).await, TcpStream::connect(server).await) else {
        return;
    };
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

impl Shown {
    fn new(identity: &(String, String)) -> Self {
        Self {
            acceptor: acceptor(identity),
            cut: CancellationToken::new(),
        }
    }
}

fn acceptor((certificate, key): &(String, String)) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
