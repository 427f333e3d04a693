//! The way to a destination: its addresses, and the first of them that takes a connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::domain::guard::{Blocked, Guard};
use crate::worker::destinations;

/// The host as certificates name it, and those of its addresses that may be connected to.
///
/// # Errors
/// When the name has no address, or the resolver does not answer within `patience`; [`Blocked`] when the guard forbids
/// the destination.
pub(super) async fn resolve(guard: &Guard, url: &Url, patience: Duration) -> anyhow::Result<(String, Vec<SocketAddr>)> {
    let port = url.port_or_known_default().context("the destination has no port")?;
    guard.judge(url)?;
    let name = match url.host().context("the destination names no host")? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => return Ok((address.to_string(), vec![(address, port).into()])),
        Host::Ipv6(address) => return Ok((address.to_string(), vec![(address, port).into()])),
    };
    let looked_up = tokio::time::timeout(patience, destinations::resolve(guard, &name, port))
        .await
        .map_err(|_| anyhow::anyhow!("{name}: the resolver did not answer within {}ms", patience.as_millis()))?;
    let addresses = looked_up.map_err(|error| match error.downcast::<Blocked>() {
        Ok(blocked) => anyhow::Error::new(*blocked),
        Err(error) => anyhow::anyhow!(error).context(format!("{name} has no address")),
    })?;
    if addresses.is_empty() {
        anyhow::bail!("{name} has no address");
    }
    Ok((name, addresses))
}

/// The first connection made, with the failures before it.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) failed: Vec<String>,
}

/// Tries one address after the other, each within `patience`.
///
/// # Errors
/// When none takes a connection; names each with its reason.
pub(super) async fn connect(addresses: &[SocketAddr], patience: Duration) -> anyhow::Result<Connected> {
    let mut failed = Vec::new();
    for address in addresses {
        let attempt = tokio::time::timeout(patience, TcpStream::connect(address)).await;
        let result = attempt.unwrap_or_else(|_| {
            let text = format!("no answer within {}ms", patience.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        });
        match result {
            Ok(stream) => {
                return Ok(Connected {
                    stream,
                    address: *address,
                    failed,
                });
            }
            Err(error) => failed.push(format!("{address}: {error}")),
        }
    }
    anyhow::bail!("{}", failed.join("; "))
}
