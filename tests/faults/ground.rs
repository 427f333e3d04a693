//! What faults play on: each ground is a deployment of Redis and what else the machine must lend.

use crate::servers::Topology;
use crate::stage::{NORMAL, Need, Setting};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    Normal,
    Always,
    Sentinel,
    Cluster,
    Namespace,
    Names,
    SmallDisk,
    SmallDiskAlways,
}

impl Ground {
    pub(crate) const fn setting(self) -> Setting {
        const ALWAYS: &[&str] = &["--appendfsync", "always"];
        let mut setting = NORMAL;
        match self {
            Self::Normal => {}
            Self::Always => setting.redis = ALWAYS,
            Self::Sentinel => setting.topology = Topology::Sentinel,
            Self::Cluster => {
                setting.topology = Topology::Cluster;
                setting.settings = &[("HOLDFAST_REDIS__PARTITIONS", "4")];
            }
            Self::Namespace => {
                setting.needs = Need::Namespace;
                setting.pods = 1;
            }
            Self::Names => setting.needs = Need::Names,
            Self::SmallDisk => setting.needs = Need::SmallDisk,
            Self::SmallDiskAlways => {
                setting.needs = Need::SmallDisk;
                setting.redis = ALWAYS;
            }
        }
        setting
    }
}
