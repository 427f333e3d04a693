//! Under what a subscription is filed, and the cheap test that precedes the real one.

use std::collections::HashMap;

use super::super::event::Record;
use super::super::filter::Filter;
use super::super::message_id::{MessageKey, unversioned};
use super::super::resource;
use super::super::terms::{EventType, Severity};

/// What a value that subscriptions are filed under stands for. Of equally rare choices the first wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Heading {
    /// The exact origin.
    Origin,
    /// The origin or something above it.
    Ancestor,
    /// A message key.
    Message,
    /// A registry prefix.
    Registry,
    /// The origin's resource type.
    ResourceType,
}

impl Heading {
    /// How many headings there are.
    pub(super) const COUNT: usize = 5;
}

/// Values under all of which a subscription has to be filed to be found whenever it matches: those of one kind.
pub(super) struct Choice(pub(super) Vec<(Heading, Box<str>)>);

/// The kinds of a filter that a subscription can be filed by, most telling first.
pub(super) fn choices(filter: &Filter) -> Vec<Choice> {
    let origin = if filter.subordinate_resources {
        Heading::Ancestor
    } else {
        Heading::Origin
    };
    let origins = filter.origin_resources.iter();
    let origins = origins.map(|uri| (origin, resource::canonical(uri).into()));
    // Prefixes and ids are one kind: a record may match by either, so the subscription is filed under both.
    let ids = filter.message_ids.iter().filter_map(|id| MessageKey::read(id));
    let ids = ids.map(|key| (Heading::Message, key.as_str().into()));
    let prefixes = filter.registry_prefixes.iter();
    let prefixes = prefixes.map(|prefix| (Heading::Registry, lower(unversioned(prefix))));
    let types = filter
        .resource_types
        .iter()
        .filter_map(|of| resource::type_of_odata(of));
    let types = types.map(|of| (Heading::ResourceType, lower(of)));
    [origins.collect(), ids.chain(prefixes).collect(), types.collect()]
        .into_iter()
        .filter(|values: &Vec<_>| !values.is_empty())
        .map(Choice)
        .collect()
}

fn lower(text: &str) -> Box<str> {
    text.to_ascii_lowercase().into_boxed_str()
}

/// How many subscriptions could be filed under each value.
pub(super) fn popularity<'a>(
    values: impl Iterator<Item = &'a (Heading, Box<str>)>,
) -> HashMap<(Heading, Box<str>), usize> {
    let mut counts = HashMap::new();
    for value in values {
        *counts.entry(value.clone()).or_default() += 1;
    }
    counts
}

/// The choice whose values the fewest subscriptions share; `None` when there is none to choose from.
pub(super) fn rarest(choices: Vec<Choice>, popularity: &HashMap<(Heading, Box<str>), usize>) -> Option<Choice> {
    let shared = |choice: &Choice| {
        let counts = choice.0.iter().filter_map(|value| popularity.get(value));
        counts.max().copied()
    };
    choices.into_iter().min_by_key(shared)
}

/// Event types and severities as bits, one for each value that a record can have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traits {
    event_types: u8,
    severities: u8,
}

impl Traits {
    /// What one record has.
    pub(super) fn of(record: &Record) -> Self {
        Self {
            event_types: type_bit(record.event_type()),
            severities: record.severity().map_or(NO_SEVERITY, severity_bit),
        }
    }

    /// What either has.
    pub(super) fn union(self, other: Self) -> Self {
        Self {
            event_types: self.event_types | other.event_types,
            severities: self.severities | other.severities,
        }
    }
}

/// The bit of a record without severity.
const NO_SEVERITY: u8 = 1 << 7;

fn type_bit(of: EventType) -> u8 {
    1 << of as u8
}

fn severity_bit(of: Severity) -> u8 {
    1 << of as u8
}

/// One subscription under one value, with the traits it asks for: most candidates fall here, before their
/// subscription is even looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting {
    /// Its position in the index.
    pub(super) subscription: u32,
    wanted: Traits,
}

impl Posting {
    pub(super) fn new(subscription: u32, filter: &Filter) -> Self {
        let any_of = |bits: u8| if bits == 0 { u8::MAX } else { bits };
        let event_types = filter.event_types.iter().fold(0, |bits, of| bits | type_bit(*of));
        let severities = filter.severities.iter().fold(0, |bits, of| bits | severity_bit(*of));
        Self {
            subscription,
            wanted: Traits {
                event_types: any_of(event_types),
                severities: any_of(severities),
            },
        }
    }

    /// Whether a record with these traits can match.
    pub(super) fn admits(self, traits: Traits) -> bool {
        self.wanted.event_types & traits.event_types != 0 && self.wanted.severities & traits.severities != 0
    }
}
