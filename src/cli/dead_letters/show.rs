//! `dead-letters list` and `show`.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use super::select::{Found, LetterId, NOBODY, Walk};
use super::{List, Show};
use crate::cli::table::Table;
use crate::cli::text::{plain, short, short_error, time};
use crate::store::Store;

const REASON_WIDTH: usize = 72;
const ERROR_WIDTH: usize = 48;

/// A dead letter as `--json` prints it.
#[derive(Serialize)]
struct View<'a> {
    id: String,
    subscription: Option<&'a str>,
    given_up_at: String,
    reason: &'a str,
    error: &'a str,
    attempts: u32,
    event_id: Option<String>,
    source: Option<&'a str>,
    received_at: Option<&'a str>,
    /// The event itself, a text where it is no JSON; only in `show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Value>,
}

impl<'a> View<'a> {
    fn new(found: &'a Found) -> Self {
        let letter = &found.letter;
        let origin = |text: fn(&'a crate::store::frame::Frame) -> &'a str| {
            letter.frame.as_ref().map(text).filter(|text| !text.is_empty())
        };
        Self {
            id: LetterId::of(found).to_string(),
            subscription: letter.subscription.as_deref(),
            given_up_at: time(letter.id.millis),
            reason: &letter.reason,
            error: &letter.error,
            attempts: letter.attempts,
            event_id: letter.event.map(|id| id.to_string()),
            source: origin(|frame| &frame.source),
            received_at: origin(|frame| &frame.received_at),
            event: None,
        }
    }

    /// Why it was given up, in one short line.
    fn said(&self) -> String {
        match (self.reason, self.error) {
            (reason, "") => short(reason, REASON_WIDTH),
            (reason, error) => format!("{reason}: {}", short_error(error, ERROR_WIDTH)),
        }
    }
}

/// Lists dead letters.
pub(super) async fn list(store: &Store, list: &List, out: &mut impl Write) -> anyhow::Result<()> {
    let mut walk = Walk::begin(store, &list.filters).await?;
    let mut found = Vec::new();
    while found.len() <= list.limit
        && let Some(mut page) = walk.next().await?
    {
        for one in &mut page {
            // Only their description is listed: the events would fill the memory.
            if let Some(frame) = &mut one.letter.frame {
                frame.event = Default::default();
            }
        }
        found.append(&mut page);
    }
    let more = found.len() > list.limit;
    found.truncate(list.limit);
    let views: Vec<View> = found.iter().map(View::new).collect();
    if list.json {
        serde_json::to_writer_pretty(&mut *out, &views)?;
        writeln!(out)?;
        return Ok(());
    }
    if views.is_empty() {
        writeln!(out, "no dead letters")?;
        return Ok(());
    }
    let mut table = Table::new(&["ID", "SUBSCRIPTION", "GIVEN UP", ">ATTEMPTS", "SOURCE", "REASON"]);
    for view in &views {
        table.row([
            view.id.clone(),
            view.subscription.unwrap_or(NOBODY).to_owned(),
            view.given_up_at.clone(),
            view.attempts.to_string(),
            view.source.unwrap_or(NOBODY).to_owned(),
            view.said(),
        ]);
    }
    out.write_all(table.to_string().as_bytes())?;
    if more {
        writeln!(out, "and more: raise --limit, or filter")?;
    }
    Ok(())
}

/// Shows one dead letter with its event.
pub(super) async fn show(store: &Store, show: &Show, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(found) = show.id.find(store).await? else {
        anyhow::bail!("there is no dead letter {}; see `holdfast dead-letters list`", show.id);
    };
    let event = found.letter.frame.as_ref().map(|frame| &frame.event);
    if show.raw {
        let Some(event) = event else {
            anyhow::bail!("the event of {} is gone: its body was deleted in Redis", show.id);
        };
        out.write_all(event)?;
        return Ok(());
    }
    let json = event.map(|event| {
        serde_json::from_slice(event).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(event).into_owned()))
    });
    let mut view = View::new(&found);
    if show.json {
        view.event = json;
        serde_json::to_writer_pretty(&mut *out, &view)?;
        writeln!(out)?;
        return Ok(());
    }
    let dash = |text: Option<&str>| text.unwrap_or(NOBODY).to_owned();
    let lines = [
        ("id", view.id.clone()),
        ("subscription", dash(view.subscription)),
        ("given up", view.given_up_at.clone()),
        ("reason", view.reason.to_owned()),
        ("last error", dash(Some(view.error).filter(|text| !text.is_empty()))),
        ("attempts", view.attempts.to_string()),
        ("event id", dash(view.event_id.as_deref())),
        ("source", dash(view.source)),
        ("received", dash(view.received_at)),
    ];
    for (name, value) in lines {
        writeln!(out, "{name:12}  {}", plain(&value))?;
    }
    writeln!(out)?;
    match json {
        None => writeln!(out, "(the event is gone: its body was deleted in Redis)")?,
        Some(Value::String(text)) => writeln!(out, "{}", plain(&text))?,
        Some(json) => writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?,
    }
    Ok(())
}
