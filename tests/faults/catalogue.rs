//! Every fault by number and name.

use std::time::Duration;

use futures::FutureExt;

use crate::kinds::{network, redis, subscribers, workers};
use crate::run::Act;
use crate::stage::Setting;

/// One fault.
pub(crate) struct Fault {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) act: Act,
    pub(crate) setting: fn() -> Setting,
    /// Leaves the stage as it was, so that others can follow.
    pub(crate) mixes: bool,
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
        setting: Setting::default,
        mixes: true,
        in_ci: false,
        once: false,
    }
}

impl Fault {
    const fn on(mut self, setting: fn() -> Setting) -> Self {
        self.setting = setting;
        self.mixes = false;
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

pub(crate) const FAULTS: &[Fault] = &[
    fault(1, "worker-sigkill-mid-post", |s| {
        workers::killed_mid_post(s).boxed_local()
    })
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
    }),
    fault(5, "redis-sigkill-everysec", |s| redis::killed(s).boxed_local()).in_ci(),
    fault(5, "redis-sigkill-always", |s| redis::killed(s).boxed_local()).on(|| Setting {
        redis: &["--appendfsync", "always"],
        ..Setting::default()
    }),
    fault(6, "redis-restart", |s| redis::restarted(s).boxed_local()),
    fault(7, "redis-sigstop-30s", |s| {
        redis::frozen(s, Duration::from_secs(30)).boxed_local()
    })
    .alone()
    .once(),
    fault(7, "redis-sigstop-4s", |s| {
        redis::frozen(s, Duration::from_secs(4)).boxed_local()
    })
    .in_ci()
    .once(),
    fault(8, "worker-sigstop-beyond-takeover", |s| {
        workers::frozen_beyond_takeover(s).boxed_local()
    })
    .in_ci(),
    fault(9, "worker-redis-resets", |s| network::redis_resets(s).boxed_local()).in_ci(),
    fault(10, "reply-lost-after-write", |s| network::replies_lost(s).boxed_local()).in_ci(),
    fault(11, "subscriber-unreachable", |s| {
        subscribers::unreachable(s).boxed_local()
    })
    .once(),
    fault(12, "subscriber-slow-drip-hang", |s| {
        subscribers::moods(s, &["slow:500ms", "drip", "hang"]).boxed_local()
    })
    .once(),
    fault(13, "subscriber-reset-garbage", |s| {
        subscribers::moods(s, &["reset", "garbage"]).boxed_local()
    })
    .once(),
    fault(14, "subscriber-3xx-4xx-429", |s| {
        subscribers::moods(s, &["302", "404", "429:1", "503"]).boxed_local()
    })
    .in_ci()
    .once(),
    fault(14, "subscriber-410", |s| subscribers::gone(s).boxed_local()).once(),
    fault(17, "redis-out-of-memory", |s| redis::out_of_memory(s).boxed_local())
        .in_ci()
        .once(),
    fault(22, "clocks-an-hour-off", |s| workers::clocks_wrong(s).boxed_local()).alone(),
    fault(23, "script-flush", |s| redis::scripts_flushed(s).boxed_local()).once(),
    fault(25, "redis-busy", |s| redis::busy(s).boxed_local()).once(),
    fault(26, "ten-schedulers", |s| workers::ten_schedulers(s).boxed_local())
        .alone()
        .once(),
    fault(27, "rolling-restart", |s| workers::rolling_restart(s).boxed_local()).in_ci(),
    fault(30, "subscription-changed", |s| subscribers::changed(s).boxed_local())
        .alone()
        .in_ci(),
];
