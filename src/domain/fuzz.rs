//! Targets for hostile input: events, subscriptions and filters, made of real samples that were damaged, of random
//! ones, and of what breaks parsers. Each asks more than that nothing panics.
//!
//! A few seconds as they are; `PROPTEST_CASES=100000` (or `./dev fuzz`) lets them run for long. What they find
//! is kept as a test of its own beside the code that was mended.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index as Place, select};
use serde_json::value::RawValue;

use super::event::{EventError, Message};
use super::filter::Filter;
use super::guard::Guard;
use super::ids::{StreamId, SubscriptionId};
use super::index::Index;
use super::payload::{Envelope, MAX_BYTES, Together, render};
use super::records::Records;
use super::samples;
use super::subscription::{Secret, Subscription};

const TEXTS: [&str; 9] = [
    samples::PLAIN,
    samples::BATCH,
    samples::REPORT,
    include_str!("../../tests/data/events/events-as-object.json"),
    include_str!("../../tests/data/events/odd-names.json"),
    include_str!("../../tests/data/events/origin-in-full.json"),
    include_str!("../../tests/data/events/byte-order-mark.json"),
    include_str!("../../tests/data/events/text.json"),
    include_str!("../../tests/data/events/bare-record.json"),
];

const EVENT_ID: StreamId = StreamId { millis: 5, sequence: 0 };

/// What breaks parsers: pieces that are put into a text.
const PIECES: [&str; 30] = [
    r"\ud83d\ude00",
    r"\ud800",
    r"\u0000",
    "\\",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "{}",
    "[]",
    "\"\"",
    "1e400",
    "-0",
    "123456789012345678901234567890",
    "0.1e-400",
    "\u{feff}",
    "\u{0}",
    "\u{2028}",
    "é",
    "/*",
    r#""Events":[],"#,
    r#""Events@odata.count":-1,"#,
    r#""Context":{"Context":1},"#,
    r#""@odata.type":"\u0023MetricReport.v1_0_0.MetricReport","#,
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    r#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}"#,
];

/// One damage. Places are taken modulo the length.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Place, u8),
    Truncate(Place),
    Insert(Place, &'static str),
    /// The bytes between two places again, at a third.
    Repeat(Place, Place, Place),
    Remove(Place, Place),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Place>;
    prop_oneof![
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        1 => place().prop_map(Damage::Truncate),
        4 => (place(), select(&PIECES[..])).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        2 => (place(), place(), place()).prop_map(|(from, to, at)| Damage::Repeat(from, to, at)),
        2 => (place(), place()).prop_map(|(from, to)| Damage::Remove(from, to)),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    let length = bytes.len() + 1;
    let between = |from: &Place, to: &Place| {
        let (from, to) = (from.index(length), to.index(length));
        from.min(to)..from.max(to)
    };
    match damage {
        Damage::Flip(at, byte) => {
            if let Some(old) = bytes.get_mut(at.index(length)) {
                *old ^= byte;
            }
        }
        Damage::Truncate(at) => bytes.truncate(at.index(length)),
        Damage::Insert(at, piece) => {
            let at = at.index(length);
            bytes.splice(at..at, piece.bytes());
        }
        Damage::Repeat(from, to, at) => {
            let (again, at) = (bytes[between(from, to)].to_vec(), at.index(length));
            bytes.splice(at..at, again);
        }
        Damage::Remove(from, to) => {
            bytes.drain(between(from, to));
        }
    }
}

fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    (text, vec(damage(), 0..4)).prop_map(|(text, damages)| {
        let mut bytes = text.into_bytes();
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        bytes
    })
}

pub(crate) fn event() -> impl Strategy<Value = Vec<u8>> {
    let real = select(&TEXTS[..]).prop_map(str::to_owned);
    damaged(prop_oneof![real, samples::message()])
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,12}",
        "[/#%.A-Za-z0-9]{0,20}",
        select(&PIECES[..]).prop_map(str::to_owned)
    ]
}

/// A filter with any text in it.
fn wild_filter() -> impl Strategy<Value = Filter> {
    let wild = (samples::filter(), vec(text(), 6), any::<u8>());
    wild.prop_map(|(mut filter, texts, which)| {
        let slots = [
            &mut filter.registry_prefixes,
            &mut filter.message_ids,
            &mut filter.exclude_message_ids,
            &mut filter.resource_types,
            &mut filter.origin_resources,
            &mut filter.metric_report_definitions,
        ];
        for (at, (slot, text)) in slots.into_iter().zip(texts).enumerate() {
            if which >> at & 1 == 1 {
                slot.push(text);
            }
        }
        filter
    })
}

fn subscription(number: usize, filter: Filter) -> Subscription {
    let id = SubscriptionId::new(&format!("s{number}")).expect("an id");
    let destination = "https://user@siem.example:8443/redfish?x=1".parse().expect("a URL");
    let mut subscription = Subscription::new(id, destination, "2026-01-01T00:00:00Z".to_owned());
    subscription.filter = filter;
    subscription
}

/// A subscription with every member filled.
fn full_subscription() -> impl Strategy<Value = String> {
    let parts = (
        wild_filter(),
        proptest::option::of(text()),
        text(),
        any::<f64>(),
        any::<u32>(),
    );
    parts.prop_map(|(filter, context, header, backoff, limit)| {
        let mut full = subscription(1, filter);
        full.context = context;
        full.headers = vec![("X-Test".to_owned(), Secret::new(header))];
        full.retry.backoff = Some(backoff).filter(|backoff| backoff.is_finite());
        full.retry.max_attempts = Some(limit);
        full.max_in_flight = Some(limit);
        full.secret = Some(Secret::new("whsec_AAAA"));
        serde_json::to_string(&full).expect("it can be written")
    })
}

/// A factor of many digits may change in its last one when it is read (by the JSON parser, which is fast rather than
/// exact there); nothing else may.
fn but_for_the_last_digit(mut subscription: Subscription) -> Subscription {
    let coarse = |backoff: f64| (backoff * 1e6).round();
    subscription.retry.backoff = subscription
        .retry
        .backoff
        .filter(|backoff| backoff.abs() < 1e6)
        .map(coarse);
    subscription
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

proptest! {
    /// What is taken is JSON, reads the same again, and its records stand in it in order and apart.
    #[test]
    fn what_the_event_parser_takes_reads_the_same_again(bytes in event()) {
        let Ok(message) = Message::parse(bytes.into()) else { return Ok(()) };
        prop_assert!(is_json(message.raw()));
        let again = Message::parse(message.raw().clone()).expect("it was taken before");
        prop_assert_eq!(again.records(), message.records());
        prop_assert_eq!(again.kind(), message.kind());
        prop_assert_eq!(again.report_definition(), message.report_definition());
        let mut end = message.raw().as_ptr();
        for index in 0..message.records().len() {
            let record = message.record_bytes(index);
            prop_assert!(is_json(record));
            prop_assert!(record.as_ptr() >= end, "record {index} begins before the last one ends");
            end = record.as_ptr_range().end;
        }
    }

    /// What is sent is JSON, is taken like any event, has just the chosen records in order, and is sent the same when
    /// it comes again.
    #[test]
    fn what_is_rendered_has_what_was_selected(
        bytes in event(), filter in wild_filter(), context in proptest::option::of(text()),
    ) {
        let Ok(message) = Message::parse(bytes.into()) else { return Ok(()) };
        let Some(records) = filter.select(&message) else { return Ok(()) };
        let chosen: Vec<usize> = records.iter().collect();
        prop_assert!(!chosen.is_empty() && chosen.is_sorted_by(|a, b| a < b));
        prop_assert!(chosen.iter().all(|index| *index < message.records().len()));
        let envelope = Envelope { context: context.as_deref(), event: EVENT_ID };
        let bodies = render(&message, &records, envelope);
        prop_assert_eq!(&render(&message, &records, envelope), &bodies, "the same again");
        let body = bodies[0].clone();
        prop_assert!(bodies.len() == 1 && is_json(&body), "{}", String::from_utf8_lossy(&body));
        let sent = match Message::parse(body.clone()) {
            // What had no place is kept four levels deeper than it came.
            Err(EventError::TooDeep { .. }) => return Ok(()),
            sent => sent.expect("a subscriber's parser is no stricter"),
        };
        prop_assert_eq!(sent.kind(), message.kind());
        prop_assert_eq!(sent.records().len(), chosen.len());
        for (sent, index) in sent.records().iter().zip(chosen) {
            let came = &message.records()[index];
            prop_assert_eq!(sent.event_type(), came.event_type());
            prop_assert_eq!(sent.severity(), came.severity());
        }
        let all = Records::all(sent.records().len()).expect("some");
        prop_assert_eq!(&render(&sent, &all, envelope)[0], &body, "what conforms is left alone");
    }

    /// Events that travel together are all there, each record once and in order, under a length that is kept.
    #[test]
    fn what_travels_together_is_all_there(events in vec((event(), wild_filter()), 1..12), most in 1..8_usize) {
        let mut together = Together::new(most, None);
        let (mut expected, mut deliveries) = (Vec::new(), 0);
        for (number, (bytes, filter)) in events.into_iter().enumerate() {
            let Ok(message) = Message::parse(bytes.into()) else { continue };
            let Some(records) = filter.select(&message) else { continue };
            let before = together.render();
            if together.add(&message, &records, &format!("s.0.1-{number}")) {
                deliveries += 1;
                expected.extend(records.iter().map(|index| {
                    let record = &message.records()[index];
                    (record.event_type(), record.severity())
                }));
            } else {
                prop_assert_eq!(together.render(), before, "what is refused leaves no trace");
            }
        }
        let body = together.render();
        prop_assert!(is_json(&body) && body.len() <= MAX_BYTES);
        prop_assert_eq!(together.len(), deliveries);
        let Ok(sent) = Message::parse(body) else { return Ok(()) };
        let sent: Vec<_> = sent.records().iter().map(|record| (record.event_type(), record.severity())).collect();
        prop_assert!(sent.len() <= most);
        prop_assert_eq!(sent, expected);
    }

    /// A stored subscription that can be read is written and read again without a change, and can be judged and filed.
    #[test]
    fn what_the_subscription_parser_takes_is_kept(bytes in damaged(full_subscription())) {
        let Ok(read) = serde_json::from_slice::<Subscription>(&bytes) else { return Ok(()) };
        let written = serde_json::to_string(&read).expect("it can be written");
        let again: Subscription = serde_json::from_str(&written).expect("it was written by us");
        prop_assert_eq!(but_for_the_last_digit(again), but_for_the_last_digit(read.clone()));
        let problems = read.validate(&Guard::default()).err().unwrap_or_default();
        prop_assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
        let alert = Message::parse(samples::PLAIN.into()).expect("a sample");
        let wanted = read.filter.select(&alert).is_some();
        prop_assert_eq!(Index::new([Arc::new(read)]).matches(&alert).len(), usize::from(wanted));
    }

    /// The index and the plain filter agree on whatever comes.
    #[test]
    fn the_matcher_agrees_with_the_plain_filter(
        filters in vec(wild_filter(), 1..12), messages in vec(event(), 1..4),
    ) {
        let all: Vec<_> = (0..).zip(filters).map(|(at, filter)| Arc::new(subscription(at, filter))).collect();
        let index = Index::new(all.iter().cloned());
        for message in messages.into_iter().filter_map(|bytes| Message::parse(bytes.into()).ok()) {
            let asked = all.iter().filter_map(|one| Some((one.id.clone(), one.filter.select(&message)?)));
            let found = index.matches(&message);
            let found = found.into_iter().map(|found| (found.subscription.id.clone(), found.records));
            prop_assert_eq!(found.collect::<Vec<_>>(), asked.collect::<Vec<_>>());
        }
    }
}
