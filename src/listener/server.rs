//! An HTTP/1.1 listener that no slow, idle or greedy client can wedge.
//!
//! Every listener uses it, with or without TLS. A client has `read_timeout` to send the head of a request, which also ends idle
//! connections; a client that does not read its answer is cut off as well (see [`super::patient`]); the
//! number of connections is bounded. On stop nothing new is accepted, and requests in progress are finished.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::clients::Clients;
use super::patient::Patient;
use super::tls::Tls;
use super::{ListenError, Peer};

/// Pause after a failed accept: usually the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// A listener that is full, or can't accept, says so this often.
const REMINDER: Duration = Duration::from_secs(60);
/// The largest head of a request, and what is buffered of a body at once, in bytes.
const BUFFER: usize = 64 << 10;

/// What a listener is told.
#[expect(missing_debug_implementations, reason = "an acceptor has none")]
pub struct Options {
    /// Its name in messages.
    pub listener: &'static str,
    /// The variable that sets its address.
    pub variable: &'static str,
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long a client may take for the head of a request, be idle, or not read.
    pub read_timeout: Duration,
    /// Connections at once; further ones wait.
    pub max_connections: usize,
    /// Connections at once from one address; further ones are closed. 0 sets no limit.
    pub max_per_client: usize,
    /// Answers a client that has closed its side; else such a one counts as gone, and what it gets ends.
    pub half_close: bool,
    /// Speaks TLS with this, plain HTTP without.
    pub tls: Option<Tls>,
}

/// A running listener; it ends, connections and all, when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    closing: CancellationToken,
    cutting: DropGuard,
    tasks: TaskTracker,
}

/// What the accept loop and the connections share.
struct Door {
    listener: &'static str,
    router: Router,
    read_timeout: Duration,
    room: Arc<Semaphore>,
    clients: Clients,
    half_close: bool,
    tls: Option<Tls>,
    /// Accept nothing more; finish what is being answered.
    closing: CancellationToken,
    /// Finish nothing.
    cutting: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Listens and answers with `router`.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(options: Options, router: Router) -> Result<Self, ListenError> {
        let refused = |source| ListenError {
            listener: options.listener,
            addr: options.listen,
            variable: options.variable,
            source,
        };
        let socket = TcpListener::bind(options.listen).await.map_err(refused)?;
        let addr = socket.local_addr().map_err(refused)?;
        let cutting = CancellationToken::new();
        let door = Arc::new(Door {
            listener: options.listener,
            router,
            read_timeout: options.read_timeout,
            room: Arc::new(Semaphore::new(options.max_connections.min(affordable()))),
            clients: Clients::new(options.max_per_client),
            half_close: options.half_close,
            tls: options.tls,
            closing: cutting.child_token(),
            cutting: cutting.clone(),
            tasks: TaskTracker::new(),
        });
        let server = Self {
            addr,
            closing: door.closing.clone(),
            cutting: cutting.drop_guard(),
            tasks: door.tasks.clone(),
        };
        server.tasks.spawn(door.accept(socket));
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts nothing more, waits until what is being answered is finished, and cuts off the rest at `until`.
    pub async fn stop(self, until: Instant) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(until, self.tasks.wait()).await.is_err() {
            warn!(addr = %self.addr, left = self.tasks.len(), "the shutdown deadline passed: connections are cut off");
        }
        drop(self.cutting);
        self.tasks.wait().await;
    }
}

impl Door {
    /// Accepts connections while there is room, until told to close.
    async fn accept(self: Arc<Self>, socket: TcpListener) {
        let mut said: Option<Instant> = None;
        let mut complain = |what: &str| {
            if said.is_none_or(|at| at.elapsed() >= REMINDER) {
                warn!(listener = self.listener, "{what}");
                said = Some(Instant::now());
            }
        };
        loop {
            if self.room.available_permits() == 0 {
                complain("all connections are in use; new ones wait until one ends");
            }
            let next = async {
                let permit = Arc::clone(&self.room).acquire_owned().await;
                (permit, socket.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                next = next => next,
                () = self.closing.cancelled() => return,
            };
            match accepted {
                Ok((stream, addr)) => {
                    let Some(place) = self.clients.enter(addr.ip()) else {
                        complain("one client has all the connections that it may have; its further ones are closed");
                        continue;
                    };
                    let door = Arc::clone(&self);
                    self.tasks.spawn(async move {
                        door.serve(stream, addr).await;
                        drop((permit, place));
                    });
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    complain(&format!(
                        "can't accept connections: {error}; is the limit of open files too low?"
                    ));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Answers the requests of one connection, after the TLS handshake where there is one.
    async fn serve(&self, stream: TcpStream, addr: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(listener = self.listener, %error, "the connection ended before its first request");
            return;
        }
        let stream = Patient::new(stream, self.read_timeout);
        let Some(tls) = &self.tls else {
            let certificate = None;
            return self.converse(stream, Peer { addr, certificate }).await;
        };
        let handshake = tokio::time::timeout(self.read_timeout, tls.acceptor().accept(stream));
        let stream = tokio::select! {
            () = self.closing.cancelled() => return,
            outcome = handshake => match outcome {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    debug!(listener = self.listener, peer = %addr, %error, "no TLS with this client");
                    return;
                }
                Err(_) => {
                    debug!(listener = self.listener, peer = %addr, "the TLS handshake took too long");
                    return;
                }
            }
        };
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown.and_then(<[_]>::first).map(|shown| shown.clone().into_owned());
        self.converse(stream, Peer { addr, certificate }).await;
    }

    /// Answers requests until the client, or the end of the listener, ends it.
    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer) {
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.read_timeout)
            .max_buf_size(BUFFER)
            .half_close(self.half_close)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut closing = pin!(self.closing.cancelled());
        let mut told = false;
        loop {
            tokio::select! {
                () = self.cutting.cancelled() => return,
                () = &mut closing, if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = &mut connection => {
                    if let Err(error) = ended {
                        debug!(listener = self.listener, %error, "a connection broke");
                    }
                    return;
                }
            }
        }
    }
}

/// Half of the files that this process may open: the rest is for Redis and the subscribers.
fn affordable() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    open_files(&limits)
        .map_or(usize::MAX, |files| (files / 2).max(1))
        .min(Semaphore::MAX_PERMITS)
}

/// The soft limit of open files; `None` where there is none.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files  unlimited  unlimited  files"), None);
        assert_eq!(open_files(""), None);
    }
}
