//! What every pod must keep to, and what Holdfast's must say about their life.

use serde_json::{Value, json};

use super::manifests::{API, HOLDFAST, InForce, Manifests, REDIS, WORKER, bytes};

/// A process that was told to stop has this long beyond its own deadlines.
const MARGIN: u64 = 10;
const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// The restricted profile of Kubernetes' pod security standards, and no way to its API.
fn profile() -> [(&'static str, &'static str, Value); 8] {
    [
        (POD, "/securityContext/runAsNonRoot", json!(true)),
        (POD, "/securityContext/seccompProfile/type", json!("RuntimeDefault")),
        (POD, "/automountServiceAccountToken", json!(false)),
        (POD, "/enableServiceLinks", json!(false)),
        (CONTAINER, "/securityContext/allowPrivilegeEscalation", json!(false)),
        (CONTAINER, "/securityContext/readOnlyRootFilesystem", json!(true)),
        (CONTAINER, "/securityContext/capabilities", json!({"drop": ["ALL"]})),
        (CONTAINER, "/securityContext/privileged", Value::Null),
    ]
}

pub(super) fn complaints(manifests: &Manifests, config: &InForce) -> Vec<String> {
    let mut found = Vec::new();
    for pod in [API, WORKER, REDIS] {
        restricted(manifests, pod, &mut found);
        resources(manifests, pod, &mut found);
    }
    for pod in HOLDFAST {
        probes(manifests, pod, &mut found);
        grace(manifests, pod, config, &mut found);
        spread(manifests, pod, &mut found);
    }
    redis_probes(manifests, &mut found);
    memory(
        manifests,
        API,
        config.bytes("HOLDFAST_INTAKE__MAX_WAITING_BYTES"),
        &mut found,
    );
    memory(
        manifests,
        WORKER,
        config.bytes("HOLDFAST_DELIVERY__POD_MAX_BYTES"),
        &mut found,
    );
    found
}

/// What every pod must keep to, whatever it is.
pub(super) fn every(manifests: &Manifests) -> Vec<String> {
    let mut found = Vec::new();
    for (pod, object) in &manifests.objects {
        if object.pointer(POD).is_some() {
            restricted(manifests, pod, &mut found);
            resources(manifests, pod, &mut found);
        }
    }
    found
}

fn restricted(manifests: &Manifests, pod: &str, found: &mut Vec<String>) {
    let containers = manifests.at(pod, POD)["containers"].as_array().map_or(0, Vec::len);
    if containers != 1 {
        found.push(format!(
            "{pod} has {containers} containers, and only the first is checked"
        ));
    }
    for (base, pointer, expected) in profile() {
        let value = manifests.at(pod, &format!("{base}{pointer}"));
        if *value != expected {
            found.push(format!("{pod}: {pointer} is {value}, not {expected}"));
        }
    }
    for user in ["runAsUser", "runAsGroup"] {
        let id = manifests.at(pod, POD)["securityContext"][user].as_u64();
        if id.is_none_or(|id| id == 0) {
            found.push(format!("{pod}: {user} is not set, or root"));
        }
    }
    if manifests.at(pod, CONTAINER)["securityContext"]["runAsUser"].is_number() {
        found.push(format!("{pod}: the container sets another user than its pod"));
    }
}

fn resources(manifests: &Manifests, pod: &str, found: &mut Vec<String>) {
    for pointer in ["requests/cpu", "requests/memory", "limits/memory"] {
        if !manifests
            .at(pod, &format!("{CONTAINER}/resources/{pointer}"))
            .is_string()
        {
            found.push(format!("{pod}: no {pointer}"));
        }
    }
}

/// Only readiness may depend on Redis: a restart would not bring it back.
fn probes(manifests: &Manifests, pod: &str, found: &mut Vec<String>) {
    for (probe, path) in [
        ("startupProbe", "/livez"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        let get = &manifests.at(pod, CONTAINER)[probe]["httpGet"];
        if get["path"] != path || get["port"] != "metrics" {
            found.push(format!("{pod}: the {probe} asks {get}, not {path} on metrics"));
        }
    }
}

fn redis_probes(manifests: &Manifests, found: &mut Vec<String>) {
    let redis = manifests.at(REDIS, CONTAINER);
    let ready = redis["readinessProbe"]["exec"]["command"].to_string();
    if !ready.contains("redis-cli ping") || !ready.contains("PONG") {
        found.push(format!("Redis' readinessProbe does not wait for PONG: {ready}"));
    }
    if !redis["livenessProbe"].is_null() {
        found.push("a livenessProbe kills Redis while it loads its file".to_owned());
    }
}

fn grace(manifests: &Manifests, pod: &str, config: &InForce, found: &mut Vec<String>) {
    let needed =
        config.seconds("HOLDFAST_WORKER__DRAIN_DELAY") + config.seconds("HOLDFAST_WORKER__SHUTDOWN_DEADLINE") + MARGIN;
    let grace = &manifests.at(pod, POD)["terminationGracePeriodSeconds"];
    if grace.as_u64().is_none_or(|grace| grace <= needed) {
        found.push(format!(
            "{pod}: terminationGracePeriodSeconds is {grace}, not above {needed}"
        ));
    }
}

/// Twice what may wait for Redis, or fly to subscribers.
fn memory(manifests: &Manifests, pod: &str, bodies: u64, found: &mut Vec<String>) {
    let limit = &manifests.at(pod, CONTAINER)["resources"]["limits"]["memory"];
    if limit.as_str().is_none_or(|limit| bytes(limit) < 2 * bodies) {
        found.push(format!(
            "{pod}: the memory limit {limit} is below twice {bodies} bytes of bodies"
        ));
    }
}

fn spread(manifests: &Manifests, pod: &str, found: &mut Vec<String>) {
    let constraints = manifests.at(pod, POD)["topologySpreadConstraints"].as_array();
    for key in ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] {
        let constraint = constraints.and_then(|all| all.iter().find(|one| one["topologyKey"] == key));
        let kept = constraint.is_some_and(|one| {
            one["whenUnsatisfiable"] == "ScheduleAnyway"
                && one["labelSelector"]["matchLabels"] == *manifests.at(pod, "/spec/selector/matchLabels")
        });
        if !kept {
            found.push(format!("{pod}: pods are not spread over {key} with ScheduleAnyway"));
        }
    }
}
