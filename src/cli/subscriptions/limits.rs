//! What the command line says about limits: in words, and what a new one will do.

use std::io::Write;

use crate::cli::text::{count, number};
use crate::config::Config;
use crate::domain::retention::{Overflow, Retention};
use crate::domain::subscription::Subscription;
use crate::store::{Store, StoreError};

/// What is kept while it can't be delivered.
pub(super) fn kept(limits: &Retention) -> String {
    let many = limits.max_parked.map(|most| format!("at most {} parked", number(most)));
    let long = limits.max_age.map(|age| format!("none for longer than {age}"));
    let parts: Vec<String> = many.into_iter().chain(long).collect();
    if parts.is_empty() {
        return "everything (no limit)".to_owned();
    }
    let rest = match limits.overflow {
        Overflow::DeadLetters => "the oldest beyond that become dead letters",
        Overflow::File => "the oldest beyond that go to a file",
    };
    format!("{}; {rest}", parts.join(", "))
}

/// Says what changed limits will do at once, and what the workers need for it. Nothing is refused: the workers may
/// run elsewhere, and what is moved can be brought back.
///
/// # Errors
/// When Redis can't be reached.
pub(super) async fn note(
    store: &Store,
    config: &Config,
    before: Option<&Subscription>,
    after: &Subscription,
) -> Result<(), StoreError> {
    let (id, limits) = (&after.id, &after.limits);
    if before.is_some_and(|before| before.limits == *limits) {
        return Ok(());
    }
    if !limits.is_limited() {
        if limits.overflow == Overflow::File {
            say("--overflow does nothing without --max-parked or --max-age: everything is kept");
        }
        return Ok(());
    }
    if limits.overflow == Overflow::File && config.limits.overflow_dir.is_none() {
        say("limits.overflow_dir is not set here; every worker needs it, or nothing leaves the queue");
    }
    let (now, rows) = store.census(&[id.as_str()]).await?;
    let Some(census) = rows.first() else { return Ok(()) };
    if let Some(excess) = limits.max_parked.and_then(|most| census.parked.checked_sub(most))
        && excess > 0
    {
        let (excess, held) = (number(excess), count(census.parked, "parked delivery"));
        say(&format!("{excess} of its {held} are moved within seconds"));
    }
    let age = census.oldest.map(|oldest| now.saturating_sub(oldest.millis));
    if let (Some(most), Some(age)) = (limits.max_age, age)
        && age > most.millis()
    {
        say("its oldest parked deliveries are older than that: they are moved within seconds");
    }
    Ok(())
}

/// A courtesy: with standard error closed nobody misses it.
fn say(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "note: {text}");
}
