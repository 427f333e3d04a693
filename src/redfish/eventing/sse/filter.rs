//! The `$filter` of a stream: the properties of `SSEFilterPropertiesSupported`, as the filters of a subscription.
//!
//! The kinds are ANDed and the values of a kind ORed, as everywhere; an expression that says anything else is refused.

use serde_json::Value;

use crate::domain::filter::Filter;
use crate::domain::terms::{EventFormatType, EventType};
use crate::redfish::frame::filter::{self, Expression, Operator};

/// Reads an expression; `None` where it is none, or none that can be done.
pub(super) fn read(text: &str) -> Option<Filter> {
    let mut filter = Filter::default();
    let mut kinds = Vec::new();
    for part in conjuncts(filter::parse(&quoted(text))?) {
        let kind = add(part, &mut filter)?;
        // Twice the same kind, both of which are to match, is no list of values.
        if kinds.contains(&kind) {
            return None;
        }
        kinds.push(kind);
    }
    filter.validate().is_ok().then_some(filter)
}

/// The words after `eq` in quotes: the specification writes some of its examples without.
fn quoted(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let bare = word.trim_end_matches(')');
        let plain = bare
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'/');
        let wanted = words.last().is_some_and(|before| before == "eq") && plain && !matches!(bare, "true" | "false");
        words.push(if wanted {
            format!("'{bare}'{}", &word[bare.len()..])
        } else {
            word.to_owned()
        });
    }
    words.join(" ")
}

fn conjuncts(expression: Expression) -> Vec<Expression> {
    match expression {
        Expression::And(parts) => parts.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

/// Adds a kind's values; answers which kind it is.
fn add(part: Expression, to: &mut Filter) -> Option<&'static str> {
    match part {
        Expression::Or(parts) => {
            let kinds: Option<Vec<&str>> = parts.into_iter().map(|part| add(part, to)).collect();
            let kinds = kinds?;
            let (first, rest) = kinds.split_first()?;
            rest.iter().all(|kind| kind == first).then_some(*first)
        }
        Expression::Compare {
            property,
            operator: Operator::Equal,
            literal,
        } => match property.as_slice() {
            [property] => value(property, &literal, to),
            _ => None,
        },
        _ => None,
    }
}

fn value(property: &str, literal: &Value, to: &mut Filter) -> Option<&'static str> {
    if property == "SubordinateResources" {
        to.subordinate_resources = literal.as_bool()?;
        return Some("subordinate");
    }
    let text = literal.as_str()?.to_owned();
    match property {
        "EventFormatType" => {
            to.event_format_type = text.parse::<EventFormatType>().ok()?;
            Some("format")
        }
        "EventType" => {
            to.event_types.push(text.parse::<EventType>().ok()?);
            Some("type")
        }
        "MessageId" => {
            to.message_ids.push(text);
            Some("message")
        }
        "RegistryPrefix" => {
            to.registry_prefixes.push(text);
            Some("message")
        }
        "ResourceType" => {
            to.resource_types.push(text);
            Some("resource")
        }
        "OriginResource" => {
            to.origin_resources.push(text);
            Some("origin")
        }
        "MetricReportDefinition" => {
            to.metric_report_definitions.push(text);
            Some("report")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_anded_and_their_values_ored() {
        let filter = read(
            "(RegistryPrefix eq 'Resource' or MessageId eq 'Base.1.22.Success') and EventType eq Alert and \
             (OriginResource eq '/redfish/v1/Systems/1' and SubordinateResources eq true)",
        )
        .expect("a filter");
        assert_eq!(filter.registry_prefixes, ["Resource"]);
        assert_eq!(filter.message_ids, ["Base.1.22.Success"]);
        assert_eq!(filter.event_types, [EventType::Alert]);
        assert_eq!(filter.origin_resources, ["/redfish/v1/Systems/1"]);
        assert!(filter.subordinate_resources);
        let reports = read("(EventFormatType eq MetricReport)").expect("a filter");
        assert_eq!(reports.event_format_type, EventFormatType::MetricReport);
        assert_eq!(
            read("ResourceType eq Drive").expect("a filter").resource_types,
            ["Drive"]
        );
    }

    #[test]
    fn what_can_not_be_done_is_refused() {
        for text in [
            "",
            "RegistryPrefix",
            "RegistryPrefix ne 'Base'",
            "not (RegistryPrefix eq 'Base')",
            "RegistryPrefix eq 'Base' and RegistryPrefix eq 'Task'",
            "RegistryPrefix eq 'Base' or EventType eq 'Alert'",
            "Severity eq 'OK'",
            "EventType eq 'Log'",
            "EventFormatType eq 'Event' or EventFormatType eq 'MetricReport' and x",
            "SubordinateResources eq 'yes'",
            "Status/State eq 'Enabled'",
            "OriginResource eq 'no URI'",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
