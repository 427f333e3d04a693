//! Dashboards and alerts: whether they can be provisioned as they are, and whether each query means something.
//!
//! `layout` looks at the panels, `queries` at their expressions, which may only use what `series` has scraped from
//! a live deployment (`live`); `alerts` at the rules and the runbook. Each has a table of mistakes that must be found.
//! Then a real Prometheus (`servers`) evaluates every expression (`evaluated`), and an outage goes all the way to a
//! webhook of Alertmanager (`alarm`).

mod alarm;
mod alerts;
mod evaluated;
mod layout;
mod live;
mod queries;
mod series;
mod servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// A panel that shows data, whatever row it is in.
fn data_panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    panels.filter(|panel| panel["type"] != "row")
}

/// Title and expression of every query of a dashboard.
fn queries_of(dashboard: &Value) -> impl Iterator<Item = (&str, &str)> {
    data_panels(dashboard).flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or("?");
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (title, target["expr"].as_str().unwrap_or("")))
    })
}

/// Every dashboard there is, by its file's name.
fn dashboards() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(directory()).unwrap().map(|file| file.unwrap().path());
    let dashboards: BTreeMap<String, Value> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, dashboard)
        })
        .collect();
    assert!(dashboards.len() >= 2, "{:?}", dashboards.keys());
    dashboards
}
