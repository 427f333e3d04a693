//! The lists `destinations.allow` and `destinations.deny`: networks, addresses and host names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Class;

/// One member of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address.
    Network(IpNet),
    /// `siem.example`, in lower case.
    Name(String),
    /// `*.example`: every name below, without the asterisk.
    Below(String),
}

/// What is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network (10.0.0.0/8), address (10.0.0.7) or host name (siem.example, *.example)")]
pub struct EntryError(String);

/// A list, written with commas between its members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries(Vec<Entry>);

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Network(address.to_canonical().into()));
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let (below, host) = name
            .strip_prefix("*.")
            .map_or((false, name.as_str()), |rest| (true, rest));
        let last = host.rsplit('.').next().unwrap_or_default();
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| (1..=63).contains(&label.len()))
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            // A number at the end is a misspelt address: no name ends so (WHATWG URL, "ends in a number").
            && !last.bytes().all(|byte| byte.is_ascii_digit());
        match (is_name, below) {
            (false, _) => Err(EntryError(text.to_owned())),
            (true, true) => Ok(Self::Below(format!(".{host}"))),
            (true, false) => Ok(Self::Name(host.to_owned())),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "{network}"),
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*{name}"),
        }
    }
}

impl Entry {
    /// Whether it lies within the addresses of this machine: then it lifts their refusal and restricts nothing else.
    fn is_loopback(&self) -> bool {
        self.classes() == [Some(Class::Loopback); 2]
    }

    /// Whether it lies within a range that can't be allowed.
    #[must_use]
    pub fn is_futile(&self) -> bool {
        let [first, last] = self.classes();
        first.is_some() && first == last && !self.is_loopback()
    }

    /// The classes of its first and its last address.
    fn classes(&self) -> [Option<Class>; 2] {
        match self {
            Self::Network(network) => [Class::of(network.network()), Class::of(network.broadcast())],
            Self::Name(_) | Self::Below(_) => [None, None],
        }
    }
}

impl Entries {
    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// Whether it names the only places allowed.
    pub(super) fn restricts(&self) -> bool {
        self.0.iter().any(|entry| !entry.is_loopback())
    }

    pub(super) fn has_loopback(&self) -> bool {
        self.0.iter().any(Entry::is_loopback)
    }

    /// Whether an address decides, for a name that it does not have.
    pub(super) fn has_networks(&self) -> bool {
        let networks = |entry: &Entry| matches!(entry, Entry::Network(_)) && !entry.is_loopback();
        self.0.iter().any(networks)
    }

    /// Whether it allows an address of this machine: only a network within loopback does, not a wider one.
    pub(super) fn lifts(&self, address: IpAddr) -> bool {
        let loopback: Vec<Entry> = self.0.iter().filter(|entry| entry.is_loopback()).cloned().collect();
        Self(loopback).has_address(address)
    }

    /// Whether it has the address.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .iter()
            .any(|entry| matches!(entry, Entry::Network(network) if network.contains(&address)))
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|entry| match entry {
            Entry::Network(_) => false,
            Entry::Name(known) => *known == name,
            Entry::Below(suffix) => name.ends_with(suffix.as_str()),
        })
    }
}

impl FromStr for Entries {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(","))
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("networks, addresses and host names")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Entries, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(word) = words.next_element::<String>()? {
                    entries.push(word.parse().map_err(A::Error::custom)?);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
