//! `SuspendSubscription` and `ResumeSubscription`.

use std::time::{Duration, Instant};

use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::Value;
use tracing::info;

use super::subscriptions::{OWN, own, sent_to};
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::State;
use crate::redfish::frame::{Answer, Call, Failure, Message, Outcome, Route, message, shown};
use crate::store::Store;
use crate::store::circuits::Wake;

const SUSPEND: &str = "EventDestination.SuspendSubscription";
const RESUME: &str = "EventDestination.ResumeSubscription";
const DURATION: &str = "DeliverBufferedEventDuration";
/// How long a resume waits for requests that were under way when the subscription was suspended.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/redfish/v1/EventService/Subscriptions/{subscription}/Actions/EventDestination.SuspendSubscription")
            .post(OWN, suspend),
        Route::at("/redfish/v1/EventService/Subscriptions/{subscription}/Actions/EventDestination.ResumeSubscription")
            .post(OWN, resume),
    ]
}

async fn suspend(call: Call) -> Outcome {
    let subscription = sent_to(&call, own(&call).await?)?;
    let wrong = call
        .body
        .keys()
        .map(|name| message::action_parameter_unknown(SUSPEND, name));
    Failure::unless_empty(wrong.collect())?;
    let account = &call.who()?.account;
    let state = State::Suspended {
        reason: format!("suspended over Redfish by {account}"),
        since: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    };
    call.service.store.set_state(&subscription.id, state).await?;
    info!(subscription = %subscription.id, account, "suspended over Redfish");
    Ok(Answer::Done)
}

/// Sends on what was kept; where a duration is given, what is older becomes dead letters first. Of a subscription that
/// is not suspended nothing is buried: it may be on its way.
async fn resume(call: Call) -> Outcome {
    let subscription = sent_to(&call, own(&call).await?)?;
    let youngest = youngest(&call)?;
    let store = &call.service.store;
    let mut buried = 0;
    if let Some(youngest) = youngest.filter(|_| subscription.is_suspended()) {
        buried = bury(store, &subscription.id, youngest).await?;
    }
    store.set_state(&subscription.id, State::Enabled).await?;
    if !subscription.is_suspended() {
        // Asked for all the same: a wait is cut short.
        store.wake_everywhere(&subscription.id, Wake::Fresh).await?;
    }
    info!(subscription = %subscription.id, account = call.who()?.account, buried, "resumed over Redfish");
    Ok(Answer::Done)
}

/// Buries what is older, once what was being sent at the suspension has been answered.
async fn bury(store: &Store, subscription: &SubscriptionId, youngest: Duration) -> Result<u64, Failure> {
    let since = Instant::now();
    loop {
        if let Some(buried) = store.bury_older(subscription, youngest).await? {
            return Ok(buried);
        }
        if since.elapsed() > PATIENCE {
            return Err(Failure::unavailable());
        }
        tokio::time::sleep(PATIENCE / 100).await;
    }
}

/// How old what is delivered may be; `None` for any age.
fn youngest(call: &Call) -> Result<Option<Duration>, Failure> {
    let mut wrong = Vec::new();
    let mut youngest = None;
    for (name, value) in &call.body {
        match name.as_str() {
            DURATION if value.is_null() => {}
            DURATION => match duration(value) {
                Ok(duration) => youngest = Some(duration),
                Err(problem) => wrong.push(problem),
            },
            other => wrong.push(message::action_parameter_unknown(RESUME, other)),
        }
    }
    Failure::unless_empty(wrong)?;
    Ok(youngest)
}

/// An ISO 8601 duration of days and less, as `Edm.Duration` has it.
fn duration(value: &Value) -> Result<Duration, Message> {
    let text = value
        .as_str()
        .ok_or_else(|| message::action_parameter_value_type(shown(value), DURATION, RESUME))?;
    let read = || {
        let span: Span = text.starts_with('P').then(|| text.parse().ok())??;
        let days = SpanRelativeTo::days_are_24_hours();
        let signed = span.to_duration(days).ok()?;
        Duration::try_from(signed).ok()
    };
    read().ok_or_else(|| message::action_parameter_value_format(text, DURATION, RESUME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_edm() {
        let read = |text: &str| duration(&Value::from(text)).map(|read| read.as_millis()).ok();
        assert_eq!(read("PT0S"), Some(0));
        assert_eq!(read("PT1.5S"), Some(1_500));
        assert_eq!(read("P1DT2H3M4S"), Some(93_784_000));
        for text in ["", "1h", "P", "PT", "-PT5S", "P1Y", "PT5", "5 minutes"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
