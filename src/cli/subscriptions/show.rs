//! `subscriptions list` and `show`.

use std::io::Write;

use super::filter;
use super::limits::kept;
use super::view::View;
use crate::cli::table::Table;
use crate::cli::text::{number, plain, short, span, time};
use crate::config::Config;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{PayloadFormat, State, Subscription};
use crate::domain::units::Period;
use crate::report::{Circuit, MASK, backups, destination};
use crate::store::census::Census;
use crate::store::{Store, StoreError};

const DESTINATION_WIDTH: usize = 48;
const FILTER_WIDTH: usize = 40;

/// Lists all subscriptions.
pub(super) async fn list(store: &Store, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let registry = store.registry().await?;
    let ids: Vec<&str> = registry.subscriptions.iter().map(|s| s.id.as_str()).collect();
    let (now, rows) = store.census(&ids).await?;
    let both = registry.subscriptions.iter().zip(&rows);
    if json {
        let views: Vec<View> = both.map(|(of, census)| View::new(of, census, now)).collect();
        serde_json::to_writer_pretty(&mut *out, &views)?;
        writeln!(out)?;
    } else if ids.is_empty() && registry.unreadable.is_empty() {
        writeln!(
            out,
            "no subscriptions; make one: holdfast subscriptions add http://HOST/PATH"
        )?;
    } else {
        let mut table = Table::new(&["ID", "STATE", "DESTINATION", "WANTS", ">PARKED"]);
        for (of, census) in both {
            table.row([
                of.id.to_string(),
                Circuit::new(of.is_suspended(), census, now).delivery.to_owned(),
                short(&destination(of), DESTINATION_WIDTH),
                short(&filter::summary(&of.filter), FILTER_WIDTH),
                number(census.parked),
            ]);
        }
        for (id, _) in &registry.unreadable {
            let nothing = || "-".to_owned();
            table.row([id.clone(), "unreadable".to_owned(), nothing(), nothing(), nothing()]);
        }
        out.write_all(table.to_string().as_bytes())?;
    }
    Ok(())
}

/// Shows one subscription.
pub(super) async fn show(
    store: &Store,
    config: &Config,
    id: &SubscriptionId,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let of = store
        .subscription(id)
        .await?
        .ok_or_else(|| StoreError::Unknown(id.clone()))?;
    let (now, rows) = store.census(&[id.as_str()]).await?;
    let census = rows.into_iter().next().unwrap_or_default();
    if json {
        serde_json::to_writer_pretty(&mut *out, &View::new(&of, &census, now))?;
        writeln!(out)?;
        return Ok(());
    }
    let mut lines = settings(&of, config);
    lines.extend(progress(&of, &census, now));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in lines {
        writeln!(out, "{name:width$}  {}", plain(&value))?;
    }
    Ok(())
}

/// What it was told to do.
fn settings(of: &Subscription, config: &Config) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("id", of.id.to_string()),
        ("destination", destination(of)),
        ("created", of.created_at.clone()),
        ("name", of.name.clone().unwrap_or_else(|| "-".to_owned())),
        ("context", of.context.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    lines.extend(backups(of).into_iter().map(|backup| ("backup", backup)));
    let kinds = filter::kinds(&of.filter);
    if kinds.is_empty() {
        lines.push(("wants", "all events".to_owned()));
    }
    lines.extend(kinds);
    if of.payload == PayloadFormat::Raw {
        lines.push(("payload", "raw: as it came".to_owned()));
    }
    if let Some(minutes) = of.heartbeat_minutes {
        let every = Period::from_secs(u64::from(minutes) * 60);
        lines.push(("heartbeat", format!("every {every}")));
    }
    if !of.coalesce {
        lines.push(("coalescing", "off: one event a message".to_owned()));
    }
    for (name, _) in &of.headers {
        lines.push(("header", format!("{name}: {MASK}")));
    }
    let signed = match (&of.secret, &of.previous_secret) {
        (Some(_), Some(old)) => format!(
            "yes, with {MASK}; until {} with the key before it as well",
            time(old.until.saturating_mul(1_000))
        ),
        (Some(_), None) => format!("yes, with {MASK}"),
        (None, _) => "no".to_owned(),
    };
    let tls = match (&of.ca_file, of.verify_certificate) {
        (_, false) => "not verified".to_owned(),
        (Some(file), true) => format!("verified by {}", file.display()),
        (None, true) => "verified by the system's authorities".to_owned(),
    };
    let retry = &config.retry;
    lines.push(("signed", signed));
    if of.destination.scheme() == "https" {
        lines.push(("certificate", tls));
    }
    lines.extend([
        ("max in flight", or(&of.max_in_flight, &config.delivery.max_in_flight)),
        ("timeout", or(&of.timeout, &config.delivery.timeout)),
        ("policy", format!("{:?}", of.retry_policy)),
        ("retry delay", or(&of.retry.delay, &retry.delay)),
        ("retry backoff", or(&of.retry.backoff, &retry.backoff)),
        ("retry max delay", or(&of.retry.max_delay, &retry.max_delay)),
        ("retry max attempts", or(&of.retry.max_attempts, &retry.max_attempts)),
        ("keeps", kept(&of.limits)),
    ]);
    lines
}

/// How it is going.
fn progress(of: &Subscription, census: &Census, now: u64) -> Vec<(&'static str, String)> {
    let circuit = Circuit::new(of.is_suspended(), census, now);
    let mut lines = Vec::new();
    let state = match (&of.state, circuit.unavailable_for_ms.or(circuit.behind_for_ms)) {
        (State::Suspended { reason, since }, _) => format!("suspended since {since}: {reason}"),
        (State::Enabled, Some(age)) => format!("{} for {}", circuit.delivery, span(age)),
        (State::Enabled, None) => circuit.delivery.to_owned(),
    };
    lines.push(("state", state));
    let parked = match circuit.oldest_age_ms {
        Some(age) => format!("{}, the oldest for {}", number(circuit.parked), span(age)),
        None => number(circuit.parked),
    };
    lines.push(("parked", parked));
    if let Some(wait) = circuit.next_attempt_in_ms {
        lines.push(("next attempt", next_attempt(wait)));
    }
    if circuit.parked > 0 {
        lines.push(("attempts", format!("{} of the oldest", number(circuit.attempts))));
    }
    if circuit.failures > 0 {
        lines.push(("failures", format!("{} in a row", number(circuit.failures))));
    }
    if !circuit.last_error.is_empty() {
        lines.push(("last error", circuit.last_error.to_owned()));
    }
    lines
}

/// `now` or `in 3m 12s`.
fn next_attempt(wait: u64) -> String {
    match wait {
        0 => "now".to_owned(),
        wait => format!("in {}", span(wait)),
    }
}

/// A subscription's own value, or the service's.
fn or<T: ToString>(own: &Option<T>, default: &T) -> String {
    match own {
        Some(own) => own.to_string(),
        None => format!("{} (the service's)", default.to_string()),
    }
}
