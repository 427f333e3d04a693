//! Free loopback ports, below those that the system gives to outgoing connections; so is the port 10,000 above,
//! on which a Cluster's node listens as well.
//!
//! Each test may be a process of its own: each process begins at another place, so that two hardly ever try
//! the same port between looking and listening.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_100;
const COUNT: u32 = 9_900;
/// Ports that a process uses up at most before it meets the next one's.
const APART: u32 = 89;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A loopback port that nobody listens on and that no other test of this process was given.
pub(crate) fn free_port() -> u16 {
    loop {
        let step = std::process::id()
            .wrapping_mul(APART)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + step % COUNT).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Several of them.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}
