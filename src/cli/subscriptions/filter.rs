//! A subscription's filter in words: one line for the list, one line a kind for `show`.

use crate::domain::filter::Filter;
use crate::domain::terms::EventFormatType;

/// The kinds that are set, each with its values joined.
pub(super) fn kinds(filter: &Filter) -> Vec<(&'static str, String)> {
    let origins = if filter.subordinate_resources {
        "origin and beneath"
    } else {
        "origin"
    };
    let format = match filter.event_format_type {
        EventFormatType::Event => String::new(),
        EventFormatType::MetricReport => "MetricReport".to_owned(),
    };
    let all = [
        ("format", format),
        ("event type", join(&filter.event_types)),
        ("severity", join(&filter.severities)),
        ("registry", join(&filter.registry_prefixes)),
        ("message", join(&filter.message_ids)),
        ("not registry", join(&filter.exclude_registry_prefixes)),
        ("not message", join(&filter.exclude_message_ids)),
        ("resource type", join(&filter.resource_types)),
        (origins, join(&filter.origin_resources)),
        ("report", join(&filter.metric_report_definitions)),
    ];
    all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

/// All of it in one line; `all events` where nothing is set.
pub(super) fn summary(filter: &Filter) -> String {
    let kinds = kinds(filter);
    if kinds.is_empty() {
        return "all events".to_owned();
    }
    let parts: Vec<String> = kinds.iter().map(|(kind, values)| format!("{kind} {values}")).collect();
    parts.join("; ")
}

fn join<T: ToString>(values: &[T]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::terms::Severity;

    #[test]
    fn a_filter_reads_as_a_sentence() {
        let mut filter = Filter::default();
        assert_eq!(summary(&filter), "all events");
        filter.severities = vec![Severity::Warning, Severity::Critical];
        filter.origin_resources = vec!["/redfish/v1/Systems".to_owned()];
        filter.subordinate_resources = true;
        assert_eq!(
            summary(&filter),
            "severity Warning, Critical; origin and beneath /redfish/v1/Systems"
        );
    }
}
