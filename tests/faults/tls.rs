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

/// Decrypts, and passes everything on to one server. It ends when dropped.
pub(crate) struct Front {
    port: u16,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    task: AbortHandle,
}

impl Front {
    /// A front of `server` that shows this certificate.
    pub(crate) async fn of(server: SocketAddr, identity: &(String, String)) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = Arc::new(Mutex::new(acceptor(identity)));
        let task = tokio::spawn(accept(listener, server, acceptor.clone())).abort_handle();
        Self { port, acceptor, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// New connections are shown this certificate.
    pub(crate) fn show(&self, identity: &(String, String)) {
        *self.acceptor.lock().unwrap() = acceptor(identity);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, acceptor: Arc<Mutex<TlsAcceptor>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let acceptor = acceptor.lock().unwrap().clone();
        tokio::spawn(async move {
            let (Ok(mut client), Ok(mut server)) = (acceptor.accept(client).await, TcpStream::connect(server).await)
            else {
                return;
            };
            let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
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
