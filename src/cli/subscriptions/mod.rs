//! `holdfast subscriptions`: who gets which events.
//!
//! A change is in force on every pod within a second. What is checked before anything is stored is in
//! `domain::validation`, shared with the REST interface.

mod change;
mod clear;
mod filter;
mod limits;
mod options;
mod retry_now;
mod show;
mod trial;
mod view;

use std::io::Write;

use clap::{Args, Subcommand};

use self::clear::Clear;
use self::options::Options;
use super::Json;
use super::deployment::with_store;
use crate::config::Config;
use crate::domain::ids::SubscriptionId;

/// What to do with subscriptions.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Send events to a destination from now on.
    Add(Add),
    /// List all subscriptions.
    #[command(visible_alias = "ls")]
    List(Json),
    /// Show everything about one subscription, but no secret.
    Show(Show),
    /// Change what is given and keep the rest; a list given replaces the old one.
    Update(Update),
    /// Keep its events instead of sending them, until it is resumed.
    Suspend(Suspend),
    /// Send its events again, first those that were kept.
    Resume {
        /// Id of the subscription.
        id: SubscriptionId,
    },
    /// Probe those that are behind now, and tell what comes of it.
    RetryNow(retry_now::RetryNow),
    /// Send a test event from here, step by step: name, connection, TLS, answer.
    Test(trial::Test),
    /// Remove it for good, with everything that is kept for it.
    #[command(visible_alias = "rm")]
    Remove(Remove),
}

/// Arguments of `add`.
#[derive(Args)]
pub(super) struct Add {
    /// Where the events go: an http:// or https:// URL.
    destination: String,
    #[command(flatten)]
    options: Options,
    /// Keep its events instead of sending them, until it is resumed.
    #[arg(long)]
    suspended: bool,
    #[command(flatten)]
    how: Json,
}

/// Arguments of `show`.
#[derive(Args)]
pub(super) struct Show {
    /// Id of the subscription.
    id: SubscriptionId,
    #[command(flatten)]
    how: Json,
}

/// Arguments of `update`.
#[derive(Args)]
pub(super) struct Update {
    /// Id of the subscription.
    id: SubscriptionId,
    /// Where the events go from now on; what waits for the old place is tried there at once.
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Put these options back to their defaults; filter, retry and limits stand for all of theirs.
    #[arg(long, value_name = "OPTION", value_delimiter = ',')]
    clear: Vec<Clear>,
}

/// Arguments of `suspend`.
#[derive(Args)]
pub(super) struct Suspend {
    /// Id of the subscription.
    id: SubscriptionId,
    /// Why, for whoever looks at it later.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Arguments of `remove`.
#[derive(Args)]
pub(super) struct Remove {
    /// Id of the subscription.
    id: SubscriptionId,
    /// Do not ask, even when deliveries are dropped with it.
    #[arg(long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// When an option is wrong, there is no such subscription, or Redis can't be reached.
pub(super) async fn run(verb: Verb, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    match verb {
        Verb::Add(add) => {
            let json = add.how.json;
            let wish = change::Wish::read(add, &config.guard())?;
            with_store(config, async |store| change::add(store, config, wish, json, out).await).await
        }
        Verb::List(how) => with_store(config, async |store| show::list(store, how.json, out).await).await,
        Verb::Show(show) => {
            with_store(config, async |store| {
                show::show(store, config, &show.id, show.how.json, out).await
            })
            .await
        }
        Verb::Update(update) => {
            let edit = change::Edit::read(update)?;
            with_store(config, async |store| change::update(store, config, &edit, out).await).await
        }
        Verb::Suspend(suspend) => with_store(config, async |store| change::suspend(store, &suspend, out).await).await,
        Verb::Resume { id } => with_store(config, async |store| change::resume(store, &id, out).await).await,
        Verb::RetryNow(retry) => {
            with_store(config, async |store| retry_now::run(store, config, &retry, out).await).await
        }
        Verb::Test(test) => {
            // Redis is not needed for the test itself: a subscriber may take its time.
            let to = with_store(config, async |store| {
                change::known(store, &test.id).await.map_err(Into::into)
            })
            .await?;
            trial::run(&to, config, out).await
        }
        Verb::Remove(remove) => with_store(config, async |store| change::remove(store, &remove, out).await).await,
    }
}
