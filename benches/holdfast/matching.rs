//! Finding out who wants an event, among ten thousand subscriptions.
//!
//! The subscriptions differ in what they filter: registries, message ids, chassis, severities and combinations,
//! as in a large site where each team asks for its own racks. What is found is checked against every filter.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use holdfast::domain::event::Message;
use holdfast::domain::ids::SubscriptionId;
use holdfast::domain::index::Index;
use holdfast::domain::subscription::Subscription;
use holdfast::domain::terms::Severity;

use crate::output::{Mark, Row};
use crate::stats::Samples;
use crate::{Plan, events};

const SUBSCRIPTIONS: usize = 10_000;
const MESSAGES: usize = 1_000;

pub(crate) fn measure(plan: Plan) -> Vec<Row> {
    let subscriptions: Vec<Arc<Subscription>> = (0..SUBSCRIPTIONS)
        .map(|number| Arc::new(subscription(number)))
        .collect();
    let messages: Vec<Message> = (0..MESSAGES)
        .map(|number| Message::parse(events::about(number, number * 7 % SUBSCRIPTIONS)).unwrap())
        .collect();
    let index = Index::new(subscriptions.iter().cloned());
    let wanted = check(&index, &subscriptions, &messages[..plan.size(200, 20)]);

    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let times = messages.iter().map(|message| {
            let started = Instant::now();
            black_box(index.matches(black_box(message)));
            started.elapsed().as_secs_f64() * 1e6
        });
        runs.push(Samples::new(times));
    }
    let of = |share: f64| Samples::new(runs.iter().map(|run| run.percentile(share)));
    let what = "matching one event against 10,000 subscriptions";
    vec![
        Row::new(format!("{what}, median"), " µs", of(0.50))
            .mark(Mark::AtMost(20.0))
            .note(format!("{wanted:.1} subscriptions want an event, on average")),
        Row::new(format!("{what}, p99"), " µs", of(0.99)),
    ]
}

/// Most ask for a chassis of their own, some for a message or a registry there, a few for what is rare anywhere.
fn subscription(number: usize) -> Subscription {
    let id = SubscriptionId::new(&format!("s{number}")).unwrap();
    let url = format!("https://team-{number}.example/redfish").parse().unwrap();
    let mut subscription = Subscription::new(id, url, "2026-01-01T00:00:00Z".to_owned());
    let filter = &mut subscription.filter;
    filter.origin_resources = vec![events::chassis(number)];
    filter.subordinate_resources = true;
    match number % 10 {
        0 => filter.registry_prefixes = vec!["Environmental".to_owned(), "Power".to_owned()],
        1 => filter.message_ids = vec!["StorageDevice.DriveFailurePredicted".to_owned()],
        2 => filter.severities = vec![Severity::Critical],
        3 => filter.exclude_registry_prefixes = vec!["ResourceEvent".to_owned()],
        // Everything of some kind, wherever it comes from; of hardware that reports nothing here.
        4 => {
            filter.origin_resources.clear();
            filter.message_ids = vec![format!("Contoso{}.FirmwareChanged", number % 500)];
        }
        _ => {}
    }
    if number.is_multiple_of(1_000) {
        filter.origin_resources.clear();
        filter.message_ids.clear();
        filter.severities = vec![Severity::Critical];
    }
    subscription
}

/// Fails unless the index finds whom the filters select; answers how many that is on average.
fn check(index: &Index, subscriptions: &[Arc<Subscription>], messages: &[Message]) -> f64 {
    let mut total = 0;
    for message in messages {
        let found: Vec<_> = index
            .matches(message)
            .into_iter()
            .map(|found| found.subscription.id.clone())
            .collect();
        let selected = subscriptions.iter().filter(|one| one.filter.select(message).is_some());
        let selected: Vec<_> = selected.map(|one| one.id.clone()).collect();
        assert_eq!(found, selected);
        total += found.len();
    }
    assert!(total > 0, "nobody wanted anything");
    total as f64 / messages.len() as f64
}
