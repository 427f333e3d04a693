//! What a live process exports: every series with its labels, and every metric's kind.

use std::collections::{BTreeMap, BTreeSet};

pub(super) type Labels = BTreeMap<String, String>;

/// Labels that Prometheus adds when it scrapes in Kubernetes.
const TARGET: [(&str, &str); 3] = [
    ("namespace", "prod"),
    ("job", "holdfast"),
    ("instance", "10.0.0.1:9090"),
];

/// The union of several scrapes.
#[derive(Default)]
pub(super) struct Series {
    /// Labels of each series, by the name of its sample (`…_bucket` for a histogram's).
    pub(super) samples: BTreeMap<String, BTreeSet<Labels>>,
    /// `counter`, `gauge` or `histogram`, by the metric's name.
    pub(super) kinds: BTreeMap<String, String>,
}

impl Series {
    /// Adds what a scrape in Prometheus' text format shows.
    pub(super) fn add(&mut self, scrape: &str) {
        for line in scrape.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                self.kinds.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                let (name, labels) = sample(line);
                self.samples.entry(name).or_default().insert(labels);
            }
        }
    }

    /// A subscription that has series of its own.
    pub(super) fn subscription(&self) -> &str {
        let all = self.samples.get("holdfast_parked").and_then(BTreeSet::first);
        all.and_then(|labels| labels.get("subscription"))
            .map_or("none", String::as_str)
    }

    /// The metric that a sample belongs to, and its kind.
    pub(super) fn metric(&self, sample: &str) -> Option<(&str, &str)> {
        let of = |name: &str| {
            self.kinds
                .get_key_value(name)
                .map(|(name, kind)| (name.as_str(), kind.as_str()))
        };
        let parts = ["_bucket", "_sum", "_count"].iter();
        of(sample).or_else(|| parts.filter_map(|part| of(sample.strip_suffix(part)?)).next())
    }
}

/// Name and labels of a line. No value of ours holds a quote or a comma.
fn sample(line: &str) -> (String, Labels) {
    let (series, _) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let own = labels.trim_end_matches('}').split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name, value.trim_matches('"')))
    });
    let all = TARGET.into_iter().chain(own);
    (
        name.to_owned(),
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    )
}

#[test]
fn a_scrape_is_read() {
    let mut series = Series::default();
    series.add("# HELP a_total x\n# TYPE a_total counter\na_total{op=\"x\",kind=\"y\"} 3\n# TYPE b histogram\nb_bucket{le=\"+Inf\"} 1\nb_sum 2.5\n");
    assert_eq!(series.samples["a_total"].first().unwrap()["kind"], "y");
    assert_eq!(series.samples["b_bucket"].first().unwrap()["le"], "+Inf");
    assert_eq!(series.metric("b_sum"), Some(("b", "histogram")));
    assert_eq!(series.metric("a_total"), Some(("a_total", "counter")));
    assert_eq!(series.metric("c"), None);
}
