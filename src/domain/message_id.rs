//! Message identifiers without their version: `ResourceEvent.1.4.ResourceCreated` and
//! `ResourceEvent.ResourceCreated` name the same message (EventDestination 1.16, `MessageIds`).
//!
//! Events are read into keys once; filters and the index compare keys only.

use std::hash::{Hash, Hasher};

/// A registry prefix and a message key, in lower case: the first and the last segment of a `MessageId`.
///
/// Everything between them is a version and is ignored, however odd (`1.4.0`, `1.x`). An id without a dot
/// (`FAN0001`) has a key and no registry, so only the same bare id in a filter matches it. Case is ignored,
/// since a filter that differs in nothing else can only be meant for this message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKey {
    text: Box<str>,
    registry: Option<usize>,
}

impl MessageKey {
    /// Reads a `MessageId`; `None` when it is blank.
    #[must_use]
    pub fn read(id: &str) -> Option<Self> {
        let id = id.trim();
        if id.is_empty() {
            return None;
        }
        let Some((registry, rest)) = id.split_once('.') else {
            return Some(Self {
                text: id.to_ascii_lowercase().into_boxed_str(),
                registry: None,
            });
        };
        let key = rest.rsplit_once('.').map_or(rest, |(_, key)| key);
        let mut text = String::with_capacity(registry.len() + 1 + key.len());
        text.push_str(registry);
        text.push('.');
        text.push_str(key);
        text.make_ascii_lowercase();
        Some(Self {
            text: text.into_boxed_str(),
            registry: Some(registry.len()),
        })
    }

    /// `registry.key`, or the bare key, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The prefix of the message registry in lower case; `None` for a bare id.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.text.get(..self.registry?)
    }

    /// Whether the message is from this registry. The prefix may carry a version (`Base.1.0`): it is ignored.
    #[must_use]
    pub fn is_from(&self, prefix: &str) -> bool {
        self.registry()
            .is_some_and(|registry| registry.eq_ignore_ascii_case(unversioned(prefix)))
    }

    /// Whether a `MessageId` of any version names this message.
    #[must_use]
    pub fn is_named_by(&self, id: &str) -> bool {
        let id = id.trim();
        match (self.registry(), id.split_once('.')) {
            (None, None) => self.text.eq_ignore_ascii_case(id),
            (Some(registry), Some((prefix, rest))) => {
                let key = rest.rsplit_once('.').map_or(rest, |(_, key)| key);
                registry.eq_ignore_ascii_case(prefix)
                    && self
                        .text
                        .get(registry.len() + 1..)
                        .is_some_and(|own| own.eq_ignore_ascii_case(key))
            }
            _ => false,
        }
    }
}

impl Hash for MessageKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// A registry prefix without the version that some clients append.
#[must_use]
pub fn unversioned(prefix: &str) -> &str {
    let prefix = prefix.trim();
    prefix.split_once('.').map_or(prefix, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> MessageKey {
        MessageKey::read(id).expect("not blank")
    }

    #[test]
    fn versions_are_ignored() {
        for id in [
            "ResourceEvent.1.4.ResourceCreated",
            "ResourceEvent.1.4.0.ResourceCreated",
            "ResourceEvent.ResourceCreated",
            "ResourceEvent.1.x.ResourceCreated",
            " resourceevent.1.0.RESOURCECREATED",
        ] {
            assert_eq!(key(id).as_str(), "resourceevent.resourcecreated", "{id}");
            assert!(key("ResourceEvent.1.0.3.ResourceCreated").is_named_by(id), "{id}");
            assert!(key(id).is_from("ResourceEvent"), "{id}");
            assert!(key(id).is_from("ResourceEvent.1.2"), "{id}");
        }
    }

    #[test]
    fn other_messages_are_told_apart() {
        let created = key("ResourceEvent.1.4.ResourceCreated");
        for id in [
            "ResourceEvent.1.4.ResourceRemoved",
            "Base.1.4.ResourceCreated",
            "ResourceCreated",
            "ResourceEvent",
            "",
        ] {
            assert!(!created.is_named_by(id), "{id}");
        }
        assert!(!created.is_from("Resource"));
        assert!(!created.is_from(""));
    }

    #[test]
    fn bare_ids_have_no_registry() {
        let bare = key("FAN0001");
        assert_eq!(bare.registry(), None);
        assert!(bare.is_named_by("fan0001"));
        assert!(!bare.is_from("FAN0001"));
        assert!(!bare.is_named_by("Vendor.1.0.FAN0001"));
        assert_eq!(MessageKey::read("  "), None);
    }

    #[test]
    fn odd_ids_neither_panic_nor_match_by_accident() {
        for id in [".", "..", "A.", ".A", "é.é.é"] {
            let odd = key(id);
            assert!(odd.is_named_by(id), "{id}");
            assert!(!odd.is_named_by("Base.1.0.Success"), "{id}");
        }
    }
}
