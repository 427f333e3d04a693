//! A long link: a TCP proxy that hands everything on after a delay, in order, each way.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A link to one server; it is cut when dropped.
pub(crate) struct Link {
    port: u16,
    _running: DropGuard,
}

impl Link {
    /// A link to `127.0.0.1:server` on which everything takes so long each way.
    pub(crate) async fn to(server: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let running = CancellationToken::new();
        tokio::spawn(
            running
                .clone()
                .run_until_cancelled_owned(accept(listener, server, delay)),
        );
        Self {
            port,
            _running: running.drop_guard(),
        }
    }

    /// The destination at its far end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/redfish/events", self.port)
    }
}

async fn accept(listener: TcpListener, server: u16, delay: Duration) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        tokio::spawn(pass(client, server, delay));
    }
}

async fn pass(client: TcpStream, server: u16, delay: Duration) {
    // The handshake of a real link takes a round trip before anything is sent.
    tokio::time::sleep(2 * delay).await;
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        later(from_client, to_server, delay),
        later(from_server, to_client, delay)
    );
}

/// Hands bytes on as they come, each after the delay.
async fn later(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (under_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let sending = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let arrives = Instant::now() + delay;
            if under_way.send((arrives, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let receiving = async move {
        while let Some((arrives, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(arrives).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(sending, receiving);
}
