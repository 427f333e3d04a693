//! Subscribers that are slow, broken, refusing, unknown or untrusted.

use std::time::Duration;

use holdfast::cli::sink::Mode;

use crate::stage::{SOON, Stage};
use crate::support::certificates::Authority;
use crate::support::wait_until;
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
    let (trusted, unknown) = (Authority::new("trusted"), Authority::new("unknown"));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ca.pem").display().to_string();
    std::fs::write(&file, trusted.pem()).unwrap();
    let good = trusted.server("localhost", |_| {});
    let front = Front::of(stage.moody.sink.addr(), &good).await;
    let url = format!("https://localhost:{}{SECURE}", front.port());
    stage.update_moody(&["--destination", &url, "--ca-file", &file]).await;
    let long_ago = rcgen::date_time_ymd(2020, 1, 1);
    let bad = [
        (
            "expired",
            trusted.server("localhost", |server| server.not_after = long_ago),
        ),
        ("another's", trusted.server("other.example", |_| {})),
        ("untrusted", unknown.server("localhost", |_| {})),
    ];
    for (what, identity) in &bad {
        let before = secure(stage);
        wait_until("the good certificate is trusted", SOON, async || secure(stage) > before).await;
        front.show(identity);
        // What had arrived by then is answered by then.
        stage.lasts(A_WHILE).await;
        let before = secure(stage);
        stage.lasts(A_WHILE).await;
        assert_eq!(secure(stage), before, "this certificate was trusted: {what}");
        front.show(&good);
    }
    let own = stage.moody.sink.url("/events");
    stage.update_moody(&["--destination", &own, "--clear", "ca-file"]).await;
}

/// Where deliveries over TLS go.
const SECURE: &str = "/secure";

/// How many have come over TLS.
fn secure(stage: &Stage) -> usize {
    let deliveries = stage.moody.sink.deliveries();
    deliveries.iter().filter(|delivery| delivery.path == SECURE).count()
}

/// 16: its name can't be resolved for a while.
pub(crate) async fn name_unknown(stage: &mut Stage) {
    const NAME: &str = "subscriber.test";
    stage.names().know(&[NAME]);
    let url = format!("http://{NAME}:{}/events", stage.moody.sink.addr().port());
    stage.update_moody(&["--destination", &url]).await;
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
