//! Starts that must work in spite of their surroundings, and starts that must not.

use std::time::Duration;

use holdfast::cli::sink::Mode;

use super::harness::{Deployment, SOON};
use crate::support::{Holdfast, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_links_of_kubernetes_do_not_stop_it() {
    let links = [
        ("HOLDFAST_PORT", "tcp://10.0.0.1:8080"),
        ("HOLDFAST_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("HOLDFAST_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("HOLDFAST_PORT_8080_TCP_PORT", "8080"),
        ("HOLDFAST_PORT_8080_TCP_PROTO", "tcp"),
        ("HOLDFAST_SERVICE_HOST", "10.0.0.1"),
        ("HOLDFAST_SERVICE_PORT", "8080"),
        ("HOLDFAST_SERVICE_PORT_HTTP", "8080"),
        ("HOLDFAST_REDIS_PORT", "tcp://10.0.0.2:6379"),
        ("HOLDFAST_REDIS_SERVICE_HOST", "10.0.0.2"),
    ];
    let deployment = Deployment::start(1, &links).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    deployment.publish(5).await;
    deployment.settled().await;
    assert_eq!(deployment.expect_all_at(&id, &sink), 0);
}

/// A start that must fail, and what it says.
fn refused(environment: &[(&str, &str)]) -> String {
    let mut process = Holdfast::start(&["serve"], environment);
    assert!(!process.wait(Duration::from_secs(30)).success());
    process.stderr()
}

#[test]
fn what_is_misspelt_stops_the_start_with_its_name() {
    for (name, value) in [
        ("HOLDFAST_RETRY__DELY", "5s"),
        ("HOLDFAST_RETRY__DELAY", "soon"),
        ("HOLDFAST_RETRY_DELAY", "5s"),
    ] {
        let said = refused(&[(name, value)]);
        assert!(said.contains(name) && said.contains("RETRY__DELAY"), "{said}");
    }
}

#[test]
fn events_are_not_kept_on_an_ephemeral_disk_by_a_forgotten_variable() {
    let said = refused(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
    assert!(
        said.contains("HOLDFAST_REDIS__URL") && said.contains("HOLDFAST_REDIS__ALLOW_EMBEDDED"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let environment = [("HOLDFAST_EMBEDDED__DATA_DIR", path), ("HOLDFAST_LOG__FORMAT", "json")];
    let mut first = Holdfast::start(&["serve"], &environment);
    wait_until("the first one runs", SOON, async || {
        first.stderr().contains("worker started")
    })
    .await;
    let said = refused(&environment);
    assert!(said.contains(path), "{said}");
    first.sigterm();
    assert!(first.wait(SOON).success());
    // Its data is free again.
    let mut next = Holdfast::start(&["serve"], &environment);
    wait_until("the next one runs", SOON, async || {
        next.stderr().contains("worker started")
    })
    .await;
    next.sigterm();
    assert!(next.wait(SOON).success());
}
