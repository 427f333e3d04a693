//! `holdfast demo`: the main job, shown on real processes in under a minute.
//!
//! A private Redis, two workers as processes of their own, three subscribers, and a stream of varied events.
//! One subscriber goes dark and comes back, one hangs for a while, and a worker is killed with SIGKILL in the
//! middle. At the end the ledger must say that nothing was lost; the exit status says so too.

mod pods;
mod samples;
mod show;
mod subscribers;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, MissedTickBehavior};

use self::pods::Pods;
use self::show::Show;
use self::subscribers::{HANGING, HEALTHY, Subscribers, UNSTEADY};
use crate::cli::sink::Mode;
use crate::config;
use crate::store::Store;
use crate::store::connect::{Connection, FirstConnect};
use crate::store::embedded::Embedded;
use crate::store::frame::Frame;

/// How many events the story needs.
const EVENTS: usize = 6_000;
/// Events are published in ticks of this length.
const TICK: Duration = Duration::from_millis(50);
const EVENTS_A_TICK: usize = 20;
/// How long the story may take to end, once everybody is back.
const PATIENCE: Duration = Duration::from_secs(30);

/// The scenes, by the number of events published before.
const GOES_DARK: usize = EVENTS / 6;
const WORKER_DIES: usize = EVENTS * 2 / 5;
const COMES_BACK: usize = EVENTS * 3 / 4;
const STOPS_HANGING: usize = EVENTS * 5 / 6;

/// Options of `holdfast demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Tells the story and checks its end.
///
/// # Errors
/// When something can't be started, or an event was lost.
pub async fn run(_: Args) -> anyhow::Result<()> {
    let home = std::env::temp_dir().join(format!("holdfast-demo-{}", std::process::id()));
    let result = play(&home).await;
    if let Err(error) = std::fs::remove_dir_all(&home) {
        eprintln!("holdfast: {} could not be removed: {error}", home.display());
    }
    result
}

async fn play(home: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let redis = config::Embedded {
        data_dir: home.to_owned(),
        ..config::Embedded::default()
    };
    let server = Embedded::start(&redis).await?;
    let connection = Connection::open(&config::Redis::default(), server.url(), FirstConnect::FailFast).await?;
    let store = Arc::new(Store::open(connection, &config::Redis::default().prefix, Some(1)).await?);
    let subscribers = Subscribers::start(&store).await?;
    let mut pods = Pods::start(server.url(), home)?;
    let show = Show::start(&store, &subscribers);
    show.say("a private Redis, two workers and three subscribers are up; events begin to flow");

    let told = tell(&store, &subscribers, &mut pods, &show, home).await;
    let end = match told {
        Ok(()) => wait_until_settled(&store, &subscribers, started).await,
        Err(error) => Err(error),
    };
    show.finish().await;
    pods.stop().await;
    let verdict = match end {
        Ok(()) => subscribers.verdict(&store, EVENTS, started.elapsed()).await,
        Err(error) => Err(error),
    };
    store.connection().quit().await;
    server.stop().await;
    verdict
}

/// Publishes all events, and lets happen what happens meanwhile.
async fn tell(
    store: &Store,
    subscribers: &Subscribers,
    pods: &mut Pods,
    show: &Show,
    home: &Path,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published = 0;
    while published < EVENTS {
        ticks.tick().await;
        pods.check(home)?;
        for _ in 0..EVENTS_A_TICK {
            scene(published, subscribers, pods, show).await?;
            publish(store, published).await?;
            published += 1;
            show.published(published);
        }
    }
    show.say("all events are in; waiting until every subscriber has caught up");
    Ok(())
}

async fn scene(published: usize, subscribers: &Subscribers, pods: &mut Pods, show: &Show) -> anyhow::Result<()> {
    match published {
        GOES_DARK => {
            subscribers.set(UNSTEADY, Mode::Refuse(None)).await;
            show.say("subscriber 'unsteady' goes dark: connections are refused, its events are parked");
        }
        WORKER_DIES => {
            let pid = pods.kill_one().await?;
            show.say(&format!(
                "worker {pid} is killed with SIGKILL; the other takes over what it held"
            ));
        }
        COMES_BACK => {
            subscribers.set(UNSTEADY, Mode::Ok).await;
            show.say("subscriber 'unsteady' is back: the next probe drains its queue");
        }
        STOPS_HANGING => {
            subscribers.set(HANGING, Mode::Ok).await;
            show.say("subscriber 'hanging' answers again");
        }
        0 => show.say(&format!(
            "'{}' answers, '{}' hangs on every request",
            HEALTHY.name, HANGING.name
        )),
        _ => {}
    }
    Ok(())
}

async fn publish(store: &Store, number: usize) -> anyhow::Result<()> {
    let source = samples::source(number);
    let frame = Frame {
        event: samples::event(number).into(),
        source: source.clone(),
        received_at: String::new(),
    };
    store
        .partition_of(&source)
        .publish(&frame)
        .await
        .context("an event could not be published")?;
    Ok(())
}

/// Waits until nothing is in the stream and nothing is parked.
async fn wait_until_settled(store: &Store, subscribers: &Subscribers, started: Instant) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut busy = 0;
        for partition in store.partitions() {
            let snapshot = partition.snapshot(Duration::ZERO).await?;
            busy += snapshot.events + u64::try_from(snapshot.ledger.parked).unwrap_or(0);
        }
        if busy == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            subscribers.print_counts();
            bail!("{busy} events or deliveries still wait after {:?}", started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
