//! How far a stream is, in every partition, as the text that its messages carry as their id.
//!
//! One part a partition, with a dot between: milliseconds, sequence and, within an entry, the number of its events
//! that were read, in base 36 with hyphens between.

use std::fmt;

use crate::domain::ids::StreamId;
use crate::store::streams::Position;
use crate::store::{Store, StoreError};

/// The positions in all partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(pub(super) Vec<Position>);

impl Place {
    /// Behind everything that is remembered now.
    pub(super) async fn now(store: &Store) -> Result<Self, StoreError> {
        let mut positions = Vec::new();
        for partition in store.partitions() {
            let clock = StreamId {
                millis: partition.clock_ms().await?.saturating_sub(1),
                sequence: u64::MAX,
            };
            let newest = partition.newest_behind(clock).await?;
            positions.push(Position::after(newest.unwrap_or(clock)));
        }
        Ok(Self(positions))
    }

    /// Whether any position is from before a time, ms since the epoch.
    pub(super) fn is_before(&self, time_ms: u64) -> bool {
        // A stream begins in the millisecond before it was entered.
        self.0
            .iter()
            .any(|position| position.entry.millis.saturating_add(1) < time_ms)
    }

    /// Reads what a message carried; `None` where it is of another form, or of another number of partitions.
    pub(super) fn read(text: &str, partitions: usize) -> Option<Self> {
        let positions: Option<Vec<Position>> = text.trim().split('.').map(position).collect();
        positions.filter(|positions| positions.len() == partitions).map(Self)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, position) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(
                f,
                "{dot}{}-{}",
                base36(position.entry.millis),
                base36(position.entry.sequence)
            )?;
            if let Some(within) = position.within {
                write!(f, "-{}", base36(within.into()))?;
            }
        }
        Ok(())
    }
}

fn position(text: &str) -> Option<Position> {
    let mut numbers = text.split('-').map(|part| u64::from_str_radix(part, 36));
    let entry = StreamId {
        millis: numbers.next()?.ok()?,
        sequence: numbers.next()?.ok()?,
    };
    let within = numbers.next().transpose().ok()?.map(u32::try_from).transpose().ok()?;
    numbers.next().is_none().then_some(Position { entry, within })
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_written() {
        let at = |millis, sequence, within| Position {
            entry: StreamId { millis, sequence },
            within,
        };
        let place = Place(vec![
            at(1_795_389_052_775, 7, None),
            at(0, u64::MAX, Some(255)),
            at(36, 35, Some(0)),
        ]);
        let text = place.to_string();
        assert_eq!(text, "mwsgab8n-7.0-3w5e11264sgsf-73.10-z-0");
        assert_eq!(Place::read(&text, 3), Some(place.clone()));
        assert_eq!(Place::read(&text, 2), None, "another number of partitions");
        assert!(place.is_before(2) && !Place(vec![at(9, 0, None)]).is_before(10));
        for text in ["", "1", "1-", "1-2-3-4", "é-1", "1-2.", "1-zzzzzzzzzzzzzzzzzzzz"] {
            assert_eq!(Place::read(text, 1), None, "{text}");
        }
    }
}
