//! The books of the fault harness: what they must find is found, and what is in order is left alone.

use std::collections::{HashMap, HashSet};

#[path = "../faults/books.rs"]
#[expect(dead_code, reason = "the page of a subscriber is named in the report only")]
mod books;

use books::{Counted, Got, Ledger, Outcome, Page, compare, disagreements};

/// Events 0 to 4 were accepted, of 5 nobody knows, 6 was refused.
fn sent() -> HashMap<u64, Outcome> {
    let outcome = |number| match number {
        0..5 => Outcome::Accepted,
        5 => Outcome::Unknown,
        _ => Outcome::Refused,
    };
    (0..7).map(|number| (number, outcome(number))).collect()
}

fn got(number: u64) -> Got {
    Got {
        id: format!("s1.0.{}-0", 1_700_000_000_000 + number),
        number: Some(number),
    }
}

/// A page with these deliveries, in this order.
fn page(numbers: &[u64]) -> Page {
    Page {
        subscriber: "steady",
        got: numbers.iter().map(|number| got(*number)).collect(),
        ..Page::default()
    }
}

#[test]
fn what_arrived_is_in_order_and_what_is_unknown_may_arrive() {
    for numbers in [&[0, 1, 2, 3, 4][..], &[4, 3, 5, 2, 1, 0]] {
        assert_eq!(
            compare(&sent(), &HashSet::new(), &page(numbers)),
            books::Findings::default()
        );
    }
}

#[test]
fn what_is_missing_is_lost_unless_it_is_kept_or_excused_or_not_owed() {
    let mut page = page(&[1, 3]);
    let lost = |page: &Page, excused: &[u64]| compare(&sent(), &excused.iter().copied().collect(), page).lost;
    assert_eq!(lost(&page, &[]), [0, 2, 4]);
    assert_eq!(lost(&page, &[4]), [0, 2]);
    page.kept = [2].into();
    assert_eq!(lost(&page, &[]), [0, 4]);
    page.owed_from = 1;
    assert_eq!(lost(&page, &[]), [4]);
}

#[test]
fn a_duplicate_is_counted_and_an_event_under_two_ids_is_named() {
    let mut page = page(&[0, 1, 1, 2, 3, 4, 1]);
    let findings = compare(&sent(), &HashSet::new(), &page);
    assert_eq!((findings.duplicates, findings.doubled.len()), (2, 0));
    page.got.push(Got {
        id: "s1.0.1800000000000-0".to_owned(),
        number: Some(1),
    });
    assert_eq!(compare(&sent(), &HashSet::new(), &page).doubled, [1]);
}

#[test]
fn what_nobody_sent_and_what_was_refused_is_foreign() {
    let mut page = page(&[0, 1, 2, 3, 4, 6, 99]);
    page.got.push(Got {
        id: "s1.0.1-0".to_owned(),
        number: None,
    });
    assert_eq!(compare(&sent(), &HashSet::new(), &page).foreign.len(), 3);
}

#[test]
fn one_that_waited_and_was_overtaken_is_found() {
    let mut page = page(&[0, 2, 1, 4, 3]);
    assert!(compare(&sent(), &HashSet::new(), &page).overtaking.is_empty());
    page.in_order = [0, 1, 2].into();
    assert_eq!(compare(&sent(), &HashSet::new(), &page).overtaking, [1]);
    // Numbers of a stream id are compared as numbers, each partition by itself, and a repetition is no overtaking.
    page.got = [("s1.0.9-10", 0), ("s1.0.9-9", 1), ("s1.1.8-0", 2), ("s1.0.9-10", 0)]
        .map(|(id, number)| Got {
            id: id.to_owned(),
            number: Some(number),
        })
        .to_vec();
    assert_eq!(compare(&sent(), &HashSet::new(), &page).overtaking, [1]);
}

#[test]
fn totals_that_do_not_add_up_are_said() {
    let good = Ledger {
        settled: 5,
        wanted: 15,
        delivered: 14,
        dropped: 1,
        ..Ledger::default()
    };
    let counted = Counted {
        accepted: 4,
        unknown: 1,
        delivered: 15,
        of_destroyed: 0,
    };
    assert_eq!(disagreements(&good, &counted), Vec::<String>::new());
    // It may have arrived before it was destroyed, and may have been settled by then or not.
    let destroyed = |delivered| Counted {
        delivered,
        of_destroyed: 1,
        ..counted
    };
    assert_eq!(disagreements(&good, &destroyed(16)), Vec::<String>::new());
    assert_eq!(disagreements(&good, &destroyed(17)).len(), 1);
    let wrong = [
        Ledger { wanted: 16, ..good },
        Ledger { settled: 3, ..good },
        Ledger { settled: 6, ..good },
        Ledger {
            wanted: 14,
            delivered: 13,
            ..good
        },
        Ledger {
            wanted: 17,
            delivered: 16,
            ..good
        },
    ];
    for ledger in wrong {
        assert_eq!(disagreements(&ledger, &counted).len(), 1, "{ledger:?}");
    }
}
