//! What every HTTP listener is made of: bounded connections that no client can wedge, TLS, an orderly stop.
//!
//! `api` and `redfish` use it; it knows nothing of what they answer.

mod bodies;
mod clients;
mod patient;
mod peer;
mod server;
pub mod tls;

use std::net::SocketAddr;

pub use self::bodies::{Bodies, BodyError, Held};
pub use self::peer::Peer;
pub use self::server::{Options, Server};

/// A listener could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the {listener} listener can't listen on {addr}: {source}; set {variable} to a free address and port")]
pub struct ListenError {
    /// Which listener.
    pub listener: &'static str,
    /// Where it should have listened.
    pub addr: SocketAddr,
    /// The variable that says so.
    pub variable: &'static str,
    /// What the system reported.
    pub source: std::io::Error,
}
