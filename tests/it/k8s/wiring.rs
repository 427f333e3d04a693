//! That the parts fit together: variables, ports, selectors, images, names.

use serde_json::Value;

use super::manifests::{API, HOLDFAST, InForce, Manifests, REDIS, WORKER};

const CONTAINER: &str = "/spec/template/spec/containers/0";
const LABELS: &str = "/spec/template/metadata/labels";

pub(super) fn complaints(manifests: &Manifests, config: &InForce) -> Vec<String> {
    let mut found = Vec::new();
    kinds(manifests, &mut found);
    tuning(manifests, config, &mut found);
    ports(manifests, config, &mut found);
    selectors(manifests, &mut found);
    services(manifests, &mut found);
    peers(manifests, config, &mut found);
    account(manifests, &mut found);
    filled_in(manifests, &mut found);
    found
}

fn kinds(manifests: &Manifests, found: &mut Vec<String>) {
    for name in [
        API,
        WORKER,
        REDIS,
        "ServiceAccount/holdfast",
        "PodDisruptionBudget/holdfast-api",
        "PodDisruptionBudget/holdfast-worker",
        "Service/holdfast",
        "Service/holdfast-metrics",
        "Service/holdfast-redis",
        "NetworkPolicy/holdfast-redis",
    ] {
        if !manifests.objects.contains_key(name) {
            found.push(format!("{name} is missing"));
        }
    }
}

/// Every variable is in force exactly as it is written, and no password is among them.
fn tuning(manifests: &Manifests, config: &InForce, found: &mut Vec<String>) {
    for (variable, value) in &manifests.tuning {
        let in_force = config.setting(variable);
        if in_force != (value.clone(), variable.clone()) {
            found.push(format!("{variable}={value} is not in force: {in_force:?}"));
        }
        if variable.ends_with("PASSWORD") || value.contains('@') {
            found.push(format!("{variable}: a password belongs into the Secret"));
        }
    }
    for (pod, role) in [(API, "api"), (WORKER, "worker")] {
        let container = manifests.at(pod, CONTAINER);
        if container["envFrom"][0]["configMapRef"]["name"] != "holdfast" {
            found.push(format!("{pod} does not read the ConfigMap"));
        }
        let env = container["env"].as_array();
        let set = env.and_then(|env| env.iter().find(|entry| entry["name"] == "HOLDFAST_SERVE__ROLE"));
        if set.is_none_or(|set| set["value"] != role) {
            found.push(format!("{pod}: its role is not {role}"));
        }
    }
    for variable in [
        "DELAY",
        "BACKOFF",
        "MAX_DELAY",
        "JITTER",
        "MAX_ATTEMPTS",
        "REFUSED_ATTEMPTS",
    ] {
        if !manifests.tuning.contains_key(&format!("HOLDFAST_RETRY__{variable}")) {
            found.push(format!("HOLDFAST_RETRY__{variable} can't be tuned"));
        }
    }
}

fn ports(manifests: &Manifests, config: &InForce, found: &mut Vec<String>) {
    for (pod, name, variable) in [
        (API, "intake", "HOLDFAST_INTAKE__LISTEN"),
        (API, "redfish", "HOLDFAST_REDFISH__LISTEN"),
        (API, "metrics", "HOLDFAST_ADMIN__LISTEN"),
        (WORKER, "metrics", "HOLDFAST_ADMIN__LISTEN"),
    ] {
        let declared = manifests.at(pod, CONTAINER)["ports"].as_array();
        let port = declared.and_then(|all| all.iter().find(|port| port["name"] == name));
        let listens = config.port(variable);
        if port.is_none_or(|port| port["containerPort"] != listens) {
            found.push(format!(
                "{pod}: the port {name} is not {listens}, where the program listens"
            ));
        }
    }
    let admin = config.port("HOLDFAST_ADMIN__LISTEN").to_string();
    for pod in HOLDFAST {
        let scraped = manifests.at(pod, "/spec/template/metadata/annotations/prometheus.io~1port");
        if scraped.as_str() != Some(admin.as_str()) {
            found.push(format!("{pod}: Prometheus is sent to port {scraped}"));
        }
    }
}

/// The labels that a selector asks for are those of the pods.
fn selectors(manifests: &Manifests, found: &mut Vec<String>) {
    for (object, pointer, pods) in [
        (API, "/spec/selector/matchLabels", API),
        (WORKER, "/spec/selector/matchLabels", WORKER),
        (REDIS, "/spec/selector/matchLabels", REDIS),
        (
            "PodDisruptionBudget/holdfast-worker",
            "/spec/selector/matchLabels",
            WORKER,
        ),
        ("PodDisruptionBudget/holdfast-api", "/spec/selector/matchLabels", API),
        ("Service/holdfast", "/spec/selector", API),
        ("Service/holdfast-metrics", "/spec/selector", API),
        ("Service/holdfast-metrics", "/spec/selector", WORKER),
        ("Service/holdfast-redis", "/spec/selector", REDIS),
    ] {
        let labels = manifests.at(pods, LABELS);
        let selects = manifests.at(object, pointer).as_object().is_some_and(|wanted| {
            !wanted.is_empty() && wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
        });
        if !selects {
            found.push(format!("{object} does not select the pods of {pods}"));
        }
    }
    for budget in [
        "PodDisruptionBudget/holdfast-api",
        "PodDisruptionBudget/holdfast-worker",
    ] {
        if *manifests.at(budget, "/spec/maxUnavailable") != 1 {
            found.push(format!("{budget}: more than one pod may be evicted at once"));
        }
    }
}

fn services(manifests: &Manifests, found: &mut Vec<String>) {
    for (service, at, port, pods) in [
        ("Service/holdfast", 0, "intake", API),
        ("Service/holdfast", 1, "redfish", API),
        ("Service/holdfast-metrics", 0, "metrics", WORKER),
        ("Service/holdfast-redis", 0, "redis", REDIS),
    ] {
        let target = manifests.at(service, &format!("/spec/ports/{at}/targetPort"));
        let declared = manifests.at(pods, CONTAINER)["ports"].as_array();
        if *target != port || !declared.is_some_and(|all| all.iter().any(|one| one["name"] == *target)) {
            found.push(format!("{service} leads to {target}, not to the port {port}"));
        }
    }
    let metrics = manifests.at("Service/holdfast-metrics", "/spec");
    if metrics["clusterIP"] != "None" || metrics["publishNotReadyAddresses"] != true {
        found.push("a pod that is not ready is not scraped".to_owned());
    }
}

/// Without Redis a pod that takes in asks the others where all of them are found, ready or not.
fn peers(manifests: &Manifests, config: &InForce, found: &mut Vec<String>) {
    let env = manifests.at(API, CONTAINER)["env"].as_array();
    let asked = env.and_then(|env| env.iter().find(|entry| entry["name"] == "HOLDFAST_ADMIN__PEERS"));
    let place = format!("holdfast-metrics:{}", config.port("HOLDFAST_ADMIN__LISTEN"));
    if asked.is_none_or(|asked| asked["value"] != place) {
        found.push(format!("{API}: its peers are not asked at {place}"));
    }
}

fn account(manifests: &Manifests, found: &mut Vec<String>) {
    if *manifests.at("ServiceAccount/holdfast", "/automountServiceAccountToken") != false {
        found.push("the account has a token".to_owned());
    }
    for pod in HOLDFAST {
        if *manifests.at(pod, "/spec/template/spec/serviceAccountName") != "holdfast" {
            found.push(format!("{pod}: the account is not its own"));
        }
    }
}

/// What the kustomization fills in: images with a fixed version, and more than one worker.
fn filled_in(manifests: &Manifests, found: &mut Vec<String>) {
    let images = manifests.kustomization["images"].as_array();
    let tag = |name: &Value| {
        let image = images.and_then(|all| all.iter().find(|image| image["name"] == *name));
        image.and_then(|image| image["newTag"].as_str()).unwrap_or("none")
    };
    let [worker, redis] = [WORKER, REDIS].map(|pod| tag(&manifests.at(pod, CONTAINER)["image"]));
    if worker != env!("CARGO_PKG_VERSION") {
        found.push(format!(
            "the image's version is {worker}, not {}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let replicas = manifests.kustomization["replicas"].as_array();
    for name in ["holdfast-api", "holdfast-worker"] {
        let entry = replicas.and_then(|all| all.iter().find(|one| one["name"] == name));
        if entry.is_none_or(|entry| entry["count"].as_u64().is_none_or(|count| count < 2)) {
            found.push(format!(
                "a node that fails takes every pod of {name} with it: {entry:?}"
            ));
        }
    }
    if redis == "none" || redis == "latest" {
        found.push(format!("the version of Redis is {redis}"));
    }
}
