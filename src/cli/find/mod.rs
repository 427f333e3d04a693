//! `holdfast find`: where an event is, or all events of a source.
//!
//! Everything is read in bounded steps and nothing is changed. Ids of events are unique in their partition only, so
//! all partitions are looked through where none is named.

mod view;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write;
use std::str::FromStr;

use self::view::{Event, Now, rows};
use super::deployment::with_store;
use super::table::Table;
use super::text::{count, span, time};
use crate::config::Config;
use crate::domain::ids::{DeliveryId, StreamId, SubscriptionId};
use crate::store::Store;

/// Arguments of `find`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// An event's id (1795389052775-0, or 0.1795389052775-0 as the intake answers it), a delivery's (the webhook-id
    /// that a subscriber saw), or else the name of a source.
    #[arg(value_name = "EVENT-ID|DELIVERY-ID|SOURCE")]
    what: Target,
    /// Take it for the name of a source, whatever it looks like.
    #[arg(long)]
    source: bool,
    /// Of a source: at most so many events, the newest.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// One event, in a partition or in any.
    Event(Option<u16>, StreamId),
    Delivery(DeliveryId),
    Source,
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let in_partition = || {
            let (partition, id) = text.split_once(['.', '/'])?;
            Some(Kind::Event(Some(partition.parse().ok()?), id.parse().ok()?))
        };
        let kind = text.parse().map(|id| Kind::Event(None, id)).ok();
        let kind = kind.or_else(in_partition);
        let kind = kind.or_else(|| text.parse().map(Kind::Delivery).ok());
        Ok(Self {
            text: text.to_owned(),
            kind: kind.unwrap_or(Kind::Source),
        })
    }
}

impl Kind {
    fn partition(&self) -> Option<u16> {
        match self {
            Self::Event(partition, _) => *partition,
            Self::Delivery(delivery) => Some(delivery.partition),
            Self::Source => None,
        }
    }

    /// When the event arrived, by its id, ms since the epoch.
    fn arrived_ms(&self) -> Option<u64> {
        match self {
            Self::Event(_, id) => Some(id.millis),
            Self::Delivery(delivery) => Some(delivery.event.millis),
            Self::Source => None,
        }
    }

    fn subscription(&self) -> Option<&SubscriptionId> {
        match self {
            Self::Delivery(delivery) => Some(&delivery.subscription),
            _ => None,
        }
    }
}

/// Prints where it is.
///
/// # Errors
/// When Redis can't be reached, or there is no such partition.
pub(super) async fn run(args: Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let kind = if args.source { Kind::Source } else { args.what.kind };
    with_store(config, async |store| {
        let (now, events) = look(store, &kind, &args.what.text, usize::from(args.limit)).await?;
        if args.json {
            serde_json::to_writer_pretty(&mut *out, &events)?;
            writeln!(out)?;
            return Ok(());
        }
        if events.is_empty() {
            return unknown(store, &kind, &args.what.text, now, out).await;
        }
        let mut table = Table::new(&["EVENT", "SOURCE", "ARRIVED", "SUBSCRIPTION", "STATE", "SINCE", "WHY"]);
        events.iter().flat_map(rows).for_each(|row| table.row(row));
        out.write_all(table.to_string().as_bytes())?;
        if kind == Kind::Source && events.len() >= usize::from(args.limit) {
            writeln!(out, "these are the newest; there may be more: raise --limit")?;
        }
        Ok(())
    })
    .await
}

/// All that is known, the newest event first, with Redis' clock in ms.
async fn look(store: &Store, kind: &Kind, text: &str, limit: usize) -> anyhow::Result<(u64, Vec<Event>)> {
    let partitions = store.partitions();
    let named = kind.partition();
    if let Some(index) = named.filter(|index| usize::from(*index) >= partitions.len()) {
        anyhow::bail!(
            "there is no partition {index} in {text}: this deployment has {}; is it an id of another one?",
            count(u64::try_from(partitions.len()).unwrap_or(u64::MAX), "partition")
        );
    }
    let registry = store.registry().await?;
    let unreadable = registry.unreadable.iter().map(|(id, _)| id.as_str());
    let all = registry
        .subscriptions
        .iter()
        .map(|subscription| subscription.id.as_str());
    let names: Vec<&str> = match kind.subscription() {
        Some(one) => vec![one.as_str()],
        None => all.chain(unreadable).collect(),
    };
    let (mut now, mut events) = (0, Vec::new());
    for partition in partitions {
        if named.is_some_and(|index| index != partition.index) {
            continue;
        }
        let ids = match kind {
            Kind::Event(_, id) => BTreeSet::from([*id]),
            Kind::Delivery(delivery) => BTreeSet::from([delivery.event]),
            Kind::Source => partition.events_of(text, limit).await?,
        };
        let (clock, found) = partition.whereabouts(&ids, &names).await?;
        now = now.max(clock);
        let known = found.into_iter().filter(|(_, whereabouts)| !whereabouts.is_unknown());
        let now = Now {
            clock_ms: clock,
            publishes: registry.settings.enabled,
        };
        events.extend(known.map(|(id, whereabouts)| {
            let event = Event::new(partition.index, id, whereabouts, now);
            event.of(kind.subscription())
        }));
    }
    events.retain(|event| !event.places.is_empty());
    events.sort_by_key(|event| std::cmp::Reverse(event.id));
    events.truncate(limit);
    Ok((now, events))
}

/// Says what it means that nothing was found.
async fn unknown(store: &Store, kind: &Kind, text: &str, now: u64, out: &mut impl Write) -> anyhow::Result<()> {
    let mut since = None;
    for partition in store.partitions() {
        if kind.partition().is_none_or(|index| index == partition.index) {
            since = since.max(partition.remembers_since().await?);
        }
    }
    let what = if *kind == Kind::Source { "events of " } else { "" };
    writeln!(
        out,
        "{what}{}: nothing is waiting, parked or dead",
        super::text::plain(text)
    )?;
    if let Some(hint) = meant(store, kind, text).await? {
        writeln!(out, "{hint}")?;
        return Ok(());
    }
    let Some(since) = since else {
        writeln!(
            out,
            "no settled events are remembered (recent.max_age, recent.max_bytes, or Redis was short of memory): it was \
             delivered, was wanted by nobody, went with its removed subscription or its purged dead letter, or was \
             never accepted"
        )?;
        return Ok(());
    };
    let meaning = if kind.arrived_ms().is_some_and(|arrived| arrived > since) {
        "by its id it arrived after that, so it was never accepted here, or was settled while nothing was remembered"
    } else {
        "it was settled before that (delivered, wanted by nobody, or gone with its subscription or dead letter), or was \
         never accepted"
    };
    writeln!(
        out,
        "settled events are remembered since {} ({} ago), as far as Redis had room for it: {meaning}",
        time(since),
        span(now.saturating_sub(since))
    )?;
    Ok(())
}

/// What else of that name there is, for whoever copied an id from another listing.
async fn meant(store: &Store, kind: &Kind, text: &str) -> anyhow::Result<Option<String>> {
    match kind {
        Kind::Source => {
            let Ok(id) = text.parse::<SubscriptionId>() else {
                return Ok(None);
            };
            let known = store.subscription(&id).await?;
            Ok(known.map(|_| format!("{id} is a subscription; see holdfast subscriptions show {id}")))
        }
        Kind::Event(named, id) => {
            for partition in store.partitions() {
                let index = partition.index;
                if named.is_none_or(|named| named == index) && partition.dead_letter(*id).await?.is_some() {
                    let letter = format!("{index}/{id}");
                    return Ok(Some(format!(
                        "{letter} is the id of a dead letter; see holdfast dead-letters show {letter}"
                    )));
                }
            }
            Ok(None)
        }
        Kind::Delivery(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_told_by_its_form() {
        let kind = |text: &str| text.parse::<Target>().map(|target| target.kind);
        let id = StreamId {
            millis: 1_795_389_052_775,
            sequence: 3,
        };
        assert_eq!(kind("1795389052775-3"), Ok(Kind::Event(None, id)));
        assert_eq!(kind("2.1795389052775-3"), Ok(Kind::Event(Some(2), id)));
        assert_eq!(kind("2/1795389052775-3"), Ok(Kind::Event(Some(2), id)));
        let Ok(Kind::Delivery(delivery)) = kind("k7m2q9xw.2.1795389052775-3") else {
            panic!("a delivery");
        };
        assert_eq!((delivery.partition, delivery.event), (2, id));
        for text in ["bmc-17", "10.0.0.7", "rack.7-3", "70000.1-0", ""] {
            assert_eq!(kind(text), Ok(Kind::Source), "{text}");
        }
    }
}
