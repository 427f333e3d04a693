//! Kinds of addresses that no subscriber has, and the IPv4 addresses that hide in IPv6 ones.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Instance metadata of clouds that lies outside the link-local range; it hands out credentials to whoever asks.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// A kind of address that events are never sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// This machine: 127.0.0.0/8, ::1.
    Loopback,
    /// One network segment, cloud metadata among them: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// A cloud's metadata at another address.
    Metadata,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 0.0.0.0/8, ::, which systems take for themselves.
    Unspecified,
    /// 240.0.0.0/4, the broadcast address among them.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback address",
            Self::LinkLocal => "link-local address",
            Self::Metadata => "cloud metadata address",
            Self::Multicast => "multicast address",
            Self::Unspecified => "unspecified address",
            Self::Reserved => "reserved or broadcast address",
        })
    }
}

impl Class {
    /// The class of an address itself; `None` for one that a subscriber may have.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        if METADATA.contains(&address) {
            return Some(Self::Metadata);
        }
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [0, ..] => Some(Self::Unspecified),
            [127, ..] => Some(Self::Loopback),
            [169, 254, ..] => Some(Self::LinkLocal),
            [224..=239, ..] => Some(Self::Multicast),
            [240..=255, ..] => Some(Self::Reserved),
            _ => None,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Option<Self> {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Some(Self::Unspecified),
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Self::Loopback),
            [0xfe80..=0xfebf, ..] => Some(Self::LinkLocal),
            [0xff00..=0xffff, ..] => Some(Self::Multicast),
            _ => None,
        }
    }
}

/// An address and every IPv4 address that it leads to by way of a mapping, a translator or a tunnel.
pub(super) fn ways(address: IpAddr) -> Vec<IpAddr> {
    let mut ways = vec![address];
    if let IpAddr::V6(address) = address {
        ways.extend(embedded(address).into_iter().map(IpAddr::V4));
    }
    ways
}

fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let [.., high, low] = segments;
    match segments {
        // Unspecified and loopback are what they are.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // Mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            vec![v4(high, low)]
        }
        // NAT64 with a prefix of one's own (RFC 8215), whose length is not known (RFC 6052, 2.2): read as each that it
        // may be. What begins with 0 is a length that it does not have.
        [0x64, 0xff9b, 1, a, b, c, ..] => {
            let lengths = [
                v4(high, low),
                v4(a, (b & 0xff) << 8 | c >> 8),
                v4((a & 0xff) << 8 | b & 0xff, c),
                v4((b & 0xff) << 8 | c >> 8, (c & 0xff) << 8 | high >> 8),
            ];
            lengths.into_iter().filter(|address| address.octets()[0] != 0).collect()
        }
        // 6to4 (RFC 3056).
        [0x2002, a, b, ..] => vec![v4(a, b)],
        // Teredo (RFC 4380): the server, and the client with its bits flipped.
        [0x2001, 0, a, b, ..] => vec![v4(a, b), v4(!high, !low)],
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![v4(high, low)],
        _ => Vec::new(),
    }
}
