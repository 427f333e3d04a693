//! What can be wrong with Redis, each with a beginning and an end, so that two can overlap.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stage::{SOON, Stage, Wish};
use crate::support::{TestRedis, wait_until};

/// Longer than a takeover takes.
const LONG: Duration = Duration::from_secs(3);
/// Until the second begins, and from the end of one to the end of the other.
const MOMENT: Duration = Duration::from_millis(500);

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Frozen,
    Killed,
    /// It was started again, and is killed while it reads its append-only file. Only where it is down.
    KilledLoading,
    /// At its memory limit.
    Full,
    /// Its disk is full; the stage's Redis lives on a small one.
    DiskFull,
    /// A script of somebody else blocks it.
    Busy,
    /// It forgets its scripts, again and again.
    Forgets,
    /// It writes its append-only file anew, slowly.
    Rewrites,
    /// Connections to it are reset, and no new one is made.
    CutOff,
    /// One reply to each pod is lost, of a script that was run.
    RepliesLost,
    /// One of its workers is gone.
    WorkerKilled,
}

/// A program that is part of a trouble while it lasts.
pub(crate) type Helper = Option<Child>;

/// Two at once: the second comes while the first lasts, and ends before it.
pub(crate) async fn both(stage: &mut Stage, first: Trouble, second: Trouble) {
    stage.progress(40).await;
    let one = first.begin(stage).await;
    stage.lasts(MOMENT).await;
    let other = second.begin(stage).await;
    stage.lasts(LONG).await;
    second.end(stage, other).await;
    stage.lasts(MOMENT).await;
    first.end(stage, one).await;
}

impl Trouble {
    pub(crate) async fn begin(self, stage: &mut Stage) -> Helper {
        match self {
            Self::Frozen => stage.redis().pause(),
            Self::Killed => stage.redis().kill9(),
            Self::KilledLoading => {
                stage.redis().restart_loading(&["--key-load-delay", "1000"]);
                stage.redis().kill9();
            }
            Self::Full => {
                stage.redis().config_set("maxmemory", "1mb");
                refuses(stage, "OOM").await;
            }
            Self::DiskFull => {
                fill_disk(stage);
                refuses(stage, "MISCONF").await;
            }
            Self::Busy => return Some(block(stage).await),
            Self::Forgets => return Some(cli(stage.redis(), &["-r", "-1", "-i", "0.05", "SCRIPT", "FLUSH"])),
            Self::Rewrites => rewrite(stage).await,
            Self::CutOff => {
                for proxy in stage.pods.iter().filter_map(|pod| pod.proxy.as_ref()) {
                    proxy.refuse(true);
                    proxy.reset();
                }
            }
            Self::RepliesLost => lose_replies(stage).await,
            Self::WorkerKilled => stage.kill(0),
        }
        None
    }

    pub(crate) async fn end(self, stage: &mut Stage, helper: Helper) {
        match self {
            Self::Frozen => stage.redis().resume(),
            Self::Killed => stage.redis().restart(),
            Self::KilledLoading | Self::RepliesLost | Self::Forgets => {}
            Self::Full => stage.redis().config_set("maxmemory", "0"),
            Self::DiskFull => {
                std::fs::remove_file(stage.redis().dir().join("ballast")).unwrap();
                if !stage.redis().runs() {
                    stage.redis().restart();
                }
            }
            // Killed meanwhile, it is not busy any more.
            Self::Busy => drop(stage.redis().cli(&["SCRIPT", "KILL"])),
            Self::Rewrites => stage.redis().config_set("rdb-key-save-delay", "0"),
            Self::CutOff => {
                let proxies = stage.pods.iter().filter_map(|pod| pod.proxy.as_ref());
                proxies.for_each(|proxy| proxy.refuse(false));
            }
            Self::WorkerKilled => stage.add_pod(Wish::default()).await,
        }
        if let Some(mut helper) = helper {
            helper.kill().unwrap();
            helper.wait().unwrap();
        }
    }
}

/// A `redis-cli` that goes on by itself.
fn cli(redis: &TestRedis, words: &[&str]) -> Child {
    Command::new("redis-cli")
        .args(["-p", &redis.port().to_string()])
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until it takes no write, or ended itself.
async fn refuses(stage: &mut Stage, how: &str) {
    wait_until(&format!("it refuses writes: {how}"), SOON, async || {
        stage.redis().cli(&["SET", "canary", "1"]).contains(how) || !stage.redis().runs()
    })
    .await;
}

fn fill_disk(stage: &mut Stage) {
    let ballast = stage.redis().dir().join("ballast");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!full.success(), "the disk took everything");
}

async fn block(stage: &mut Stage) -> Child {
    stage.redis().config_set("lua-time-limit", "100");
    let blocker = cli(stage.redis(), &["EVAL", "while true do end", "0"]);
    wait_until("it is busy", SOON, async || {
        stage.redis().cli(&["PING"]).contains("BUSY")
    })
    .await;
    blocker
}

/// Each key takes a tenth of a second, so that it lasts.
async fn rewrite(stage: &mut Stage) {
    stage.redis().config_set("rdb-key-save-delay", "100000");
    stage.redis().cli(&["BGREWRITEAOF"]);
    wait_until("it writes its file anew", SOON, async || {
        let info = stage.redis().cli(&["INFO", "persistence"]);
        info.contains("aof_rewrite_in_progress:1")
    })
    .await;
}

async fn lose_replies(stage: &mut Stage) {
    let proxies = stage.pods.iter().filter_map(|pod| pod.proxy.as_ref());
    for proxy in proxies {
        proxy.swallow_reply("EVALSHA", 0);
        wait_until("a reply is lost", SOON, async || proxy.swallowed() > 0).await;
    }
}
