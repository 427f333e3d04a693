//! `holdfast dead-letters`: deliveries that were given up, and events that could not be read.
//!
//! They are kept until somebody replays or purges them. Everything here goes through them in bounded steps,
//! however many there are.

mod act;
mod select;
mod show;

use std::io::Write;

use clap::{ArgGroup, Args, Subcommand};

use self::select::{Filters, LetterId};
use super::deployment::with_store;
use crate::config::Config;

/// What to do with dead letters.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// List them, oldest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one with its event.
    Show(Show),
    /// Put them back to work: each is delivered like any other that waits.
    Replay(Which),
    /// Delete them for good.
    Purge(Purge),
}

/// Arguments of `list`.
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    filters: Filters,
    /// List at most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// Arguments of `show`.
#[derive(Args)]
pub(super) struct Show {
    /// Its id, as `list` prints it.
    id: LetterId,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
    /// Print only the event, byte for byte.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

/// Which dead letters: named ones, or all that pass the filters.
#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true)))]
pub(super) struct Which {
    /// Ids, as `list` prints them.
    #[arg(value_name = "ID", group = "which", conflicts_with_all = ["subscription", "since", "reason"])]
    ids: Vec<LetterId>,
    /// All of them, or all that pass the filters.
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    filters: Filters,
}

/// Arguments of `purge`.
#[derive(Args)]
pub(super) struct Purge {
    #[command(flatten)]
    which: Which,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// When an id is unknown, or Redis can't be reached.
pub(super) async fn run(verb: Verb, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    with_store(config, async |store| match &verb {
        Verb::List(list) => show::list(store, list, out).await,
        Verb::Show(one) => show::show(store, one, out).await,
        Verb::Replay(which) => act::replay(store, which, out).await,
        Verb::Purge(purge) => act::purge(store, purge, out).await,
    })
    .await
}
