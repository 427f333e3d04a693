//! How much a subscription may hold, where its owner set a limit: a number of parked deliveries, an age, or both.
//!
//! What is beyond a limit is moved, oldest first, to the dead letters or to a file. The age of a delivery is Redis'
//! time minus the milliseconds of its event's id, so an id from the future is young and a tiny one set by hand is old.

use serde::{Deserialize, Serialize};

use super::units::Period;

/// The limits of one subscription; without any, everything is kept for as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retention {
    /// At most this many deliveries stay parked, over all partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parked: Option<u64>,
    /// No parked delivery stays for longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// Where the oldest go that are beyond a limit.
    #[serde(default)]
    pub overflow: Overflow,
}

/// What becomes of the oldest deliveries beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// They become dead letters: kept in Redis until someone replays or purges them.
    #[default]
    DeadLetters,
    /// They are written to a file of the worker, one line of JSON each, and leave Redis.
    File,
}

/// How the reason of every delivery begins that a limit moved.
pub const REASON: &str = "limit: ";

impl Retention {
    /// Whether there is any limit.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max_parked.is_some() || self.max_age.is_some()
    }

    /// Whether everything is as when nobody set anything.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Why a delivery left that was one too many.
    #[must_use]
    pub fn too_many(&self) -> String {
        format!("{REASON}more than {} parked", self.max_parked.unwrap_or(u64::MAX))
    }

    /// Why a delivery left that was too old.
    #[must_use]
    pub fn too_old(&self) -> String {
        format!("{REASON}older than {}", self.max_age.unwrap_or_default())
    }
}

impl Overflow {
    /// Every choice by its name.
    pub const NAMES: [(&'static str, Self); 2] = [("dead-letters", Self::DeadLetters), ("file", Self::File)];

    /// Its name, as it is stored and given.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::File => "file",
        }
    }
}

/// How many of `most` deliveries each partition keeps, when they hold `held` of them: those that hold the most
/// give first, down to a common level. The sum is `most`, or all that is held where that is less.
#[must_use]
pub fn shares(held: &[u64], most: u64) -> Vec<u64> {
    let mut ranked: Vec<usize> = (0..held.len()).collect();
    ranked.sort_by_key(|at| held[*at]);
    let mut shares = vec![0; held.len()];
    let mut left = most;
    for (rank, at) in ranked.iter().enumerate() {
        let sharers = u64::try_from(held.len() - rank).unwrap_or(u64::MAX);
        shares[*at] = held[*at].min(left / sharers);
        left -= shares[*at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_partition_keeps_the_limit_and_the_largest_of_many_give_first() {
        assert_eq!(shares(&[1_000], 100), [100]);
        assert_eq!(shares(&[7], 100), [7]);
        assert_eq!(shares(&[500, 10], 100), [90, 10]);
        assert_eq!(shares(&[0, 70, 80], 101), [0, 50, 51]);
        assert_eq!(shares(&[3, 3, 3], 1), [0, 0, 1]);
        assert_eq!(shares(&[], 5), [0_u64; 0]);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_limit_exactly_and_nobody_keeps_more_than_it_has(
            held in prop::collection::vec(0_u64..1_000, 0..9),
            most in 0_u64..3_000,
        ) {
            let kept = shares(&held, most);
            prop_assert_eq!(kept.iter().sum::<u64>(), most.min(held.iter().sum()));
            prop_assert!(kept.iter().zip(&held).all(|(kept, held)| kept <= held));
        }
    }

    #[test]
    fn limits_read_back_as_written_and_say_why() {
        let json = r#"{"max_parked":100,"max_age":"2d","overflow":"file"}"#;
        let limits: Retention = serde_json::from_str(json).expect("limits");
        assert_eq!(serde_json::to_string(&limits).expect("JSON"), json);
        assert_eq!(limits.too_many(), "limit: more than 100 parked");
        assert_eq!(limits.too_old(), "limit: older than 2d");
        for (name, overflow) in Overflow::NAMES {
            assert_eq!(overflow.as_str(), name);
            assert_eq!(serde_json::to_value(overflow).expect("JSON"), name);
        }
    }
}
