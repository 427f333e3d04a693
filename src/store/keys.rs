//! Every key's name. All keys of a partition share its hash tag, so that a script touches one Cluster slot.

/// The consumer group of both streams.
pub const GROUP: &str = "workers";

/// The names of one partition's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    base: String,
    /// The event stream: `<prefix>:{<tag>}:events`.
    pub events: String,
    /// The stream of re-injected subscriptions.
    pub redeliveries: String,
}

impl Keys {
    /// The keys of a partition.
    #[must_use]
    pub fn new(prefix: &str, partition: u16) -> Self {
        let base = format!("{prefix}:{{{}}}:", tag(partition));
        Self {
            events: format!("{base}events"),
            redeliveries: format!("{base}redeliveries"),
            base,
        }
    }

    /// The stream of dead letters.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}dead", self.base)
    }

    /// The set of subscriptions that are behind.
    #[must_use]
    pub fn behind(&self) -> String {
        format!("{}behind", self.base)
    }

    /// Totals that the scripts keep.
    #[must_use]
    pub fn ledger(&self) -> String {
        format!("{}ledger", self.base)
    }

    /// Tombstones of removed subscriptions.
    #[must_use]
    pub fn removed(&self) -> String {
        format!("{}removed", self.base)
    }

    /// Last heartbeat of each worker.
    #[must_use]
    pub fn workers(&self) -> String {
        format!("{}workers", self.base)
    }

    /// Next wake-up of each waiting subscription.
    #[must_use]
    pub fn wakeups(&self) -> String {
        format!("{}wakeups", self.base)
    }

    /// The stream of settled events.
    #[must_use]
    pub fn recent(&self) -> String {
        format!("{}recent", self.base)
    }

    /// When each source was heard of last.
    #[must_use]
    pub fn sources(&self) -> String {
        format!("{}sources", self.base)
    }

    /// Parked events.
    #[must_use]
    pub fn bodies(&self) -> String {
        format!("{}bodies", self.base)
    }

    /// Retry queue of a subscription.
    #[must_use]
    pub fn retry(&self, subscription: &str) -> String {
        format!("{}retry:{subscription}", self.base)
    }
}

/// The hash of subscriptions: id to JSON, the version under [`VERSION_FIELD`], settings under [`SETTINGS_FIELD`].
#[must_use]
pub fn subscriptions(prefix: &str) -> String {
    format!("{prefix}:subscriptions")
}

/// Field of the registry that holds its version; no subscription id contains a colon.
pub const VERSION_FIELD: &str = ":version";

/// Field of the registry that holds the service's settings as JSON.
pub const SETTINGS_FIELD: &str = ":settings";

/// The number of partitions that this deployment uses.
#[must_use]
pub fn partitions(prefix: &str) -> String {
    format!("{prefix}:partitions")
}

/// A key of the Redfish service; they share a hash tag of their own.
#[must_use]
pub fn redfish(prefix: &str, name: &str) -> String {
    format!("{prefix}:{{redfish}}:{name}")
}

/// The hash tag of a partition. Partition 0 is `0`. The others are chosen so that partitions, in whatever
/// number, spread evenly over the 16,384 slots of a Cluster: the n-th lies near slot(0) + bit-reversed(n), the
/// van der Corput sequence. On one server the tag is only a name.
#[must_use]
pub fn tag(partition: u16) -> String {
    let target = (u32::from(slot("0")) + u32::from(partition.reverse_bits() >> 2)) % SLOTS;
    if partition == 0 {
        return "0".to_owned();
    }
    let distance = |candidate: &String| {
        let apart = (u32::from(slot(candidate)) + SLOTS - target) % SLOTS;
        apart.min(SLOTS - apart)
    };
    let width = SLOTS
        / u32::from(partition)
            .next_power_of_two()
            .saturating_mul(16)
            .min(SLOTS / 4);
    let mut candidates = std::iter::once(partition.to_string()).chain((0_u32..).map(|n| format!("{partition}-{n}")));
    candidates
        .find(|candidate| distance(candidate) <= width)
        .unwrap_or_else(|| partition.to_string())
}

const SLOTS: u32 = 16_384;

/// The Cluster slot of a hash tag: CRC16 (XMODEM) modulo 16,384.
#[must_use]
pub fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % 16_384
}

/// The partition of a source, so that the events of one BMC keep their order (FNV-1a, stable for ever).
#[must_use]
pub fn partition_of(source: &str, partitions: u16) -> u16 {
    let hash = source.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u16::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("0"), 13_907);
    }

    #[test]
    fn partitions_spread_evenly_over_three_masters() {
        for partitions in [3_u16, 4, 6, 8, 16, 32] {
            let mut per_master = [0_u16; 3];
            for partition in 0..partitions {
                per_master[usize::from(slot(&tag(partition))) * 3 / 16_384] += 1;
            }
            let (least, most) = (per_master.iter().min(), per_master.iter().max());
            assert!(
                most.zip(least).is_some_and(|(most, least)| most - least <= 2),
                "{partitions}: {per_master:?}"
            );
        }
    }

    #[test]
    fn keys_are_those_of_the_public_contract() {
        let keys = Keys::new("holdfast", 0);
        assert_eq!(keys.events, "holdfast:{0}:events");
        assert_eq!(keys.retry("k7m2"), "holdfast:{0}:retry:k7m2");
    }
}
