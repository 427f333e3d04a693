//! TLS in front of a subscriber, with a certificate that can be changed while it runs.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use axum::http::{Request, Response, Uri};
use fred::rustls::ServerConfig;
use fred::rustls::crypto::aws_lc_rs;
use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
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

/// The certificate that is shown now, and what closes the connections that were shown it.
#[derive(Clone)]
struct Shown {
    acceptor: TlsAcceptor,
    close: CancellationToken,
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

    /// Closes all connections, each when it has answered what it was asked; new ones are shown this certificate.
    pub(crate) fn show(&self, identity: &(String, String)) {
        let before = std::mem::replace(&mut *self.shown.lock().unwrap(), Shown::new(identity));
        before.close.cancel();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shown: Arc<Mutex<Shown>>) {
    let sender = reqwest::Client::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let shown = shown.lock().unwrap().clone();
        tokio::spawn(converse(client, shown, sender.clone(), server));
    }
}

/// Passes requests and answers on until the client ends or the connection is to be closed.
///
/// A request that the server has seen is answered even then: an answer lost here would be a fault of its own, and
/// a good reason to send twice.
async fn converse(client: TcpStream, shown: Shown, sender: reqwest::Client, server: SocketAddr) {
    let Shown { acceptor, close } = shown;
    let Some(Ok(client)) = close.run_until_cancelled(acceptor.accept(client)).await else {
        return;
    };
    let service = service_fn(|request| pass(request, &sender, server));
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(client), service));
    tokio::select! {
        _ended = &mut connection => return,
        () = close.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

/// The server's answer to a request.
async fn pass(
    request: Request<Incoming>,
    sender: &reqwest::Client,
    server: SocketAddr,
) -> Result<Response<reqwest::Body>, Box<dyn Error + Send + Sync>> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    parts.uri = Uri::try_from(format!("http://{server}{}", parts.uri))?;
    let answer = sender.execute(Request::from_parts(parts, body).try_into()?).await?;
    Ok(answer.into())
}

impl Shown {
    fn new(identity: &(String, String)) -> Self {
        Self {
            acceptor: acceptor(identity),
            close: CancellationToken::new(),
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
