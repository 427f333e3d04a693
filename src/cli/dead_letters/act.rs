//! `dead-letters replay` and `purge`.

use std::io::Write;
use std::sync::Arc;

use super::select::{Found, LetterId, Walk};
use super::{Purge, Which};
use crate::cli::confirm::confirm;
use crate::cli::text::{count, number};
use crate::domain::ids::StreamId;
use crate::domain::retention::REASON;
use crate::store::dead_letters::Replayed;
use crate::store::{Partition, Store};

/// What came of a replay.
#[derive(Default)]
struct Tally {
    replayed: u64,
    /// Those of them that a limit had moved.
    limited: u64,
    removed: u64,
    gone: u64,
}

impl Tally {
    async fn replay(&mut self, store: &Store, found: &Found) -> anyhow::Result<()> {
        match store.replay(&found.partition, &found.letter).await? {
            Replayed::Replayed => {
                self.replayed += 1;
                self.limited += u64::from(found.letter.reason.starts_with(REASON));
            }
            Replayed::SubscriptionRemoved => self.removed += 1,
            Replayed::Gone => self.gone += 1,
        }
        Ok(())
    }

    fn say(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{} put back to work", count(self.replayed, "dead letter"))?;
        if self.limited > 0 {
            writeln!(
                out,
                "{} had been moved by a limit: what is still beyond it is moved again, unless you raise or clear it \
                 (holdfast subscriptions update ID --clear limits)",
                number(self.limited)
            )?;
        }
        if self.removed > 0 {
            writeln!(
                out,
                "{} left: their subscriptions were removed; purge them",
                number(self.removed)
            )?;
        }
        if self.gone > 0 {
            writeln!(
                out,
                "{} gone meanwhile: somebody replayed or purged them",
                number(self.gone)
            )?;
        }
        Ok(())
    }
}

/// Puts dead letters back to work, each in one atomic step.
pub(super) async fn replay(store: &Store, which: &Which, out: &mut impl Write) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let result = replay_all(store, which, &mut tally).await;
    // An error may come after some were replayed.
    if result.is_ok() || tally.replayed > 0 {
        tally.say(out)?;
    }
    result
}

async fn replay_all(store: &Store, which: &Which, tally: &mut Tally) -> anyhow::Result<()> {
    if !which.all {
        let (found, missing) = named(store, &which.ids).await?;
        for one in &found {
            tally.replay(store, one).await?;
        }
        return complain(&missing);
    }
    let mut walk = Walk::begin(store, &which.filters).await?;
    while let Some(page) = walk.next().await? {
        for one in &page {
            tally.replay(store, one).await?;
        }
    }
    Ok(())
}

/// Deletes dead letters for good, after asking.
pub(super) async fn purge(store: &Store, purge: &Purge, out: &mut impl Write) -> anyhow::Result<()> {
    let which = &purge.which;
    let ask = |n: u64| {
        confirm(
            &format!("purging deletes {} for good", count(n, "dead letter")),
            purge.yes,
        )
    };
    let mut purged = 0;
    if !which.all {
        let (found, missing) = named(store, &which.ids).await?;
        if !found.is_empty() {
            ask(u64::try_from(found.len()).unwrap_or(u64::MAX))?;
        }
        for one in &found {
            purged += one.partition.purge(&[one.letter.id]).await?;
        }
        if missing.is_empty() || purged > 0 {
            writeln!(out, "{} purged", count(purged, "dead letter"))?;
        }
        return complain(&missing);
    }
    if !purge.yes {
        let mut walk = Walk::begin(store, &which.filters).await?;
        let mut total = 0;
        while let Some(page) = walk.next().await? {
            total += u64::try_from(page.len()).unwrap_or(u64::MAX);
        }
        if total > 0 {
            ask(total)?;
        }
    }
    let mut walk = Walk::begin(store, &which.filters).await?;
    while let Some(page) = walk.next().await? {
        let ids: Vec<StreamId> = page.iter().map(|one| one.letter.id).collect();
        // A page is of one partition.
        let partition: Option<&Arc<Partition>> = page.first().map(|one| &one.partition);
        if let Some(partition) = partition {
            purged += partition.purge(&ids).await?;
        }
    }
    writeln!(out, "{} purged", count(purged, "dead letter"))?;
    Ok(())
}

/// Those of the ids that exist, and the others.
async fn named(store: &Store, ids: &[LetterId]) -> anyhow::Result<(Vec<Found>, Vec<LetterId>)> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in ids {
        match id.find(store).await? {
            Some(one) => found.push(one),
            None => missing.push(*id),
        }
    }
    Ok((found, missing))
}

fn complain(missing: &[LetterId]) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
    anyhow::bail!(
        "there is no dead letter {}; see `holdfast dead-letters list`",
        ids.join(", ")
    )
}
