//! Whether a query parses, uses only what is exported, and adds pods up as the metric's kind wants it.
//!
//! A gauge that mirrors Redis is the same on every pod, so its `max` is taken; a counter is a pod's own, so the sum
//! of its rates is.

use std::collections::BTreeSet;

use promql_parser::parser::{self, AggregateExpr, Expr, LabelModifier, VectorSelector};
use serde_json::Value;

use super::queries_of;
use super::series::{Labels, Series};

/// Gauges of a pod's own.
const PER_POD: [&str; 4] = [
    "holdfast_in_flight",
    "holdfast_build_info",
    "holdfast_subscription_in_flight",
    "holdfast_redfish_streams",
];
/// Gauges of which the pod counts that has it worst.
const LEAST: [&str; 1] = ["holdfast_certificate_not_after_seconds"];

/// Everything that is wrong with the queries of the dashboards, and what all of them leave out.
pub(super) fn complaints<'a>(dashboards: impl IntoIterator<Item = &'a Value>, series: &Series) -> Vec<String> {
    let mut check = Check::new(series);
    for dashboard in dashboards {
        for (title, query) in queries_of(dashboard) {
            check.query(title, query);
        }
        for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
            if variable["type"] == "query" {
                check.variable(variable["query"]["query"].as_str().unwrap_or(""));
            }
        }
    }
    let shown = &check.shown;
    let missing = series.kinds.keys().filter(|metric| !shown.contains(*metric));
    let missing: Vec<String> = missing.map(|metric| format!("{metric} is on no panel")).collect();
    [check.found, missing].concat()
}

/// Walks expressions and remembers what it saw.
pub(super) struct Check<'a> {
    series: &'a Series,
    pub(super) found: Vec<String>,
    /// Metrics that were used.
    shown: BTreeSet<String>,
    /// Whether the queries are those of rules: they act on every job at once, and use what other rules recorded.
    of_rules: bool,
    recorded: BTreeSet<String>,
}

/// What surrounds a part of an expression: the nearest aggregation and function.
#[derive(Clone, Default)]
struct Around {
    aggregation: String,
    function: String,
    /// Whether what is below is only looked at for being there.
    absent: bool,
}

impl<'a> Check<'a> {
    fn new(series: &'a Series) -> Self {
        Self {
            series,
            found: Vec::new(),
            shown: BTreeSet::new(),
            of_rules: false,
            recorded: BTreeSet::new(),
        }
    }

    /// For rules; they may use `up`, which Prometheus makes itself.
    pub(super) fn of_rules(series: &'a Series) -> Self {
        Self {
            of_rules: true,
            recorded: BTreeSet::from(["up".to_owned()]),
            ..Self::new(series)
        }
    }

    /// What a rule records may be used by those after it.
    pub(super) fn record(&mut self, name: &str) {
        self.recorded.insert(name.to_owned());
    }

    /// Looks at one query of a panel or rule.
    pub(super) fn query(&mut self, place: &str, query: &str) {
        let plain = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "6h")
            .replace("$namespace", "prod")
            .replace("$job", "holdfast")
            .replace("$subscription", self.series.subscription());
        if plain.contains('$') {
            self.found.push(format!("{place}: an unknown variable in {query}"));
            return;
        }
        match parser::parse(&plain) {
            Ok(expression) => {
                self.walk(place, &expression, &Around::default());
            }
            Err(error) => self.found.push(format!("{place}: {query} does not parse: {error}")),
        }
    }

    /// Looks at where a variable gets its values from.
    fn variable(&mut self, query: &str) {
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inside.and_then(|inside| inside.rsplit_once(", ")).unwrap_or_default();
        let limits = ["{namespace=\"$namespace\", job=\"$job\"}", "{namespace=\"$namespace\"}"];
        let metric = limits.iter().find_map(|limit| selector.strip_suffix(limit));
        let metric = metric.unwrap_or(selector);
        let exported = self.series.samples.get(metric);
        if !exported.is_some_and(|all| all.iter().any(|labels| labels.contains_key(label))) {
            self.found.push(format!("a variable: nothing exports {query:?}"));
        }
    }

    /// Checks all below; answers the labels that the series used there have.
    fn walk(&mut self, place: &str, expression: &Expr, around: &Around) -> BTreeSet<String> {
        match expression {
            Expr::Aggregate(aggregate) => self.aggregate(place, aggregate, around),
            Expr::Call(call) => {
                let inner = Around {
                    function: call.func.name.to_owned(),
                    absent: around.absent || call.func.name == "absent",
                    ..around.clone()
                };
                let below = call.args.args.iter().map(|argument| self.walk(place, argument, &inner));
                below.fold(BTreeSet::new(), |all, one| &all | &one)
            }
            Expr::Binary(binary) => &self.walk(place, &binary.lhs, around) | &self.walk(place, &binary.rhs, around),
            Expr::Unary(unary) => self.walk(place, &unary.expr, around),
            Expr::Paren(paren) => self.walk(place, &paren.expr, around),
            Expr::Subquery(subquery) => self.walk(place, &subquery.expr, around),
            Expr::VectorSelector(selector) => self.selector(place, selector, around),
            Expr::MatrixSelector(matrix) => self.selector(place, &matrix.vs, around),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => BTreeSet::new(),
        }
    }

    fn aggregate(&mut self, place: &str, aggregate: &AggregateExpr, around: &Around) -> BTreeSet<String> {
        let inner = Around {
            aggregation: aggregate.op.to_string(),
            ..around.clone()
        };
        let labels = self.walk(place, &aggregate.expr, &inner);
        let kept: BTreeSet<String> = match &aggregate.modifier {
            Some(LabelModifier::Include(by)) => by.labels.iter().map(ToString::to_string).collect(),
            _ => BTreeSet::new(),
        };
        for apart in ["namespace", "job"] {
            if self.of_rules && !kept.contains(apart) {
                self.found.push(format!("{place}: adds all {apart}s up"));
            }
        }
        for name in kept.difference(&labels) {
            self.found.push(format!("{place}: no series has the label {name}"));
        }
        kept
    }

    fn selector(&mut self, place: &str, selector: &VectorSelector, around: &Around) -> BTreeSet<String> {
        let name = selector.name.as_deref().unwrap_or("");
        if self.recorded.contains(name) {
            return ["namespace", "job", "instance"].map(str::to_owned).into();
        }
        let (Some(all), Some((metric, kind))) = (self.series.samples.get(name), self.series.metric(name)) else {
            self.found.push(format!("{place}: nothing exports {name:?}"));
            return BTreeSet::new();
        };
        let matchers = &selector.matchers.matchers;
        let chosen: Vec<&Labels> = all
            .iter()
            .filter(|labels| {
                matchers
                    .iter()
                    .all(|matcher| labels.get(&matcher.name).is_some_and(|value| matcher.is_match(value)))
            })
            .collect();
        if chosen.is_empty() {
            self.found
                .push(format!("{place}: no series of {name} fits {}", selector.matchers));
        }
        for apart in ["namespace", "job"] {
            if !self.of_rules && !matchers.iter().any(|matcher| matcher.name == apart) {
                self.found
                    .push(format!("{place}: {name} is not limited to the {apart}"));
            }
        }
        let added_up = around.absent
            || match (kind, PER_POD.contains(&metric)) {
                ("gauge", _) if LEAST.contains(&metric) => around.aggregation == "min",
                ("gauge", false) => around.aggregation == "max",
                ("gauge", true) => ["sum", "count"].contains(&around.aggregation.as_str()),
                _ => around.aggregation == "sum" && ["rate", "increase"].contains(&around.function.as_str()),
            };
        if !added_up {
            let Around {
                aggregation, function, ..
            } = around;
            self.found.push(format!(
                "{place}: {metric} is summed up wrongly: {aggregation:?} of {function:?}"
            ));
        }
        self.shown.insert(metric.to_owned());
        chosen.iter().flat_map(|labels| labels.keys().cloned()).collect()
    }
}
