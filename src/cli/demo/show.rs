//! What the demo shows while it runs: bars on a terminal, a line every two seconds elsewhere.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::EVENTS;
use super::subscribers::{ROLES, Subscribers};
use crate::store::Store;

const REFRESH: Duration = Duration::from_millis(100);
/// Without a terminal, a line is printed every so many refreshes.
const REFRESHES_A_LINE: u32 = 20;

/// The running display.
pub(super) struct Show {
    bars: MultiProgress,
    published: ProgressBar,
    on_terminal: bool,
    running: DropGuard,
    task: JoinHandle<()>,
}

impl Show {
    /// Starts to show what the subscribers have and what waits for them.
    pub(super) fn start(store: &Arc<Store>, subscribers: &Subscribers) -> Self {
        let bars = MultiProgress::new();
        let on_terminal = !bars.is_hidden();
        let published = bars.add(bar("published", "white"));
        let delivered: Vec<ProgressBar> = ROLES.iter().map(|role| bars.add(bar(role.name, "green"))).collect();
        let stop = CancellationToken::new();
        let display = Display {
            store: Arc::clone(store),
            counts: subscribers.watch(),
            delivered,
            lines: !on_terminal,
        };
        let task = tokio::spawn(display.run(stop.clone()));
        Self {
            bars,
            published,
            on_terminal,
            running: stop.drop_guard(),
            task,
        }
    }

    /// So many events have been published.
    pub(super) fn published(&self, events: usize) {
        self.published.set_position(events as u64);
    }

    /// Tells what happens now.
    pub(super) fn say(&self, text: &str) {
        if !self.on_terminal {
            println!("* {text}");
        } else if self.bars.println(format!("* {text}")).is_err() {
            eprintln!("* {text}");
        }
    }

    /// Shows the last state and ends.
    pub(super) async fn finish(self) {
        drop(self.running);
        if self.task.await.is_err() {
            eprintln!("holdfast: the display failed; the demo goes on");
        }
        self.published.abandon();
    }
}

fn bar(name: &'static str, colour: &str) -> ProgressBar {
    let template = format!("{{prefix:>10}} {{bar:40.{colour}/black.bright}} {{pos:>5}}/{{len}} {{msg}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(EVENTS as u64).with_style(style).with_prefix(name)
}

/// The task behind the display.
struct Display {
    store: Arc<Store>,
    counts: Box<dyn Fn() -> Vec<u64> + Send + Sync>,
    delivered: Vec<ProgressBar>,
    lines: bool,
}

impl Display {
    async fn run(self, stop: CancellationToken) {
        let mut turn = 0;
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(REFRESH) => false,
                () = stop.cancelled() => true,
            };
            let rows = self.rows().await;
            for (bar, (count, waits)) in self.delivered.iter().zip(&rows) {
                bar.set_position(*count);
                bar.set_message(waits.clone());
            }
            turn += 1;
            if self.lines && (last || turn % REFRESHES_A_LINE == 0) {
                let parts = ROLES
                    .iter()
                    .zip(&rows)
                    .map(|(role, (count, waits))| format!("{} {count} {waits}", role.name));
                println!(
                    "  {}",
                    parts
                        .map(|part| part.trim_end().to_owned())
                        .collect::<Vec<_>>()
                        .join(" | ")
                );
            }
            if last {
                self.delivered.iter().for_each(ProgressBar::abandon);
                return;
            }
        }
    }

    /// Per subscriber, what it has and what waits for it.
    async fn rows(&self) -> Vec<(u64, String)> {
        let (now, troubled) = self.store.troubled().await.unwrap_or_default();
        let waits = |name: &str| {
            let waiting = troubled.get(name).filter(|census| census.parked > 0)?;
            let age = Duration::from_millis(now.saturating_sub(waiting.oldest?.millis));
            Some(format!("{} parked, oldest {:.1} s", waiting.parked, age.as_secs_f64()))
        };
        let counts = (self.counts)();
        ROLES
            .iter()
            .zip(counts)
            .map(|(role, count)| (count, waits(role.name).unwrap_or_default()))
            .collect()
    }
}
