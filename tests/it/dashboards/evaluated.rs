//! Every expression of every panel and rule, evaluated by a real Prometheus that scraped a live deployment through
//! an outage: each has data.

use std::path::Path;
use std::time::{Duration, Instant};

use promql_parser::parser::{self, Expr};

use super::live::{Story, after_an_outage, two_addresses};
use super::servers::{Server, now, program};
use super::{alerts, dashboards, directory, queries_of};
use crate::engine::harness::SOON;
use crate::support::wait_until;

/// Between two looks at what has no data yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Alerts that the outage gives a reason to. All others are quiet by nature: what they look at is there, and shows
/// that all is well.
const TOLD: [&str; 1] = ["HoldfastRedisDurabilityWeak"];

/// Prometheus with the rules as they are, scraping both pods much more often than one would.
async fn prometheus(program: &Path, admins: &[String; 2]) -> Server {
    let rules = directory().join("alerts.yaml");
    let configuration = format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 500ms}}\n\
         rule_files: ['{}']\n\
         scrape_configs: [{{job_name: holdfast, static_configs: [{{targets: ['{}', '{}']}}]}}]\n",
        rules.display(),
        admins[0],
        admins[1],
    );
    Server::prometheus(program, &configuration).await
}

/// Waits until a pod was scraped again.
async fn scraped(prometheus: &Server, admin: &str) {
    let since = now();
    let query = format!("timestamp(up{{instance=\"{admin}\"}} == 1) > {}", since + 1);
    wait_until(&format!("{admin} is scraped"), SOON, async || {
        let answer = prometheus.ask("query", &[("query", &query)]).await.unwrap();
        answer["result"].as_array().is_some_and(|series| !series.is_empty())
    })
    .await;
}

/// What the variables of the dashboards stand for.
fn filled_in(query: &str, story: &Story) -> String {
    query
        .replace("$__rate_interval", "5s")
        .replace("$__range", "10m")
        // Of a machine of its own, as it is here.
        .replace("$namespace", "")
        .replace("$job", "holdfast")
        .replace("$subscription", story.late.as_str())
}

/// The parts of an alert's expression that have data also while nothing is wrong: what is compared, and with what.
fn parts(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::Paren(paren) => parts(&paren.expr),
        Expr::Binary(binary) if binary.op.is_comparison_operator() || binary.op.is_set_operator() => {
            [parts(&binary.lhs), parts(&binary.rhs)].concat()
        }
        Expr::Call(call) if call.func.name == "absent" => call.args.args.iter().flat_map(|of| parts(of)).collect(),
        Expr::NumberLiteral(_) => Vec::new(),
        whole => vec![whole.to_string()],
    }
}

/// Where each expression is from, and the expression.
fn expressions(story: &Story) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, dashboard) in &dashboards() {
        let queries = queries_of(dashboard);
        all.extend(queries.map(|(title, query)| (format!("{name}: {title}"), filled_in(query, story))));
    }
    for rule in alerts::rules() {
        let (name, expression) = (alerts::text(&rule, "/alert"), alerts::text(&rule, "/expr"));
        if name.is_empty() {
            all.push(("recorded".to_owned(), alerts::text(&rule, "/record").to_owned()));
        } else if TOLD.contains(&name) {
            all.push((name.to_owned(), expression.to_owned()));
        } else {
            let parts = parts(&parser::parse(expression).unwrap());
            assert!(!parts.is_empty(), "{name}");
            all.extend(parts.into_iter().map(|part| (name.to_owned(), part)));
        }
    }
    all
}

/// Every rule was evaluated, and Prometheus had nothing against it.
async fn rules_are_healthy(prometheus: &Server) {
    let groups = prometheus.ask("rules", &[]).await.unwrap();
    let groups = groups["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let ill: Vec<_> = rules.clone().filter(|rule| rule["health"] != "ok").collect();
    assert!(ill.is_empty(), "{ill:#?}");
    assert_eq!(rules.count(), alerts::rules().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_has_data_in_a_real_prometheus() {
    let Some(program) = program(&["prometheus"]) else {
        return;
    };
    let start = now();
    let admins = two_addresses();
    let prometheus = prometheus(&program, &admins).await;
    let story = after_an_outage(&admins, async |admin| scraped(&prometheus, admin).await).await;

    let mut waiting = expressions(&story);
    assert!(waiting.len() > 100, "{} expressions", waiting.len());
    let deadline = Instant::now() + SOON;
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for (place, expression) in waiting {
            let has_data = prometheus.has_data(&expression, start).await;
            let has_data = has_data.unwrap_or_else(|error| panic!("{place}: {expression}: {error}"));
            if !has_data {
                still.push((place, expression));
            }
        }
        waiting = still;
        assert!(waiting.is_empty() || Instant::now() < deadline, "no data: {waiting:#?}");
        tokio::time::sleep(PAUSE).await;
    }
    rules_are_healthy(&prometheus).await;

    for empty in [
        "max(holdfast_dead_leters)",
        "vector(0) / vector(0)",
        "holdfast_parked > 99",
    ] {
        assert_eq!(prometheus.has_data(empty, start).await, Ok(false), "{empty}");
    }
    assert!(prometheus.has_data("max(holdfast_parked", start).await.is_err());
}

#[test]
fn an_alert_comes_apart_where_it_compares() {
    let parts = |query| parts(&parser::parse(query).unwrap());
    assert_eq!(
        parts("max(a) > 1 and (sum(b) == 0 or absent(c))"),
        ["max(a)", "sum(b)", "c"]
    );
    assert_eq!(parts("max(abs(a)) > 0"), ["max(abs(a))"]);
}
