//! Finds the subscriptions that want a message without asking each of them.
//!
//! Workers build one whenever the subscriptions change and ask it for every event. Each subscription is filed
//! under the values of one kind of filter, the one that the fewest others share; what a message's records
//! say is looked up, and `Filter::select` decides on what was found. So the answer is always that of
//! `select`, whatever the filing.

mod filing;

use std::collections::HashMap;
use std::sync::Arc;

use super::event::{Kind, Message, Record};
use super::records::Records;
use super::resource;
use super::subscription::Subscription;
use filing::{Heading, Posting, Traits};

/// The subscriptions, filed for matching.
#[derive(Debug, Default)]
pub struct Index {
    subscriptions: Vec<Arc<Subscription>>,
    filed: [Table; Heading::COUNT],
    /// Those that want events and have nothing to be filed under.
    unfiled: Vec<Posting>,
    /// Those that want metric reports, all of them or of some definition.
    reports: Vec<u32>,
    reports_by_definition: HashMap<Box<str>, Vec<u32>>,
    /// Longest URI under which a subscription with subordinates is filed, in bytes. Ancestors of an origin
    /// that are longer need no look-up, which bounds what a hostile origin can cost.
    longest_ancestor: usize,
}

/// Postings by what is looked up.
type Table = HashMap<Box<str>, Vec<Posting>>;

/// A subscription that wants a message, and the records it wants.
#[derive(Debug, Clone)]
pub struct Match {
    /// The subscription.
    pub subscription: Arc<Subscription>,
    /// The records that it is sent.
    pub records: Records,
}

impl Index {
    /// Files the subscriptions. Suspended ones are filed like the others: their events are parked.
    #[must_use]
    pub fn new(subscriptions: impl IntoIterator<Item = Arc<Subscription>>) -> Self {
        let mut index = Self {
            subscriptions: subscriptions.into_iter().collect(),
            ..Self::default()
        };
        let choices: Vec<_> = index
            .subscriptions
            .iter()
            .map(|one| filing::choices(&one.filter))
            .collect();
        let popularity = filing::popularity(choices.iter().flatten().flat_map(|choice| &choice.0));
        for (at, choices) in (0_u32..).zip(choices) {
            index.file(at, filing::rarest(choices, &popularity));
        }
        index
    }

    fn file(&mut self, at: u32, choice: Option<filing::Choice>) {
        let Some(subscription) = self.subscriptions.get(at as usize) else {
            return;
        };
        let filter = &subscription.filter;
        if filter.wants_kind(Kind::MetricReport) {
            if filter.metric_report_definitions.is_empty() {
                self.reports.push(at);
            }
            for definition in &filter.metric_report_definitions {
                let definition = resource::canonical(definition).into();
                self.reports_by_definition.entry(definition).or_default().push(at);
            }
        }
        if !filter.wants_kind(Kind::Event) {
            return;
        }
        let posting = Posting::new(at, filter);
        let Some(choice) = choice else {
            self.unfiled.push(posting);
            return;
        };
        for (heading, value) in choice.0 {
            if heading == Heading::Ancestor {
                self.longest_ancestor = self.longest_ancestor.max(value.len());
            }
            self.filed[heading as usize].entry(value).or_default().push(posting);
        }
    }

    /// Every subscription that wants the message, in the order in which they were given, each with the records
    /// it wants. Tens of microseconds at most for ten thousand subscriptions of which a handful match.
    #[must_use]
    pub fn matches(&self, message: &Message) -> Vec<Match> {
        self.candidates(message)
            .iter()
            .filter_map(|at| {
                let subscription = self.subscriptions.get(at)?;
                Some(Match {
                    records: subscription.filter.select(message)?,
                    subscription: Arc::clone(subscription),
                })
            })
            .collect()
    }

    /// Those that may want the message: all that do, and few that don't.
    fn candidates(&self, message: &Message) -> Found {
        let mut found = Found::new(self.subscriptions.len());
        match message.kind() {
            Kind::Event => self.find_for_event(message.records(), &mut found),
            Kind::MetricReport => self.find_for_report(message, &mut found),
        }
        found
    }

    fn find_for_event(&self, records: &[Record], found: &mut Found) {
        // What any record has, so that the unfiled are gone through once however many records there are.
        let together = records.iter().map(Traits::of).fold(Traits::default(), Traits::union);
        found.add(&self.unfiled, together);
        for record in records {
            self.find_for_record(record, found);
        }
    }

    fn find_for_record(&self, record: &Record, found: &mut Found) {
        let traits = Traits::of(record);
        let mut look_up = |heading: Heading, value: &str| {
            if let Some(postings) = self.filed[heading as usize].get(value) {
                found.add(postings, traits);
            }
        };
        if let Some(message) = record.message() {
            look_up(Heading::Message, message.as_str());
            if let Some(registry) = message.registry() {
                look_up(Heading::Registry, registry);
            }
        }
        if let Some(origin) = record.origin() {
            look_up(Heading::Origin, origin);
            if !self.filed[Heading::Ancestor as usize].is_empty() {
                resource::ancestry(origin)
                    .filter(|ancestor| ancestor.len() <= self.longest_ancestor)
                    .for_each(|ancestor| look_up(Heading::Ancestor, ancestor));
            }
        }
        if let Some(of) = record.resource_type()
            && !self.filed[Heading::ResourceType as usize].is_empty()
        {
            look_up(Heading::ResourceType, &of.to_ascii_lowercase());
        }
    }

    fn find_for_report(&self, report: &Message, found: &mut Found) {
        let of_definition = report
            .report_definition()
            .and_then(|definition| self.reports_by_definition.get(definition));
        for at in self.reports.iter().chain(of_definition.into_iter().flatten()) {
            found.insert(*at);
        }
    }
}

/// Positions of subscriptions that may want the message: a bit each, so that one found twice counts once.
struct Found(Vec<u64>);

impl Found {
    fn new(total: usize) -> Self {
        Self(vec![0; total.div_ceil(64)])
    }

    fn insert(&mut self, at: u32) {
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            *word |= 1 << (at % 64);
        }
    }

    /// Adds those whose event types and severities can match.
    fn add(&mut self, postings: &[Posting], traits: Traits) {
        for posting in postings.iter().filter(|posting| posting.admits(traits)) {
            self.insert(posting.subscription);
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let set = |rest: &u64| (*rest != 0).then_some(*rest);
            std::iter::successors(set(&word), move |rest| set(&(rest & (rest - 1))))
                .map(move |rest| at * 64 + rest.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests;
