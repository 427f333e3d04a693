//! Subscribers that are slow, broken, refusing, unknown or untrusted.

use std::time::Duration;

use holdfast::cli::sink::Mode;

use crate::stage::{SOON, Stage};
use crate::support::{Authority, wait_until};
use crate::tls::Front;

const A_WHILE: Duration = Duration::from_millis(700);

/// 12 to 14: one subscriber behaves in each of these ways for a while.
pub(crate) async fn moods(stage: &mut Stage, modes: &[&str]) {
    for mode in modes {
        stage.moody.sink.set_mode(mode.parse().unwrap()).await;
        let before = stage.moody.sink.counts().requests;
        wait_until("it met some of them", SOON, async || {
            stage.moody.sink.counts().requests >= before + 3
        })
        .await;
        stage.lasts(A_WHILE).await;
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

/// 15: a certificate that has expired, that names somebody else, or that another authority signed.
pub(crate) async fn certificates_bad(stage: &mut Stage) {
    let (trusted, unknown) = (Authority::new(), Authority::new());
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ca.pem").display().to_string();
    std::fs::write(&file, trusted.pem()).unwrap();
    let good = trusted.server("localhost", |_| {});
    let front = Front::of(stage.moody.sink.addr(), &good).await;
    let url = format!("https://localhost:{}/events", front.port());
    let id = stage.moody.id.clone();
    stage
        .holdfast(&[
            "subscriptions",
            "update",
            &id,
            "--destination",
            &url,
            "--ca-file",
            &file,
        ])
        .await;
    let bad = [
        trusted.server("localhost", |server| {
            server.not_after = rcgen::date_time_ymd(2020, 1, 1)
        }),
        trusted.server("other.example", |_| {}),
        unknown.server("localhost", |_| {}),
    ];
    for identity in &bad {
        let before = stage.moody.sink.counts().distinct;
        wait_until("the good certificate is accepted", SOON, async || {
            stage.moody.sink.counts().distinct > before
        })
        .await;
        front.show(identity);
        // What is connected is cut, so that it has to be met anew.
        stage.moody.sink.set_mode(Mode::Refuse(None)).await;
        stage.moody.sink.set_mode(Mode::Ok).await;
        let before = stage.moody.sink.counts().requests;
        stage.lasts(2 * A_WHILE).await;
        assert_eq!(
            stage.moody.sink.counts().requests,
            before,
            "a bad certificate was accepted"
        );
        front.show(&good);
    }
    let own = stage.moody.sink.url("/events");
    stage
        .holdfast(&[
            "subscriptions",
            "update",
            &id,
            "--destination",
            &own,
            "--clear",
            "ca-file",
        ])
        .await;
}

/// 16: its name can't be resolved for a while.
pub(crate) async fn name_unknown(stage: &mut Stage) {
    const NAME: &str = "subscriber.test";
    stage.names().know(&[NAME]);
    let url = format!("http://{NAME}:{}/events", stage.moody.sink.addr().port());
    let id = stage.moody.id.clone();
    stage
        .holdfast(&["subscriptions", "update", &id, "--destination", &url])
        .await;
    stage.moody.sink.set_mode(Mode::Ok).await;
    let before = stage.moody.sink.counts().distinct;
    wait_until("the name is known", SOON, async || {
        stage.moody.sink.counts().distinct >= before + 20
    })
    .await;
    stage.names().know(&[]);
    // What is connected is cut, so that the name has to be resolved anew.
    stage.moody.sink.set_mode(Mode::Refuse(None)).await;
    stage.moody.sink.set_mode(Mode::Ok).await;
    let before = stage.moody.sink.counts().requests;
    stage.lasts(3 * A_WHILE).await;
    assert_eq!(stage.moody.sink.counts().requests, before, "the name was known still");
    stage.names().know(&[NAME]);
}
