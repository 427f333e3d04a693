//! The service as a user starts it, with a private Redis: from the intake to the subscriber, metrics and health.

use std::path::{Path, PathBuf};

use holdfast::cli::sink::Mode;
use holdfast::domain::event::{Kind, Message};
use serde_json::Value;

use super::harness::{Deployment, SOON};
use crate::support::{Holdfast, LOOPBACK, wait_until};

/// Our own samples, and real payloads from a directory where there is one.
fn payloads() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real =
        std::env::var_os("HOLDFAST_EVENTS_DIR").map_or_else(|| root.join("../shared/redfish/events"), PathBuf::from);
    if !real.is_dir() {
        println!(
            "SKIPPED in part: {} is no directory; set HOLDFAST_EVENTS_DIR to one with payloads",
            real.display()
        );
    }
    let directories = [root.join("tests/data/events"), real];
    let files = directories
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flatten();
    files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| path.file_name().is_some_and(|name| name != "manifest.json"))
        .collect()
}

async fn command(data: &str, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(arguments)
        .env("HOLDFAST_EMBEDDED__DATA_DIR", data)
        .env(LOOPBACK.0, LOOPBACK.1)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_real_hardware_sends_is_taken_in_and_delivered() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data").display().to_string();
    let mut service = Holdfast::start(
        &["serve"],
        &[
            ("HOLDFAST_EMBEDDED__DATA_DIR", &data),
            ("HOLDFAST_ADMIN__REFRESH", "200ms"),
            ("HOLDFAST_WORKER__DRAIN_DELAY", "0s"),
        ],
    );
    service.answers("/readyz", SOON).await;
    service.answers("/livez", SOON).await;
    let (events, reports) = (Deployment::sink(Mode::Ok).await, Deployment::sink(Mode::Ok).await);
    command(&data, &["subscriptions", "add", &events.url("/events")]).await;
    command(
        &data,
        &[
            "subscriptions",
            "add",
            &reports.url("/reports"),
            "--format",
            "MetricReport",
        ],
    )
    .await;

    let (mut wanted_events, mut wanted_reports, mut unwanted) = (0, 0, 0);
    let client = reqwest::Client::new();
    for path in payloads() {
        let body = std::fs::read(&path).unwrap();
        let message = Message::parse(body.clone().into()).unwrap();
        match message.kind() {
            _ if message.records().is_empty() => unwanted += 1,
            Kind::Event => wanted_events += 1,
            Kind::MetricReport => wanted_reports += 1,
        }
        let answer = client
            .post(service.intake("/events/bmc-1"))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{}", path.display());
        assert_eq!(answer.text().await.unwrap(), "{}");
    }
    wait_until("everything is delivered", SOON, async || {
        events.counts().distinct == wanted_events && reports.counts().distinct == wanted_reports
    })
    .await;

    let status: Value = serde_json::from_str(&command(&data, &["status", "--json"]).await).unwrap();
    println!("{unwanted} without records; {status}");
    let delivered = format!(
        "holdfast_ledger{{entry=\"delivered\"}} {}",
        wanted_events + wanted_reports
    );
    wait_until("the metrics say so", SOON, async || {
        let metrics = client.get(service.admin("/metrics")).send().await.unwrap();
        metrics.text().await.unwrap().contains(&delivered)
    })
    .await;
    service.sigterm();
    assert!(service.wait(SOON).success(), "{}", service.stderr());
}
