//! A TCP connection whose next answer can be spoiled: reset, or replaced by something that is not HTTP.
//!
//! The request is read and parsed as usual; only what is written differs, so the sender sees the real thing.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const NOTHING: u8 = 0;
const RESET: u8 = 1;
const GARBAGE: u8 = 2;
const GARBAGE_SENT: u8 = 3;
const NOT_HTTP: &[u8] = b"\x16\x03\x01 this is no HTTP at all\r\n\r\n\0\0\0";

/// The connection, to be given to hyper.
pub(super) struct Wire {
    stream: TcpStream,
    spoil: Spoil,
}

/// Spoils the next answer on one connection.
#[derive(Clone, Default)]
pub(super) struct Spoil(Arc<AtomicU8>);

impl Spoil {
    /// The connection is reset in place of an answer.
    pub(super) fn reset(&self) {
        self.0.store(RESET, Ordering::Relaxed);
    }

    /// Garbage is sent in place of an answer, then the connection is closed.
    pub(super) fn garbage(&self) {
        self.0.store(GARBAGE, Ordering::Relaxed);
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream, spoil: Spoil) -> Self {
        Self { stream, spoil }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.spoil.0.load(Ordering::Relaxed) {
            NOTHING => Pin::new(&mut self.stream).poll_write(cx, buf),
            GARBAGE => {
                ready!(Pin::new(&mut self.stream).poll_write(cx, NOT_HTTP))?;
                self.spoil.0.store(GARBAGE_SENT, Ordering::Relaxed);
                Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
            }
            GARBAGE_SENT => Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            _ => {
                // Closing it now sends RST in place of FIN.
                self.stream.set_zero_linger()?;
                Poll::Ready(Err(Error::from(ErrorKind::ConnectionReset)))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
