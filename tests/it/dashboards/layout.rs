//! What Grafana needs to provision a dashboard, and what a reader needs to understand a panel.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{dashboards, data_panels, queries_of};

const WIDTH: u64 = 24;
/// Grafana 10.
const SCHEMA: u64 = 38;
/// The rows of each dashboard: what an operator asks first stands first.
const ROWS: &[(&str, &[&str])] = &[
    (
        "holdfast-overview",
        &[
            "SLO and ledger",
            "Backlog, oldest age, time to drain",
            "Traffic",
            "Errors by reason",
            "Latency",
            "Retries and circuits",
            "Top subscribers behind",
            "Redis",
            "Redfish and certificates",
            "Pods",
        ],
    ),
    ("holdfast-subscription", &["Now", "Queue", "Requests", "Circuit"]),
];
/// What Grafana puts into a link besides the dashboard's own variables.
const FILLED_IN: [&str; 3] = ["__url_time_range", "__field.labels.subscription", "__value.raw"];

/// What is wrong with one dashboard of `all`.
fn complaints(dashboard: &Value, all: &BTreeMap<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    provisioning(dashboard, &mut found);
    rows(dashboard, &mut found);
    for panel in data_panels(dashboard) {
        explained(panel, &mut found);
        drilled_down(panel, &mut found);
    }
    links(dashboard, dashboard, all, &mut found);
    ids(dashboard, &mut found);
    places(dashboard, &mut found);
    found
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().filter(|title| !title.is_empty()).unwrap_or("?")
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().map_or(&[], Vec::as_slice)
}

fn provisioning(dashboard: &Value, found: &mut Vec<String>) {
    if dashboard["schemaVersion"]
        .as_u64()
        .is_none_or(|version| version < SCHEMA)
    {
        found.push(format!("schemaVersion is {}", dashboard["schemaVersion"]));
    }
    if !dashboard["id"].is_null() || !dashboard["__inputs"].is_null() {
        found.push("an exported dashboard can't be provisioned: it has an id or __inputs".to_owned());
    }
    if dashboard["uid"].as_str().is_none_or(str::is_empty) || title(dashboard) == "?" {
        found.push("no uid or no title".to_owned());
    }
    let variables = dashboard["templating"]["list"].as_array();
    let source = variables.and_then(|all| all.iter().find(|one| one["name"] == "datasource"));
    if source.is_none_or(|source| source["type"] != "datasource" || source["query"] != "prometheus") {
        found.push("the data source is no variable".to_owned());
    }
}

fn rows(dashboard: &Value, found: &mut Vec<String>) {
    let rows = panels(dashboard).iter().filter(|panel| panel["type"] == "row");
    let titles: Vec<&str> = rows.map(title).collect();
    if !ROWS
        .iter()
        .any(|(uid, rows)| dashboard["uid"] == *uid && titles == *rows)
    {
        found.push(format!("the rows are {titles:?}"));
    }
}

/// What shows many subscriptions leads to each of them.
fn drilled_down(panel: &Value, found: &mut Vec<String>) {
    let text = panel.to_string();
    let shows_many = text.contains("{{subscription}}") || (panel["type"] == "table" && text.contains("(subscription)"));
    if shows_many && !text.contains("/d/holdfast-subscription?") {
        found.push(format!("{}: leads to no subscription", title(panel)));
    }
}

/// Every link leads to a dashboard that there is, and sets all of its variables.
fn links(part: &Value, dashboard: &Value, all: &BTreeMap<String, Value>, found: &mut Vec<String>) {
    if let Some(url) = part["url"].as_str() {
        found.extend(link(url, dashboard, all).map(|complaint| format!("{url}: {complaint}")));
    }
    let below: Vec<&Value> = match part {
        Value::Array(parts) => parts.iter().collect(),
        Value::Object(parts) => parts.values().collect(),
        _ => Vec::new(),
    };
    for part in below {
        links(part, dashboard, all, found);
    }
}

fn link(url: &str, dashboard: &Value, all: &BTreeMap<String, Value>) -> Option<String> {
    let (uid, rest) = url.strip_prefix("/d/")?.split_once('?')?;
    let Some(target) = all.values().find(|one| one["uid"] == uid) else {
        return Some("no such dashboard".to_owned());
    };
    let set: BTreeSet<&str> = rest
        .split('&')
        .filter_map(|part| part.strip_prefix("var-")?.split_once('=').map(|(name, _)| name))
        .collect();
    if set != variables(target) || !rest.contains("${__url_time_range}") {
        return Some("does not set the variables and the time".to_owned());
    }
    let mut used = rest
        .split("${")
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0));
    let unknown = used.find(|name| !FILLED_IN.contains(name) && !variables(dashboard).contains(name));
    unknown.map(|name| format!("nothing fills in {name}"))
}

fn variables(dashboard: &Value) -> BTreeSet<&str> {
    let all = dashboard["templating"]["list"].as_array().into_iter().flatten();
    all.filter_map(|variable| variable["name"].as_str()).collect()
}

fn explained(panel: &Value, found: &mut Vec<String>) {
    let name = title(panel);
    if name == "?" {
        found.push(format!("panel {} has no title", panel["id"]));
    }
    if panel["description"].as_str().is_none_or(|text| text.len() < 20) {
        found.push(format!("{name}: no description"));
    }
    if panel["fieldConfig"]["defaults"]["unit"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        found.push(format!("{name}: no unit"));
    }
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    if targets.is_empty() {
        found.push(format!("{name}: no query"));
    }
    if [panel]
        .into_iter()
        .chain(targets)
        .any(|one| one["datasource"] != source)
    {
        found.push(format!("{name}: another data source than the variable"));
    }
    let names: BTreeSet<String> = targets.iter().map(|target| target["refId"].to_string()).collect();
    if names.len() != targets.len() || names.contains("null") {
        found.push(format!("{name}: two queries have the same refId, or one has none"));
    }
}

fn ids(dashboard: &Value, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for panel in panels(dashboard) {
        match panel["id"].as_u64() {
            None | Some(0) => found.push(format!("{}: no id", title(panel))),
            Some(id) if !seen.insert(id) => found.push(format!("{}: the id {id} is taken", title(panel))),
            Some(_) => {}
        }
    }
}

fn places(dashboard: &Value, found: &mut Vec<String>) {
    let mut taken: Vec<([u64; 4], &str)> = Vec::new();
    for panel in panels(dashboard) {
        let name = title(panel);
        let side = |side: &str| panel["gridPos"][side].as_u64();
        let (Some(x), Some(y), Some(w), Some(h)) = (side("x"), side("y"), side("w"), side("h")) else {
            found.push(format!("{name}: no place"));
            continue;
        };
        if w == 0 || h == 0 || x + w > WIDTH {
            found.push(format!("{name}: off the grid"));
        }
        for ([left, top, width, height], other) in &taken {
            if x < left + width && *left < x + w && y < top + height && *top < y + h {
                found.push(format!("{name} lies over {other}"));
            }
        }
        taken.push(([x, y, w, h], name));
    }
}

#[test]
fn every_dashboard_can_be_provisioned_and_read() {
    let all = dashboards();
    for (name, dashboard) in &all {
        assert_eq!(complaints(dashboard, &all), Vec::<String>::new(), "{name}");
    }
    let uids: BTreeSet<&str> = all.values().filter_map(|dashboard| dashboard["uid"].as_str()).collect();
    assert_eq!(uids.len(), all.len(), "two dashboards have the same uid");
    let words: Vec<(&str, &str)> = all.values().flat_map(queries_of).collect();
    assert!(words.len() > 60, "{} queries", words.len());
}

#[test]
fn every_mistake_is_found() {
    let mistakes = [
        ("/schemaVersion", json!(30), "schemaVersion is 30"),
        ("/id", json!(7), "can't be provisioned"),
        ("/uid", json!(""), "no uid"),
        (
            "/templating/list/0/type",
            json!("constant"),
            "the data source is no variable",
        ),
        ("/panels/0/title", json!("Summary"), "the rows are"),
        ("/panels/1/title", json!(""), "has no title"),
        (
            "/panels/1/description",
            json!("Availability"),
            "Intake availability: no description",
        ),
        (
            "/panels/1/fieldConfig/defaults/unit",
            json!(null),
            "Intake availability: no unit",
        ),
        ("/panels/1/targets", json!([]), "Intake availability: no query"),
        ("/panels/1/datasource/uid", json!("abc"), "another data source"),
        ("/panels/1/targets/0/datasource", json!(null), "another data source"),
        ("/panels/9/targets/1/refId", json!("A"), "the same refId"),
        ("/panels/2/id", json!(2), "the id 2 is taken"),
        ("/panels/2/id", json!(null), "no id"),
        ("/panels/2/gridPos/x", json!(3), "lies over Intake availability"),
        ("/panels/2/gridPos/y", json!(40), "lies over"),
        ("/panels/2/gridPos/w", json!(24), "off the grid"),
        ("/panels/2/gridPos", json!(null), "no place"),
        (
            "/panels/11/fieldConfig/defaults/links",
            json!([]),
            "Time to drain: leads to no subscription",
        ),
        (
            "/panels/11/fieldConfig/defaults/links/0/url",
            json!("/d/holdfast-subscriber?var-job=${job}"),
            "no such dashboard",
        ),
        (
            "/panels/11/fieldConfig/defaults/links/0/url",
            json!("/d/holdfast-subscription?var-job=${job}&${__url_time_range}"),
            "does not set the variables",
        ),
        (
            "/panels/11/fieldConfig/defaults/links/0/url",
            json!(
                "/d/holdfast-overview?var-datasource=${datasource}&var-namespace=${namespace}&var-job=${subscription}&${__url_time_range}"
            ),
            "nothing fills in subscription",
        ),
    ];
    let all = dashboards();
    for (pointer, value, words) in mistakes {
        let mut dashboard = all["overview"].clone();
        *dashboard.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        let found = complaints(&dashboard, &all);
        assert!(
            found.iter().any(|complaint| complaint.contains(words)),
            "{pointer}: no complaint with {words:?} in {found:#?}"
        );
    }
}
