//! `holdfast sources`: when each source of events was heard of last, and who went silent.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::deployment::with_store;
use super::table::Table;
use super::text::{count, number, span, time};
use crate::config::Config;
use crate::domain::units::Period;
use crate::store::Store;
use crate::store::sources::{MOST_SOURCES, Source};

/// Arguments of `sources`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only those that have been silent for at least this long, for example 24h.
    #[arg(long, value_name = "PERIOD")]
    silent: Option<Period>,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// A source as `--json` prints it.
#[derive(Serialize)]
struct View<'a> {
    source: &'a str,
    last_event_at: String,
    silent_for_ms: u64,
}

/// Lists sources, the longest silent first.
///
/// # Errors
/// When Redis can't be reached.
pub(super) async fn run(args: Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    with_store(config, async |store| {
        let (now, all, sources) = read(store, args.silent).await?;
        let silent_for = |source: &Source| now.saturating_sub(source.last_ms);
        if args.json {
            let views: Vec<View> = sources
                .iter()
                .map(|source| View {
                    source: &source.name,
                    last_event_at: time(source.last_ms),
                    silent_for_ms: silent_for(source),
                })
                .collect();
            serde_json::to_writer_pretty(&mut *out, &views)?;
            writeln!(out)?;
            return Ok(());
        }
        if !sources.is_empty() {
            let mut table = Table::new(&["SOURCE", "LAST EVENT", ">SILENT FOR"]);
            for source in &sources {
                table.row([source.name.clone(), time(source.last_ms), span(silent_for(source))]);
            }
            writeln!(out, "{table}")?;
        }
        let shown = u64::try_from(sources.len()).unwrap_or(u64::MAX);
        match args.silent {
            Some(period) => writeln!(
                out,
                "{} of {} silent for {period} or more",
                number(shown),
                count(all, "source")
            )?,
            None => writeln!(out, "{}", count(all, "source"))?,
        }
        if all >= MOST_SOURCES {
            writeln!(
                out,
                "a partition remembers {} sources: the longest silent may have fallen off",
                number(MOST_SOURCES)
            )?;
        }
        Ok(())
    })
    .await
}

/// Redis' clock in ms, how many sources there are, and those that are silent for that long.
async fn read(store: &Store, silent: Option<Period>) -> anyhow::Result<(u64, u64, Vec<Source>)> {
    let mut now = 0;
    for partition in store.partitions() {
        now = now.max(partition.snapshot(Duration::ZERO).await?.now_ms);
    }
    let until = silent.map(|period| now.saturating_sub(period.millis()));
    // A producer that chooses the partition itself, or a changed number of them, leaves a source in several.
    let mut last: HashMap<String, u64> = HashMap::new();
    for partition in store.partitions() {
        for source in partition.sources().await? {
            let known = last.entry(source.name).or_default();
            *known = source.last_ms.max(*known);
        }
    }
    let all = u64::try_from(last.len()).unwrap_or(u64::MAX);
    let mut sources: Vec<Source> = last
        .into_iter()
        .map(|(name, last_ms)| Source { name, last_ms })
        .filter(|source| until.is_none_or(|until| source.last_ms <= until))
        .collect();
    sources.sort_by(|a, b| (a.last_ms, &a.name).cmp(&(b.last_ms, &b.name)));
    Ok((now, all, sources))
}
