//! `subscriptions add`, `update`, `suspend`, `resume` and `remove`.

use std::io::Write;
use std::path::Path;

use url::{ParseError, Url};

use super::clear::Clear;
use super::limits;
use super::options::{Given, option_of};
use super::{Add, Remove, Suspend, Update};
use crate::cli::confirm::confirm;
use crate::cli::text::{count, now};
use crate::config::Config;
use crate::domain::guard::Guard;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{Secret, State, Subscription};
use crate::domain::validation::Problem;
use crate::report::destination;
use crate::store::circuits::Wake;
use crate::store::registry::new_id;
use crate::store::{Store, StoreError};

const BY_OPERATOR: &str = "suspended by an operator";

/// A subscription to be made, checked before Redis is asked for anything.
pub(super) struct Wish {
    subscription: Subscription,
    given: Given,
}

/// A change to be made.
pub(super) struct Edit {
    id: SubscriptionId,
    destination: Option<Url>,
    given: Given,
    clear: Vec<Clear>,
}

impl Wish {
    /// Reads and checks the arguments.
    ///
    /// # Errors
    /// Everything that is wrong with them, by option.
    pub(super) fn read(add: Add, guard: &Guard) -> anyhow::Result<Self> {
        let given = add.options.read()?;
        let mut subscription = Subscription::new(new_id(), url(&add.destination)?, now());
        given.apply(&mut subscription);
        if add.suspended {
            subscription.state = suspended(BY_OPERATOR);
        }
        check(&subscription, guard)?;
        Ok(Self { subscription, given })
    }
}

impl Edit {
    /// Reads the arguments; the result can only be checked together with what is stored.
    ///
    /// # Errors
    /// When nothing is to be changed, or an argument can't be read.
    pub(super) fn read(update: Update) -> anyhow::Result<Self> {
        let destination = update.destination.as_deref().map(url).transpose()?;
        Ok(Self {
            id: update.id,
            destination,
            given: update.options.read()?,
            clear: update.clear,
        })
    }

    fn apply(&self, to: &mut Subscription) {
        self.clear.iter().for_each(|clear| clear.apply(to));
        self.given.apply(to);
        if let Some(destination) = &self.destination {
            to.destination = destination.clone();
        }
    }
}

/// Stores a new subscription.
pub(super) async fn add(
    store: &Store,
    config: &Config,
    mut wish: Wish,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let added = loop {
        match store.add_subscription(wish.subscription.clone()).await {
            Err(StoreError::Taken(_)) => wish.subscription.id = new_id(),
            result => break result?,
        }
    };
    if added.is_suspended() {
        store.apply_state(&added).await?;
    }
    limits::note(store, config, None, &added).await?;
    let id = &added.id;
    let secret = wish.given.new_secret();
    if json {
        let secret = secret.map(Secret::reveal).transpose()?;
        writeln!(out, "{}", serde_json::json!({ "id": id.as_str(), "secret": secret }))?;
        return Ok(());
    }
    writeln!(out, "{id}")?;
    let mut hints = std::io::stderr();
    if let Some(secret) = secret {
        writeln!(out, "{}", secret.reveal()?)?;
        writeln!(hints, "the second line is the signing secret; it is not shown again")?;
    }
    note_ca_file(wish.given.ca_file());
    if added.is_suspended() {
        writeln!(hints, "suspended; let it go with: holdfast subscriptions resume {id}")?;
    } else {
        let (to, when) = (destination(&added), when_delivered(store, config).await?);
        writeln!(
            hints,
            "delivering to {to} {when}; look with: holdfast subscriptions show {id}"
        )?;
    }
    Ok(())
}

/// When a new subscription gets its first events.
async fn when_delivered(store: &Store, config: &Config) -> Result<&'static str, StoreError> {
    if !store.settings().await?.enabled {
        return Ok("once publishing, which is switched off (ServiceEnabled is false), is on again");
    }
    let mut workers = 0;
    for partition in store.partitions() {
        workers += partition.snapshot(config.worker.dead_after.0).await?.workers;
    }
    Ok(match workers {
        0 => "once a worker runs: none is there now, start one with: holdfast serve",
        _ => "within a second",
    })
}

/// Changes a subscription.
pub(super) async fn update(store: &Store, config: &Config, edit: &Edit, out: &mut impl Write) -> anyhow::Result<()> {
    let before = known(store, &edit.id).await?;
    let mut after = before.clone();
    edit.apply(&mut after);
    if after == before {
        anyhow::bail!(
            "{}: nothing to change; name the options to set, or --clear them",
            edit.id
        );
    }
    check(&after, &config.guard())?;
    store
        .update_subscription(&edit.id, |subscription| edit.apply(subscription))
        .await?;
    if let Some(secret) = edit.given.new_secret() {
        writeln!(out, "{}", secret.reveal()?)?;
        writeln!(
            std::io::stderr(),
            "the line above is the new signing secret; it is not shown again"
        )?;
    } else {
        writeln!(out, "{} updated", edit.id)?;
    }
    note_ca_file(edit.given.ca_file());
    limits::note(store, config, Some(&before), &after).await?;
    Ok(())
}

/// Suspends a subscription.
pub(super) async fn suspend(store: &Store, suspend: &Suspend, out: &mut impl Write) -> anyhow::Result<()> {
    let id = &suspend.id;
    store
        .set_state(id, suspended(suspend.reason.as_deref().unwrap_or(BY_OPERATOR)))
        .await?;
    writeln!(
        out,
        "{id} suspended; its events are kept until: holdfast subscriptions resume {id}"
    )?;
    Ok(())
}

/// Resumes a subscription.
pub(super) async fn resume(store: &Store, id: &SubscriptionId, out: &mut impl Write) -> anyhow::Result<()> {
    if !known(store, id).await?.is_suspended() {
        // Asked for all the same: a circuit that disagrees with the registry is put right, a wait cut short.
        store.set_state(id, State::Enabled).await?;
        store.wake_everywhere(id, Wake::Fresh).await?;
        writeln!(out, "{id} was not suspended; what is parked is tried now")?;
        return Ok(());
    }
    store.set_state(id, State::Enabled).await?;
    writeln!(out, "{id} resumed; {} to deliver first", parked_for(store, id).await?)?;
    Ok(())
}

/// Removes a subscription with all that is parked for it.
pub(super) async fn remove(store: &Store, remove: &Remove, out: &mut impl Write) -> anyhow::Result<()> {
    let id = &remove.id;
    // One that can't be read any more may still be removed.
    match store.subscription(id).await {
        Ok(None) => return Err(StoreError::Unknown(id.clone()).into()),
        Ok(Some(_)) | Err(StoreError::Subscription { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let (_, rows) = store.census(&[id.as_str()]).await?;
    let parked = rows.iter().map(|census| census.parked).sum();
    if parked > 0 {
        let what = format!("removing {id} drops {} for good", count(parked, "parked delivery"));
        confirm(&what, remove.yes)?;
    }
    store.remove_subscription(id).await?;
    match parked {
        0 => writeln!(out, "{id} removed")?,
        _ => writeln!(out, "{id} removed; {} dropped", count(parked, "parked delivery"))?,
    }
    Ok(())
}

/// The subscription, which must be there.
pub(super) async fn known(store: &Store, id: &SubscriptionId) -> Result<Subscription, StoreError> {
    store
        .subscription(id)
        .await?
        .ok_or_else(|| StoreError::Unknown(id.clone()))
}

async fn parked_for(store: &Store, id: &SubscriptionId) -> Result<String, StoreError> {
    let (_, rows) = store.census(&[id.as_str()]).await?;
    Ok(count(rows.iter().map(|census| census.parked).sum(), "parked delivery"))
}

fn suspended(reason: &str) -> State {
    State::Suspended {
        reason: reason.to_owned(),
        since: now(),
    }
}

/// Reads a destination; what is wrong is said without quoting it, for it may hold a password.
fn url(text: &str) -> anyhow::Result<Url> {
    let advice = "write http://HOST/PATH or https://HOST/PATH";
    text.parse().map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => anyhow::anyhow!("DESTINATION: it is no URL; {advice}"),
        other => anyhow::anyhow!("DESTINATION: it is no URL ({other}); {advice}"),
    })
}

/// Every problem by the option that sets it.
fn check(subscription: &Subscription, guard: &Guard) -> anyhow::Result<()> {
    let Err(problems) = subscription.validate(guard) else {
        return Ok(());
    };
    let said = |problem: &Problem| format!("{}: {}", option_of(problem.property), problem.text);
    if let [only] = problems.as_slice() {
        anyhow::bail!("{}", said(only));
    }
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("\n  {}", said(problem)))
        .collect();
    anyhow::bail!("the subscription has {} problems:{}", problems.len(), lines.concat())
}

/// The file is read by the workers, which may run elsewhere: no error, but most likely a mistake.
fn note_ca_file(file: Option<&Path>) {
    let Some(file) = file.filter(|file| std::fs::File::open(file).is_err()) else {
        return;
    };
    // The note is a courtesy: with standard error closed nobody misses it.
    let _unheard = writeln!(
        std::io::stderr(),
        "note: {} can't be read here; it must be there on every worker",
        file.display()
    );
}
