//! `holdfast status`: how deliveries are going, once or every second.

mod largest;
mod render;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::deployment::with_store;
use crate::config::Config;
use crate::report::Report;
use crate::store::Store;

/// How often `--watch` looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Cursor to the upper left corner.
const HOME: &str = "\x1b[H";
/// Erase to the end of the line.
const ERASE_LINE: &str = "\x1b[K";
/// Erase everything below.
const ERASE_BELOW: &str = "\x1b[J";

/// Arguments of `status`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Look again every second, with rates, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Print JSON for programs: one object, with --watch one a line.
    #[arg(long)]
    json: bool,
}

/// Prints the state of all subscriptions and the totals.
///
/// # Errors
/// When Redis can't be reached.
pub(super) async fn run(args: Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    with_store(config, async |store| {
        let dead_after = config.worker.dead_after.0;
        let mut report = Report::take(store, dead_after).await?;
        if !args.watch {
            return print(&report, None, args.json, out);
        }
        let redraw = !args.json && std::io::stdout().is_terminal();
        if redraw {
            write!(out, "{HOME}{ERASE_BELOW}")?;
        }
        let mut before = None;
        let mut seconds = tokio::time::interval(PERIOD);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        seconds.tick().await;
        loop {
            if redraw {
                let lines = render::text(&report, before.as_ref()).replace('\n', &format!("{ERASE_LINE}\n"));
                write!(out, "{HOME}{lines}{ERASE_BELOW}")?;
            } else if args.json {
                serde_json::to_writer(&mut *out, &report.view(before.as_ref()))?;
                writeln!(out)?;
            } else {
                print(&report, before.as_ref(), false, out)?;
                writeln!(out)?;
            }
            out.flush()?;
            let next = again(store, dead_after, &mut seconds).await?;
            before = Some(std::mem::replace(&mut report, next));
        }
    })
    .await
}

/// The next report; while Redis is away it is asked for again, and the watcher told once.
async fn again(store: &Store, dead_after: Duration, seconds: &mut Interval) -> anyhow::Result<Report> {
    let mut told = false;
    loop {
        seconds.tick().await;
        match Report::take(store, dead_after).await {
            Err(error) if error.is_transient() => {
                if !told {
                    writeln!(std::io::stderr(), "holdfast: {error}; looking again until it answers")?;
                }
                told = true;
            }
            result => return Ok(result?),
        }
    }
}

fn print(report: &Report, before: Option<&Report>, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, &report.view(before))?;
        writeln!(out)?;
    } else {
        out.write_all(render::text(report, before).as_bytes())?;
    }
    Ok(())
}
