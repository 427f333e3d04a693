//! Dashboards and alerts: whether they can be provisioned as they are, and whether each query means something.
//!
//! `layout` looks at the panels, `queries` at their expressions, which may only use what `series` has scraped from
//! a live deployment (`live`); `alerts` at the rules and the runbook. Each has a table of mistakes that must be found.

mod alerts;
mod layout;
mod live;
mod queries;
mod series;

use serde_json::Value;

/// A panel that shows data, whatever row it is in.
fn data_panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    panels.filter(|panel| panel["type"] != "row")
}

fn overview() -> Value {
    serde_json::from_str(include_str!("../../../dashboards/overview.json")).unwrap()
}
