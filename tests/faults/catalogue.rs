//! Every fault by number and name.

use std::time::Duration;

use futures::FutureExt;

use crate::ground::Ground;
use crate::kinds::troubles::{self, Trouble};
use crate::kinds::{network, operators, redis, subscribers, topologies, workers};
use crate::run::Act;

/// One fault.
pub(crate) struct Fault {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) act: Act,
    pub(crate) ground: Ground,
    /// Leaves the stage as it was, so that others can follow.
    pub(crate) mixes: bool,
    /// Mixes with the faults of every ground, not only with those of its own.
    pub(crate) anywhere: bool,
    /// Among the few that every change is tried with.
    pub(crate) in_ci: bool,
    /// No reason to send anything twice: a duplicate is a failure.
    pub(crate) once: bool,
}

const fn fault(number: u8, name: &'static str, act: Act) -> Fault {
    Fault {
        number,
        name,
        act,
        ground: Ground::Normal,
        mixes: true,
        anywhere: false,
        in_ci: false,
        once: false,
    }
}

impl Fault {
    const fn on(mut self, ground: Ground) -> Self {
        self.ground = ground;
        self
    }

    const fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }

    const fn alone(mut self) -> Self {
        self.mixes = false;
        self
    }

    const fn in_ci(mut self) -> Self {
        self.in_ci = true;
        self
    }

    const fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// What each trouble lasts when it comes alone.
const A_WHILE: Duration = Duration::from_secs(4);

pub(crate) const FAULTS: &[Fault] = &[
    fault(1, "worker-sigkill-mid-post", |s| {
        workers::killed_mid_post(s).boxed_local()
    })
    .anywhere()
    .in_ci(),
    fault(2, "worker-sigkill-before-settlement", |s| {
        workers::killed_before_settlement(s).boxed_local()
    })
    .in_ci(),
    fault(3, "worker-sigkill-in-drain", |s| {
        workers::killed_in_a_drain(s).boxed_local()
    })
    .in_ci(),
    fault(4, "scheduler-sigkill-after-reinjection", |s| {
        workers::killed_after_reinjection(s).boxed_local()
    })
    .in_ci(),
    fault(5, "redis-sigkill-everysec", |s| redis::killed(s).boxed_local()).in_ci(),
    fault(5, "redis-sigkill-always", |s| redis::killed(s).boxed_local())
        .on(Ground::Always)
        .alone(),
    fault(6, "redis-restart", |s| redis::restarted(s).boxed_local()),
    fault(7, "redis-sigstop-30s", |s| {
        redis::troubled(s, Trouble::Frozen, Duration::from_secs(30)).boxed_local()
    })
    .alone()
    .once(),
    fault(7, "redis-sigstop-4s", |s| {
        redis::troubled(s, Trouble::Frozen, A_WHILE).boxed_local()
    })
    .in_ci()
    .once(),
    fault(8, "worker-sigstop-beyond-takeover", |s| {
        workers::frozen_beyond_takeover(s).boxed_local()
    })
    .in_ci(),
    fault(9, "worker-redis-packets-dropped", |s| {
        network::redis_drops(s).boxed_local()
    })
    .on(Ground::Namespace)
    .alone(),
    fault(9, "worker-redis-connections-reset", |s| {
        network::redis_resets(s).boxed_local()
    })
    .in_ci(),
    fault(10, "reply-lost-after-write", |s| network::replies_lost(s).boxed_local()).in_ci(),
    fault(11, "worker-subscriber-packets-dropped", |s| {
        network::subscriber_drops(s).boxed_local()
    })
    .on(Ground::Namespace)
    .alone(),
    fault(11, "subscriber-unreachable", |s| {
        network::subscriber_unreachable(s).boxed_local()
    })
    .anywhere()
    .once(),
    fault(12, "subscriber-slow-drip-hang", |s| {
        subscribers::moods(s, &["slow:500ms", "drip", "hang"]).boxed_local()
    })
    .anywhere()
    .once(),
    fault(13, "subscriber-reset-garbage-flood", |s| {
        subscribers::moods(s, &["reset", "garbage", "flood"]).boxed_local()
    })
    .anywhere()
    .once(),
    fault(14, "subscriber-3xx-4xx-429", |s| {
        subscribers::moods(s, &["302", "404", "429:1", "503"]).boxed_local()
    })
    .anywhere()
    .in_ci()
    .once(),
    fault(14, "subscriber-410", |s| subscribers::gone(s).boxed_local())
        .anywhere()
        .once(),
    fault(15, "subscriber-bad-certificates", |s| {
        subscribers::certificates_bad(s).boxed_local()
    })
    .anywhere()
    .in_ci()
    .once(),
    fault(16, "subscriber-name-unknown", |s| {
        subscribers::name_unknown(s).boxed_local()
    })
    .on(Ground::Names)
    .alone()
    .once(),
    fault(17, "redis-out-of-memory", |s| redis::out_of_memory(s).boxed_local())
        .in_ci()
        .once(),
    fault(18, "disk-full-everysec", |s| {
        redis::troubled(s, Trouble::DiskFull, Duration::from_secs(2)).boxed_local()
    })
    .on(Ground::SmallDisk),
    fault(18, "disk-full-always", |s| {
        redis::troubled(s, Trouble::DiskFull, Duration::from_secs(2)).boxed_local()
    })
    .on(Ground::SmallDiskAlways)
    .alone(),
    fault(19, "sentinel-master-killed", |s| {
        topologies::sentinel_master_killed(s).boxed_local()
    })
    .on(Ground::Sentinel),
    fault(19, "sentinel-master-frozen", |s| {
        topologies::sentinel_master_frozen(s).boxed_local()
    })
    .on(Ground::Sentinel),
    fault(20, "cluster-master-killed", |s| {
        topologies::cluster_master_killed(s).boxed_local()
    })
    .on(Ground::Cluster),
    fault(21, "cluster-slot-migrated", |s| {
        topologies::slot_migrated(s).boxed_local()
    })
    .on(Ground::Cluster)
    .in_ci(),
    fault(22, "clocks-an-hour-off", |s| workers::clocks_wrong(s).boxed_local())
        .alone()
        .in_ci(),
    fault(23, "script-flush", |s| redis::scripts_flushed(s).boxed_local())
        .once()
        .in_ci(),
    fault(24, "flushall", |s| operators::flushed(s).boxed_local()).alone(),
    fault(25, "redis-busy", |s| {
        redis::troubled(s, Trouble::Busy, A_WHILE).boxed_local()
    })
    .once(),
    fault(26, "ten-schedulers", |s| workers::ten_schedulers(s).boxed_local())
        .alone()
        .once(),
    fault(27, "rolling-restart", |s| workers::rolling_restart(s).boxed_local())
        .anywhere()
        .in_ci(),
    fault(28, "unread-entries-deleted", |s| {
        operators::unread_deleted(s).boxed_local()
    })
    .alone(),
    fault(28, "pending-entries-trimmed", |s| {
        operators::pending_trimmed(s).boxed_local()
    })
    .alone(),
    fault(29, "password-rotated", |s| operators::password_rotated(s).boxed_local()).alone(),
    fault(29, "commands-forbidden", |s| {
        operators::commands_forbidden(s).boxed_local()
    })
    .alone(),
    fault(30, "subscriptions-changed", |s| {
        operators::subscriptions_changed(s).boxed_local()
    })
    .alone()
    .in_ci(),
    fault(31, "worker-killed-redis-frozen", |s| {
        troubles::both(s, Trouble::WorkerKilled, Trouble::Frozen).boxed_local()
    }),
    fault(31, "redis-frozen-cut-off", |s| {
        troubles::both(s, Trouble::Frozen, Trouble::CutOff).boxed_local()
    })
    .in_ci(),
    fault(31, "redis-frozen-killed", |s| {
        troubles::both(s, Trouble::Frozen, Trouble::Killed).boxed_local()
    }),
    fault(31, "redis-busy-killed", |s| {
        troubles::both(s, Trouble::Busy, Trouble::Killed).boxed_local()
    })
    .in_ci(),
    fault(31, "redis-busy-frozen", |s| {
        troubles::both(s, Trouble::Busy, Trouble::Frozen).boxed_local()
    }),
    fault(31, "redis-busy-cut-off", |s| {
        troubles::both(s, Trouble::Busy, Trouble::CutOff).boxed_local()
    }),
    fault(31, "redis-full-killed", |s| {
        troubles::both(s, Trouble::Full, Trouble::Killed).boxed_local()
    }),
    fault(31, "redis-full-frozen", |s| {
        troubles::both(s, Trouble::Full, Trouble::Frozen).boxed_local()
    }),
    fault(31, "redis-full-busy", |s| {
        troubles::both(s, Trouble::Full, Trouble::Busy).boxed_local()
    }),
    fault(31, "redis-full-forgets", |s| {
        troubles::both(s, Trouble::Full, Trouble::Forgets).boxed_local()
    }),
    fault(31, "redis-forgets-replies-lost", |s| {
        troubles::both(s, Trouble::Forgets, Trouble::RepliesLost).boxed_local()
    }),
    fault(31, "redis-rewrites-killed", |s| {
        troubles::both(s, Trouble::Rewrites, Trouble::Killed).boxed_local()
    }),
    fault(31, "redis-killed-while-loading", |s| {
        troubles::both(s, Trouble::Killed, Trouble::KilledLoading).boxed_local()
    }),
    fault(31, "disk-full-redis-frozen", |s| {
        troubles::both(s, Trouble::DiskFull, Trouble::Frozen).boxed_local()
    })
    .on(Ground::SmallDisk),
    fault(31, "sentinel-failover-forgets", |s| {
        topologies::sentinel_forgets(s).boxed_local()
    })
    .on(Ground::Sentinel),
    fault(31, "sentinel-failover-twice", |s| {
        topologies::sentinel_twice(s).boxed_local()
    })
    .on(Ground::Sentinel),
    fault(31, "cluster-failover-worker-killed", |s| {
        topologies::cluster_and_worker_killed(s).boxed_local()
    })
    .on(Ground::Cluster),
];
