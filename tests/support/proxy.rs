//! A TCP proxy in front of Redis that misbehaves on request: cuts, freezes, or swallows one reply.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::login;

/// Listens on a loopback port and passes everything on to one server.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
    _running: DropGuard,
}

struct State {
    server: SocketAddr,
    /// New connections are closed at once.
    refusing: AtomicBool,
    /// How many requests have matched since the last `swallow_reply`.
    swallowed: AtomicUsize,
    /// What to look for in a request, and how many matches to let pass before the one whose reply is lost.
    swallow: Mutex<Option<(Vec<u8>, usize)>>,
    /// Cancelled to cut, replaced for the connections made afterwards.
    cut: Mutex<CancellationToken>,
    /// Cancelled to freeze, replaced likewise.
    freeze: Mutex<CancellationToken>,
    accepted: AtomicUsize,
}

impl Proxy {
    /// A proxy to `127.0.0.1:port`.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            refusing: AtomicBool::new(false),
            swallowed: AtomicUsize::new(0),
            swallow: Mutex::default(),
            cut: Mutex::default(),
            freeze: Mutex::default(),
            accepted: AtomicUsize::new(0),
        });
        let running = CancellationToken::new();
        tokio::spawn(accept(listener, state.clone(), running.clone()));
        Self {
            port: own_port,
            state,
            _running: running.drop_guard(),
        }
    }

    /// For Holdfast, with its user.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}", login(), self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// Resets the present connections on both sides.
    pub(crate) fn reset(&self) {
        std::mem::take(&mut *self.state.cut.lock().unwrap()).cancel();
    }

    /// Stops passing anything on the present connections, which stay open: a peer that vanished.
    pub(crate) fn freeze(&self) {
        std::mem::take(&mut *self.state.freeze.lock().unwrap()).cancel();
    }

    /// While set, new connections are closed at once; the present ones go on.
    pub(crate) fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Relaxed);
    }

    /// The request after `skip` further ones that contain `text` (as bytes, in one segment) reaches the
    /// server, its reply is lost and its connection is cut.
    pub(crate) fn swallow_reply(&self, text: &str, skip: usize) {
        self.state.swallowed.store(0, Ordering::Relaxed);
        *self.state.swallow.lock().unwrap() = Some((text.as_bytes().to_vec(), skip));
    }

    /// How many replies were swallowed since then.
    pub(crate) fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::Relaxed)
    }
}

impl State {
    /// Whether this request is the one whose reply shall be lost.
    fn must_swallow(&self, request: &[u8]) -> bool {
        let mut swallow = self.swallow.lock().unwrap();
        let Some((text, skip)) = swallow.as_mut() else {
            return false;
        };
        if !request.windows(text.len()).any(|part| part == text) {
            return false;
        }
        if *skip > 0 {
            *skip -= 1;
            return false;
        }
        *swallow = None;
        true
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, running: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = running.cancelled() => return,
        };
        let Ok((client, _)) = accepted else { continue };
        if state.refusing.load(Ordering::Relaxed) {
            continue;
        }
        state.accepted.fetch_add(1, Ordering::Relaxed);
        let (state, running) = (state.clone(), running.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = pass(client, state) => {}
                () = running.cancelled() => {}
            }
        });
    }
}

async fn pass(client: TcpStream, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(state.server).await else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let freeze = state.freeze.lock().unwrap().clone();
    let cut = state.cut.lock().unwrap().clone();
    let deaf = Arc::new(AtomicBool::new(false));
    // Only lent below, so that a frozen connection stays open.
    let (mut client_read, mut client_write) = client.into_split();
    let (mut server_read, mut server_write) = server.into_split();
    let frozen = tokio::select! {
        () = requests(&mut client_read, &mut server_write, &state, &deaf) => false,
        () = replies(&mut server_read, &mut client_write, &state, &deaf) => false,
        () = freeze.cancelled() => true,
        () = cut.cancelled() => {
            // Closing them now sends RST in place of FIN.
            client_write.as_ref().set_zero_linger().unwrap();
            server_write.as_ref().set_zero_linger().unwrap();
            false
        }
    };
    if frozen {
        std::future::pending::<()>().await;
    }
}

async fn requests(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, state: &State, deaf: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if state.must_swallow(&buffer[..length]) {
            deaf.store(true, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn replies(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, state: &State, deaf: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if deaf.load(Ordering::SeqCst) {
            state.swallowed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
