//! The environment as a layer of the configuration.
//!
//! Called by the loader. A variable is read by the type of its setting: text stays text, so a password that
//! looks like a number is one. Kubernetes' service links are not ours and are skipped.

use figment::value::{Empty, Value as FigmentValue};
use serde_json::Value;

use super::load::Given;
use super::origin::{Origin, variable};
use super::problems::unknown_variable;
use super::secret::mask;

const PREFIX: &str = "HOLDFAST_";

/// The settings among `variables`; a name that is none and no service link is a problem.
pub(super) fn read(
    variables: impl Iterator<Item = (String, String)>,
    names: &[(String, Value)],
    problems: &mut Vec<String>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for (name, text) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        if let Some((key, default)) = names.iter().find(|(key, _)| variable(key) == name) {
            given.push(Given {
                key: key.clone(),
                value: typed(&text, default),
                shown: mask(key, &format!("{text:?}")),
                origin: Origin::Environment(name),
            });
        } else if !is_service_link(&name) {
            let keys: Vec<String> = names.iter().map(|(key, _)| key.clone()).collect();
            problems.push(unknown_variable(&name, &keys));
        }
    }
    given
}

/// The text as a value of the same kind as the setting's default. What does not fit stays text, and is
/// reported when the settings are put together. Empty text unsets a setting that may be absent.
fn typed(text: &str, default: &Value) -> FigmentValue {
    let trimmed = text.trim();
    match default {
        Value::Null if text.is_empty() => Some(FigmentValue::from(Empty::None)),
        Value::Bool(_) => trimmed.parse::<bool>().map(FigmentValue::from).ok(),
        Value::Number(_) => (trimmed.parse::<u64>().map(FigmentValue::from).ok())
            .or_else(|| trimmed.parse::<i64>().map(FigmentValue::from).ok())
            .or_else(|| trimmed.parse::<f64>().map(FigmentValue::from).ok()),
        _ => None,
    }
    .unwrap_or_else(|| FigmentValue::from(text))
}

/// Whether Kubernetes (or Docker) sets such a variable for a Service called `holdfast` or `holdfast-…`:
/// `_SERVICE_HOST`, `_SERVICE_PORT[_NAME]`, `_PORT`, `_PORT_<number>_<protocol>[_ADDR|_PORT|_PROTO]`.
/// Two underscores in a row mark a setting, never a link.
fn is_service_link(name: &str) -> bool {
    if name.contains("__") {
        return false;
    }
    let parts: Vec<&str> = name.split('_').collect();
    (1..parts.len()).any(|start| match parts.get(start..).unwrap_or_default() {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] | ["PORT"] => true,
        ["PORT", number, protocol, rest @ ..] => {
            number.parse::<u16>().is_ok()
                && matches!(*protocol, "TCP" | "UDP" | "SCTP")
                && matches!(rest, [] | ["ADDR" | "PORT" | "PROTO"])
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_told_from_settings() {
        for name in [
            "HOLDFAST_PORT",
            "HOLDFAST_PORT_8080_TCP",
            "HOLDFAST_PORT_8080_TCP_ADDR",
            "HOLDFAST_PORT_8080_TCP_PORT",
            "HOLDFAST_PORT_8080_UDP_PROTO",
            "HOLDFAST_SERVICE_HOST",
            "HOLDFAST_SERVICE_PORT",
            "HOLDFAST_SERVICE_PORT_HTTP_METRICS",
            "HOLDFAST_REDIS_PORT",
            "HOLDFAST_REDIS_SERVICE_HOST",
            "HOLDFAST_REDIS_PORT_6379_TCP_ADDR",
            "HOLDFAST_REDIS_HEADLESS_SERVICE_PORT_CLIENT",
        ] {
            assert!(is_service_link(name), "{name}");
        }
        for name in [
            "HOLDFAST_RETRY_DELAY",
            "HOLDFAST_PORTS",
            "HOLDFAST_PORT_8080",
            "HOLDFAST_PORT_X_TCP",
            "HOLDFAST_PORT_8080_TCP_NAME",
            "HOLDFAST_REDIS__PORT",
            "HOLDFAST_SERVICE",
            "HOLDFAST_",
        ] {
            assert!(!is_service_link(name), "{name}");
        }
    }
}
