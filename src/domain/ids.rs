//! The identifiers that travel: stream ids, retry-queue members, delivery ids and subscription ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id of an entry of a Redis stream: milliseconds and a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since the epoch, by Redis' clock (or whatever the producer set).
    pub millis: u64,
    /// Position among the entries of that millisecond.
    pub sequence: u64,
}

/// The name of one delivery inside its subscription's retry queue: an event's stream id, written so that
/// bytes sort by age.
///
/// A sorted set orders equal scores as bytes, and `…-10` comes before `…-9`. So each number is preceded
/// by a letter for its length: `1795389052775-8` becomes `m1795389052775-a8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(pub StreamId);

/// The id of a subscription: short, random, never used again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionId(Arc<str>);

/// What a receiver sees as the id of a delivery: `<subscription>.<partition>.<stream id>`. It is the same
/// over every retry and every crash, and unique over partitions and over subscriptions that share a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryId {
    /// The subscription that the event is delivered for.
    pub subscription: SubscriptionId,
    /// The partition that the event was read from.
    pub partition: u16,
    /// The event's id in that partition's stream.
    pub event: StreamId,
}

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {expected}")]
pub struct IdError {
    given: String,
    expected: &'static str,
}

impl IdError {
    fn new(given: &str, expected: &'static str) -> Self {
        Self {
            given: given.to_owned(),
            expected,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

impl FromStr for StreamId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (millis, sequence) = text.split_once('-')?;
            Some(Self {
                millis: number(millis)?,
                sequence: number(sequence)?,
            })
        };
        parse().ok_or_else(|| IdError::new(text, "a stream id such as 1795389052775-0"))
    }
}

/// Only digits: `u64::from_str` would take a leading `+` too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The letter that stands for how many digits a number has: `a` for one, `t` for twenty.
fn length_letter(number: u64) -> char {
    let digits = u8::try_from(number.checked_ilog10().unwrap_or(0)).unwrap_or(0);
    char::from(b'a' + digits)
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StreamId { millis, sequence } = self.0;
        write!(
            f,
            "{}{millis}-{}{sequence}",
            length_letter(millis),
            length_letter(sequence)
        )
    }
}

impl FromStr for Member {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (millis, sequence) = text.split_once('-')?;
            let member = Self(StreamId {
                millis: number(millis.get(1..)?)?,
                sequence: number(sequence.get(1..)?)?,
            });
            (member.to_string() == text).then_some(member)
        };
        parse().ok_or_else(|| IdError::new(text, "a retry-queue member such as m1795389052775-a0"))
    }
}

impl SubscriptionId {
    /// Checks and wraps an id: 1 to 64 letters, digits, `-` or `_`.
    ///
    /// # Errors
    /// When the text is empty, too long or has another character: it is part of Redis keys, metric labels
    /// and delivery ids.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits {
            Ok(Self(Arc::from(text)))
        } else {
            Err(IdError::new(
                text,
                "a subscription id (1 to 64 letters, digits, '-' or '_')",
            ))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SubscriptionId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl FromStr for SubscriptionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<SubscriptionId> for String {
    fn from(id: SubscriptionId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.subscription, self.partition, self.event)
    }
}

impl FromStr for DeliveryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let mut parts = text.split('.');
            let id = Self {
                subscription: SubscriptionId::new(parts.next()?).ok()?,
                partition: u16::try_from(number(parts.next()?)?).ok()?,
                event: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(id)
        };
        parse().ok_or_else(|| IdError::new(text, "a delivery id such as k7m2q9xw.0.1795389052775-0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_sort_by_age_as_bytes() {
        let ids = [
            (9, 0),
            (10, 0),
            (10, 9),
            (10, 10),
            (10, 99),
            (10, 100),
            (11, 0),
            (1_795_389_052_775, 8),
            (u64::MAX, u64::MAX),
        ];
        let written: Vec<String> = ids
            .iter()
            .map(|&(millis, sequence)| Member(StreamId { millis, sequence }).to_string())
            .collect();
        let mut sorted = written.clone();
        sorted.sort();
        assert_eq!(written, sorted);
        assert_eq!(written[7], "m1795389052775-a8");
    }

    #[test]
    fn identifiers_read_back_as_written() {
        let event = StreamId {
            millis: 1_795_389_052_775,
            sequence: 10,
        };
        assert_eq!("1795389052775-10".parse(), Ok(event));
        assert_eq!("m1795389052775-b10".parse(), Ok(Member(event)));
        let delivery = DeliveryId {
            subscription: SubscriptionId::new("k7m2q9xw").expect("valid"),
            partition: 3,
            event,
        };
        assert_eq!(delivery.to_string(), "k7m2q9xw.3.1795389052775-10");
        assert_eq!(delivery.to_string().parse(), Ok(delivery));
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "1", "1-", "-1", "+1-0", "1-0-0", "a-b", "99999999999999999999-0"] {
            assert!(text.parse::<StreamId>().is_err(), "{text}");
        }
        for text in ["", "1-a0", "a1-0", "b1-a0", "m1795389052775-a10", "é1-a0"] {
            assert!(text.parse::<Member>().is_err(), "{text}");
        }
        for text in ["", "a b", "a.b", "{a}", "a:b", &"x".repeat(65)] {
            assert!(SubscriptionId::new(text).is_err(), "{text}");
        }
    }
}
