//! Subscribers that are slow, broken, refusing, unknown or untrusted.

use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::domain::units::Period;

use crate::stage::{SOON, Stage};
use crate::support::wait_until;

/// 12 to 14: one subscriber behaves in each of these ways for a while.
pub(crate) async fn moods(stage: &mut Stage, modes: &[&str]) {
    for mode in modes {
        stage.moody.sink.set_mode(mode.parse().unwrap()).await;
        let before = stage.moody.sink.counts().requests;
        wait_until("it met some of them", SOON, async || {
            stage.moody.sink.counts().requests >= before + 3
        })
        .await;
        stage.lasts(Duration::from_millis(700)).await;
    }
}

/// 14: told that it is gone, Holdfast suspends and keeps; the operator resumes.
pub(crate) async fn gone(stage: &mut Stage) {
    stage.moody.sink.set_mode(Mode::Status(410)).await;
    let id = stage.moody.id.clone();
    wait_until("it is suspended", SOON, async || {
        stage
            .holdfast(&["subscriptions", "show", &id])
            .await
            .contains("suspended")
    })
    .await;
    stage.progress(60).await;
    stage.moody.sink.set_mode(Mode::Ok).await;
    stage.holdfast(&["subscriptions", "resume", &id]).await;
}

/// 11: nothing can connect to it, and what is connected is cut.
pub(crate) async fn unreachable(stage: &mut Stage) {
    for subscriber in [&stage.moody, &stage.steady] {
        subscriber.sink.set_mode(Mode::Refuse(None)).await;
    }
    stage.progress(150).await;
}

/// 30: updated, suspended, resumed and removed while deliveries are under way.
pub(crate) async fn changed(stage: &mut Stage) {
    let guest = crate::audience::Subscriber::join(stage.servers.url(), "guest", [127, 0, 0, 1], None, &[]).await;
    guest.sink.set_mode(Mode::Slow(Period(Duration::from_millis(50)))).await;
    let (ordered, moody, leaver) = (stage.ordered.id.clone(), stage.moody.id.clone(), guest.id.clone());
    stage.guests.push(crate::audience::Subscriber { leaves: true, ..guest });
    stage.progress(40).await;
    stage.holdfast(&["subscriptions", "suspend", &ordered]).await;
    stage.holdfast(&["subscriptions", "suspend", &moody]).await;
    stage.progress(40).await;
    let other = stage.moody.sink.url("/another");
    stage
        .holdfast(&["subscriptions", "update", &moody, "--destination", &other])
        .await;
    stage.holdfast(&["subscriptions", "resume", &moody]).await;
    stage
        .holdfast(&["subscriptions", "update", &ordered, "--context", "rack-7"])
        .await;
    stage.holdfast(&["subscriptions", "resume", &ordered]).await;
    stage.holdfast(&["subscriptions", "remove", &leaver, "--yes"]).await;
    stage.progress(40).await;
}
