//! A report as text: a table of the subscriptions and a few lines of totals.

use super::largest;
use crate::cli::table::Table;
use crate::cli::text::{count, number, short, short_error, size, span};
use crate::domain::units::Period;
use crate::report::{Books, Report, Row, Totals};

const DESTINATION_WIDTH: usize = 44;
const ERROR_WIDTH: usize = 48;

/// The whole report; every line ends with a line break.
pub(super) fn text(report: &Report, before: Option<&Report>) -> String {
    let view = report.view(before);
    let mut text = if view.subscriptions.is_empty() {
        "no subscriptions; make one: holdfast subscriptions add http://HOST/PATH\n".to_owned()
    } else {
        table(&view.subscriptions, before.is_some())
    };
    text.push('\n');
    for (name, value) in totals(&view.totals) {
        text.push_str(&format!("{name:8}  {value}\n"));
    }
    text
}

fn table(rows: &[Row], rates: bool) -> String {
    const TITLES: [&str; 8] = [
        "ID",
        "DESTINATION",
        "STATE",
        ">PARKED",
        ">OLDEST",
        ">NEXT TRY",
        ">ATTEMPTS",
        "LAST ERROR",
    ];
    let mut table = if rates {
        let [first @ .., last] = TITLES;
        Table::new(&[&first[..], &[">CHANGE/S", last]].concat())
    } else {
        Table::new(&TITLES)
    };
    for row in rows {
        let circuit = &row.circuit;
        let dash = || "-".to_owned();
        let next = match circuit.next_attempt_in_ms {
            _ if circuit.delivery == "suspended" => dash(),
            None => dash(),
            Some(0) => "now".to_owned(),
            Some(wait) => span(wait),
        };
        let cells = [
            row.id.to_owned(),
            short(&row.destination, DESTINATION_WIDTH),
            circuit.delivery.to_owned(),
            number(circuit.parked),
            circuit.oldest_age_ms.map_or_else(dash, span),
            next,
            // A limit may have moved on the delivery that the probes were made with.
            number(circuit.attempts.max(circuit.failures)),
        ];
        let error = short_error(circuit.last_error, ERROR_WIDTH);
        let [id, destination, state, parked, oldest, next, attempts] = cells;
        if rates {
            let rate = row.parked_per_second.map_or_else(dash, change);
            table.row([id, destination, state, parked, oldest, next, attempts, rate, error]);
        } else {
            table.row([id, destination, state, parked, oldest, next, attempts, error]);
        }
    }
    table.to_string()
}

fn totals(totals: &Totals) -> Vec<(&'static str, String)> {
    let mut events = format!(
        "{} waiting, {} in progress",
        number(totals.events_waiting),
        number(totals.events_in_progress)
    );
    if let Some(age) = totals.oldest_event_age_ms {
        events.push_str(&format!(", the oldest for {}", span(age)));
    }
    if totals.ledger.unwanted_events > 0 {
        events.push_str(&format!(
            ", {} so far wanted by nobody",
            number(totals.ledger.unwanted_events)
        ));
    }
    let mut workers = number(totals.workers_alive);
    if totals.workers_alive == 0 {
        workers.push_str(": nothing is delivered until one runs (holdfast serve)");
    }
    let mut lines = vec![
        ("events", events),
        ("books", books(&totals.ledger, totals.delivered_per_second)),
        ("", balance(&totals.ledger)),
        ("dead", dead(totals)),
        ("workers", workers),
        ("memory", memory(totals.memory_used_bytes, totals.memory_limit_bytes)),
    ];
    if let Some(service) = service(totals) {
        lines.push(("service", service));
    }
    if let Some(largest) = largest::line(&totals.largest) {
        lines.push(("largest", largest));
    }
    if totals.unreadable_subscriptions > 0 {
        let unreadable = u64::try_from(totals.unreadable_subscriptions).unwrap_or(u64::MAX);
        lines.push((
            "ALARM",
            format!(
                "{} can't be read and gets no events: see holdfast subscriptions list",
                count(unreadable, "subscription")
            ),
        ));
    }
    lines
}

fn books(books: &Books, rate: Option<i64>) -> String {
    let rate = rate.map(|rate| format!(" ({}/s)", number(rate))).unwrap_or_default();
    let overflowed = match books.overflowed {
        0 => String::new(),
        overflowed => format!(" + {} in files", number(overflowed)),
    };
    format!(
        "{} wanted + {} replayed = {} delivered{rate} + {} parked + {} dead-lettered{overflowed} + {} dropped",
        number(books.wanted),
        number(books.replayed),
        number(books.delivered),
        number(books.parked),
        number(books.dead_lettered),
        number(books.dropped),
    )
}

fn balance(books: &Books) -> String {
    if books.imbalance == 0 {
        return "the books balance".to_owned();
    }
    format!(
        "ALARM: the books are off by {}: keys of Holdfast were changed by something else",
        number(books.imbalance)
    )
}

fn dead(totals: &Totals) -> String {
    if totals.dead_letters == 0 {
        return "none".to_owned();
    }
    format!(
        "{}; see holdfast dead-letters list",
        count(totals.dead_letters, "dead letter")
    )
}

fn memory(used: u64, limit: u64) -> String {
    let Some(percent) = u128::from(used).saturating_mul(100).checked_div(u128::from(limit)) else {
        return size(used);
    };
    format!("{} of {} ({percent} %)", size(used), size(limit))
}

/// What was set over Redfish's EventService; nothing where nobody did.
fn service(totals: &Totals) -> Option<String> {
    let stopped = (!totals.service_enabled)
        .then(|| "STOPPED (ServiceEnabled is false): nothing is published, events are taken in and wait".to_owned());
    let interval = totals
        .delivery_retry_interval_seconds
        .map(|secs| format!("first retry after {}", Period::from_secs(secs)));
    let retries = totals
        .delivery_retry_attempts
        .map(|retries| format!("{} before a policy ends a subscription", count(retries.into(), "retry")));
    let parts: Vec<String> = stopped.into_iter().chain(interval).chain(retries).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A change with its sign.
fn change(rate: i64) -> String {
    match rate {
        1.. => format!("+{}", number(rate)),
        _ => number(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_are_off_are_an_alarm() {
        let mut books = Books {
            wanted: 5,
            replayed: 0,
            delivered: 3,
            parked: 1,
            dead_lettered: 1,
            overflowed: 0,
            dropped: 0,
            unwanted_events: 0,
            rejected_events: 0,
            imbalance: 0,
        };
        assert_eq!(balance(&books), "the books balance");
        books.imbalance = -2;
        assert!(balance(&books).starts_with("ALARM: the books are off by -2"));
    }

    #[test]
    fn changes_have_a_sign_and_memory_a_share() {
        assert_eq!([change(-1_200), change(0), change(7)], ["-1,200", "0", "+7"]);
        assert_eq!(memory(1_048_576, 4_194_304), "1.0 MiB of 4.0 MiB (25 %)");
        assert_eq!(memory(1_048_576, 0), "1.0 MiB");
    }
}
