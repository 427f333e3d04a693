//! Which records of a message a subscription is sent: all of them, nearly always.

/// A set of record indexes of one message, never empty. All of them costs no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records(Set);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Set {
    All(usize),
    Some(Box<[usize]>),
}

impl Records {
    /// Every record of a message that has `total`; `None` when it has none.
    #[must_use]
    pub fn all(total: usize) -> Option<Self> {
        (total > 0).then_some(Self(Set::All(total)))
    }

    /// Those of `total` records for which `wanted` holds; `None` when it holds for none.
    pub fn pick(total: usize, wanted: impl Fn(usize) -> bool) -> Option<Self> {
        if total == 0 {
            return None;
        }
        let first = wanted(0);
        let Some(odd) = (1..total).find(|&index| wanted(index) != first) else {
            return Self::all(total).filter(|_| first);
        };
        let before = if first { 0..odd } else { odd..odd + 1 };
        let rest = (odd + 1..total).filter(|&index| wanted(index));
        Some(Self(Set::Some(before.chain(rest).collect())))
    }

    /// Whether every record of the message is in the set, so that it is sent as it came.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self.0, Set::All(_))
    }

    /// How many records are in the set; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the set is never empty")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Set::All(total) => *total,
            Set::Some(indexes) => indexes.len(),
        }
    }

    /// The indexes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let (all, some) = match &self.0 {
            Set::All(total) => (0..*total, [].as_slice()),
            Set::Some(indexes) => (0..0, indexes.as_ref()),
        };
        all.chain(some.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_wanted() {
        for total in 0..6 {
            for mask in 0_u32..1 << total {
                let wanted: Vec<usize> = (0..total).filter(|index| mask >> index & 1 == 1).collect();
                let records = Records::pick(total, |index| mask >> index & 1 == 1);
                let Some(records) = records else {
                    assert!(wanted.is_empty(), "{mask:b} of {total}");
                    continue;
                };
                assert_eq!(records.iter().collect::<Vec<_>>(), wanted, "{mask:b} of {total}");
                assert_eq!(records.len(), wanted.len());
                assert_eq!(records.is_all(), wanted.len() == total);
            }
        }
    }
}
