//! Where events may be sent: keeps a subscription from turning Holdfast against its own network.
//!
//! Judged is what stands in the URL (at creation and before each request), each address that a name has, and the
//! address that was connected to. Pure: the worker's resolver and connector ask (`worker/destinations.rs`).

mod address;
mod entry;

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

pub use self::address::Class;
pub use self::entry::{Entries, Entry, EntryError};

/// What may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Entries,
    deny: Entries,
    own: Vec<SocketAddr>,
}

/// Why a destination is not connected to, and what an operator can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// A range that no subscriber can be in.
    #[error("{place} is {} {class}: events are not sent there{}", article(*class), remedy(*class))]
    Range {
        /// The address, or the name that means it.
        place: String,
        /// What kind of address that is.
        class: Class,
    },
    /// One of Holdfast's own listeners.
    #[error("{0} is a listener of Holdfast itself: events are not sent there; name the subscriber's address")]
    Own(SocketAddr),
    /// `destinations.deny` has it.
    #[error("{0} is denied by destinations.deny (HOLDFAST_DESTINATIONS__DENY)")]
    Denied(String),
    /// `destinations.allow` does not have it.
    #[error("{0} is not in destinations.allow (HOLDFAST_DESTINATIONS__ALLOW), which names the only places allowed")]
    NotAllowed(String),
}

fn article(class: Class) -> &'static str {
    if class == Class::Unspecified { "an" } else { "a" }
}

fn remedy(class: Class) -> &'static str {
    match class {
        Class::Loopback => {
            "; to allow this machine's own, set HOLDFAST_DESTINATIONS__ALLOW=127.0.0.0/8,::1 here and on every worker"
        }
        _ => "; name an address of the subscriber",
    }
}

impl Guard {
    /// A guard by these lists; `own` are the addresses that Holdfast listens on.
    #[must_use]
    pub fn new(allow: Entries, deny: Entries, own: Vec<SocketAddr>) -> Self {
        Self { allow, deny, own }
    }

    /// Whether requests may go to this URL, as far as can be told without looking its name up. Numeric hosts come
    /// parsed: every spelling of an IPv4 address is one address here (WHATWG URL, "host parsing").
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, url: &Url) -> Result<(), Blocked> {
        let port = url.port_or_known_default().unwrap_or(0);
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge_literal(address.into(), port),
            Some(Host::Ipv6(address)) => self.judge_literal(address.into(), port),
            Some(Host::Domain(name)) => self.judge_name(name),
            None => Ok(()),
        }
    }

    fn judge_literal(&self, address: IpAddr, port: u16) -> Result<(), Blocked> {
        self.judge_address(None, address)?;
        self.judge_own(SocketAddr::new(address, port))
    }

    fn judge_name(&self, name: &str) -> Result<(), Blocked> {
        if self.deny.has_name(name) {
            return Err(Blocked::Denied(name.to_owned()));
        }
        // RFC 6761, section 6.3: always this machine.
        let bare = name.trim_end_matches('.').to_ascii_lowercase();
        let local = bare == "localhost" || bare.ends_with(".localhost");
        if local && !self.allow.has_loopback() {
            return Err(Blocked::Range {
                place: name.to_owned(),
                class: Class::Loopback,
            });
        }
        if self.allow.restricts() && !local && !self.allow.has_name(name) && !self.allow.has_networks() {
            return Err(Blocked::NotAllowed(name.to_owned()));
        }
        Ok(())
    }

    /// Whether an address may be connected to: one that `name` has, or one that stands in a URL itself.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_address(&self, name: Option<&str>, address: IpAddr) -> Result<(), Blocked> {
        self.judge_refused(address)?;
        let allowed = !self.allow.restricts()
            || self.allow.has_address(address)
            || name.is_some_and(|name| self.allow.has_name(name));
        if allowed {
            return Ok(());
        }
        Err(Blocked::NotAllowed(match name {
            Some(name) => format!("{address}, an address of {name},"),
            None => address.to_string(),
        }))
    }

    /// Whether a connection that was made may be used; `local` is its near end. An address of this machine has both
    /// ends in common, whichever interface it belongs to.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_connection(&self, local: SocketAddr, remote: SocketAddr) -> Result<(), Blocked> {
        self.judge_refused(remote.ip())?;
        let here = local.ip().to_canonical() == remote.ip().to_canonical();
        if here && self.own.iter().any(|own| own.port() == remote.port()) {
            return Err(Blocked::Own(remote));
        }
        self.judge_own(remote)
    }

    fn judge_own(&self, remote: SocketAddr) -> Result<(), Blocked> {
        let ip = remote.ip().to_canonical();
        let listens = |own: &SocketAddr| {
            own.port() == remote.port()
                && (own.ip().to_canonical() == ip || (own.ip().is_unspecified() && ip.is_loopback()))
        };
        if remote.port() != 0 && self.own.iter().any(listens) {
            return Err(Blocked::Own(remote));
        }
        Ok(())
    }

    /// The ranges that are never connected to, and those that are denied: by the address itself, and by the IPv4
    /// address that a translator would make of it.
    fn judge_refused(&self, address: IpAddr) -> Result<(), Blocked> {
        let ways = address::ways(address);
        if ways.iter().any(|way| self.deny.has_address(*way)) {
            return Err(Blocked::Denied(address.to_string()));
        }
        let class = ways.iter().find_map(|way| Class::of(*way));
        match class {
            Some(Class::Loopback) if self.allow.lifts(address) => Ok(()),
            Some(class) => Err(Blocked::Range {
                place: address.to_string(),
                class,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
