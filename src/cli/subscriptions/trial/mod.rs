//! `subscriptions test`: one test event, step by step, from where it is run.
//!
//! The way is looked at first (name, connection, certificate); the event itself is sent by the same code as every
//! delivery, so that what it meets is what deliveries meet. Nothing is written to Redis.

mod advice;
mod event;
mod path;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpStream;
use tokio::time::Instant;

use self::advice::{Stopped, no_connection, no_name, not_allowed, trust, unanswered};
use crate::cli::text::{plain, short, span};
use crate::cli::tls::{self, Shown};
use crate::config::Config;
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::Subscription;
use crate::domain::verdict::{Answer, Judgement};
use crate::report::{MASK, destination};
use crate::worker::envelope::Envelope;
use crate::worker::sender::{Reply, Sender};

/// Bytes of an answer that are read for the excerpt, and characters of it that are shown.
const KEPT: usize = 4_096;
const SHOWN: usize = 300;
/// Shorter secrets are not looked for in an answer: they would be found in anything.
const SHORTEST_SECRET: usize = 4;

/// Arguments of `test`.
#[derive(Args)]
pub(in crate::cli) struct Test {
    /// Id of the subscription.
    pub(super) id: SubscriptionId,
}

/// Prints the steps as they are done.
struct Report<'a, W: Write> {
    out: &'a mut W,
}

impl<W: Write> Report<'_, W> {
    fn line(&mut self, mark: &str, step: &str, text: &str, took: Option<Duration>) -> std::io::Result<()> {
        let took = took.map(|took| format!("  ({})", span(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))));
        writeln!(
            self.out,
            "{mark:4}  {step:11}  {}{}",
            plain(text),
            took.unwrap_or_default()
        )?;
        self.out.flush()
    }

    fn ok(&mut self, step: &str, text: &str, took: Duration) -> std::io::Result<()> {
        self.line("ok", step, text, Some(took))
    }

    fn note(&mut self, step: &str, text: &str) -> std::io::Result<()> {
        self.line("", step, text, None)
    }
}

/// Sends a test event to a subscriber and tells each step.
///
/// # Errors
/// When a step failed: the message names it.
pub(super) async fn run(to: &Subscription, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut report = Report { out };
    report.note("subscriber", &format!("{} at {}", to.id, destination(to)))?;
    let Err(stopped) = steps(to, config, &mut report).await? else {
        return Ok(());
    };
    report.line("FAIL", stopped.step, &stopped.found, None)?;
    report.note("what to do", &stopped.advice)?;
    anyhow::bail!("the test of {} failed at the step: {}", to.id, stopped.step)
}

async fn steps<W: Write>(
    to: &Subscription,
    config: &Config,
    report: &mut Report<'_, W>,
) -> anyhow::Result<Result<(), Stopped>> {
    let patience = config.delivery.connect_timeout.0;
    let began = Instant::now();
    let guard = config.guard();
    let (host, addresses) = match path::resolve(&guard, &to.destination, patience).await {
        Ok(found) => found,
        Err(error) => {
            let stopped = error.downcast_ref().map(not_allowed);
            return Ok(Err(stopped.unwrap_or_else(|| no_name(&error))));
        }
    };
    let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let named = if list.contains(&host) {
        format!("{host} is an address: nothing to look up")
    } else {
        format!("{host} is {}", list.join(", "))
    };
    report.ok("name", &named, began.elapsed())?;

    let began = Instant::now();
    let connected = match path::connect(&addresses, patience).await {
        Ok(connected) => connected,
        Err(error) => return Ok(Err(no_connection(&error))),
    };
    let others = match connected.failed.as_slice() {
        [] => String::new(),
        failed => format!(", after {}", failed.join("; ")),
    };
    report.ok("connect", &format!("{}{others}", connected.address), began.elapsed())?;

    let mut certificate = None;
    if to.destination.scheme() == "https" {
        match look(&host, connected.stream, connected.address, patience, report).await? {
            Ok(shown) => certificate = shown,
            Err(stopped) => return Ok(Err(stopped)),
        }
    }
    send(to, config, certificate.as_ref(), report).await
}

/// The TLS handshake of the diagnosis.
async fn look<W: Write>(
    host: &str,
    stream: TcpStream,
    address: SocketAddr,
    patience: Duration,
    report: &mut Report<'_, W>,
) -> anyhow::Result<Result<Option<Shown>, Stopped>> {
    let began = Instant::now();
    let seen = tokio::time::timeout(patience, tls::look(host, stream))
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no handshake within {}ms", patience.as_millis())));
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            return Ok(Err(Stopped {
                step: "tls",
                found: format!("{address}: no TLS could be agreed on: {error:#}"),
                advice: "check that this port speaks TLS 1.2 or 1.3 (and not plain HTTP), and its server's log"
                    .to_owned(),
            }));
        }
    };
    report.ok("tls", &seen.version, began.elapsed())?;
    match &seen.certificate {
        Some(shown) => {
            report.note(
                "certificate",
                &format!("of {}, issued by {}", shown.subject, shown.issuer),
            )?;
            let names = match shown.names.as_slice() {
                [] => "no host".to_owned(),
                names => names.join(", "),
            };
            report.note(
                "",
                &format!(
                    "for {names}; valid from {} until {}",
                    shown.valid_from, shown.valid_until
                ),
            )?;
        }
        None => report.note("certificate", "it can't be read")?,
    }
    Ok(Ok(seen.certificate))
}

/// The request itself, sent as deliveries are.
async fn send<W: Write>(
    to: &Subscription,
    config: &Config,
    certificate: Option<&Shown>,
    report: &mut Report<'_, W>,
) -> anyhow::Result<Result<(), Stopped>> {
    let event = event::make(to)?;
    let signed = if to.secret.is_some() { "signed" } else { "not signed" };
    let sender = Sender::new(config.delivery.clone(), config.guard());
    let bytes = event.body.len();
    let began = Instant::now();
    let envelope = Envelope::new(to);
    let Reply { answer, excerpt, .. } = sender.exchange(to, envelope.as_ref(), &event, KEPT).await;
    let took = began.elapsed();
    if let Answer::None { failure, detail } = &answer {
        return Ok(Err(unanswered(to, *failure, detail, certificate)));
    }
    if to.destination.scheme() == "https" {
        report.line("ok", "trust", &trust(to), None)?;
    }
    report.line(
        "ok",
        "request",
        &format!("POST of {bytes} bytes, {signed}, webhook-id {}", event.id),
        None,
    )?;
    if !excerpt.is_empty() {
        report.note("body", &short(&hide(to, &String::from_utf8_lossy(&excerpt)), SHOWN))?;
    }
    let status = answer.describe();
    let failed = |consequence: &str, advice: &str| {
        Ok(Err(Stopped {
            step: "answer",
            found: format!("{status} after {}ms: {consequence}", took.as_millis()),
            advice: advice.to_owned(),
        }))
    };
    match answer.judge() {
        Judgement::Delivered => {
            report.ok("answer", &format!("{status}: deliveries arrive"), took)?;
            Ok(Ok(()))
        }
        Judgement::Unavailable => failed(
            "the subscriber can't serve now; deliveries are parked and probed",
            "look at the subscriber's own log for this webhook-id; nothing has to be done here",
        ),
        Judgement::Refused => failed(
            "the subscriber refuses; such deliveries become dead letters once others succeed",
            "check the path of the destination, and what it asks for: --header 'Authorization: …', --generate-secret",
        ),
        Judgement::Gone => failed(
            "the subscriber is gone for good; a delivery would suspend the subscription",
            "give it another place with: holdfast subscriptions update ID --destination URL, or remove it",
        ),
    }
}

/// A subscriber may say back what it was sent: what is secret in that is masked.
fn hide(to: &Subscription, text: &str) -> String {
    let headers = to
        .headers
        .iter()
        .filter_map(|(_, value)| value.reveal().ok())
        .flat_map(str::split_whitespace);
    let keys = to
        .secret
        .iter()
        .chain(to.previous_secret.as_ref().map(|old| &old.secret));
    let keys = keys.filter_map(|key| Some(key.reveal().ok()?.trim().trim_start_matches("whsec_")));
    let query = to.destination.query().into_iter();
    let mut secrets: Vec<&str> = headers
        .chain(keys)
        .chain(query)
        .filter(|secret| secret.len() >= SHORTEST_SECRET)
        .collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
        .into_iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}
