//! `holdfast secrets`: how what is secret is kept in Redis.

use std::io::Write;

use anyhow::bail;

use super::deployment::with_store;
use super::text::count;
use crate::config::Config;
use crate::store::Store;
use crate::store::reseal::Sealing;

/// What to do with secrets.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Seal with the newest key what is plain text in Redis or sealed with an older key.
    #[command(
        after_help = "To rotate: give every worker the new key as a previous one, then make it the first and keep \
                            the old one as previous, run this, and take the old one away."
    )]
    Reseal,
}

/// Runs one verb.
///
/// # Errors
/// When no key is set, Redis can't be reached, or a secret does not open.
pub(super) async fn run(verb: Verb, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    match verb {
        Verb::Reseal => with_store(config, async |store| reseal(store, out).await).await,
    }
}

async fn reseal(store: &Store, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(key) = store.sealer().key_id() else {
        bail!(
            "no key is set to seal with: set HOLDFAST_SECRETS__KEY or HOLDFAST_SECRETS__KEY_FILE on every worker and \
             here (openssl rand -base64 32)"
        );
    };
    let sealing = store.sealing().await?;
    let written = store.reseal(&sealing).await?;
    writeln!(
        out,
        "{} sealed anew with the key {key}; {} with secrets in all",
        count(u64::try_from(written)?, "subscription"),
        count(u64::try_from(sealing.with_secrets)?, "subscription")
    )?;
    if !sealing.plain.is_empty() {
        writeln!(
            std::io::stderr(),
            "what was plain text is in Redis' files until they are written anew: redis-cli BGREWRITEAOF, BGSAVE, and \
             older backups"
        )?;
    }
    locked(&sealing)
}

fn locked(sealing: &Sealing) -> anyhow::Result<()> {
    if sealing.locked.is_empty() {
        return Ok(());
    }
    let lines = sealing
        .locked
        .iter()
        .map(|(id, locked)| format!("\n  subscription {id}: {locked}"));
    bail!(
        "{} can't be sealed anew:{}",
        count(u64::try_from(sealing.locked.len())?, "subscription"),
        lines.collect::<String>()
    )
}
