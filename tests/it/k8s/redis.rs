//! What keeps the events: Redis' durability, its memory, its disk, its users, and who may reach it.

use serde_json::{Value, json};

use super::manifests::{API, HOLDFAST, InForce, Manifests, REDIS, WORKER, bytes};

const CONTAINER: &str = "/spec/template/spec/containers/0";
const POLICY: &str = "NetworkPolicy/holdfast-redis";

pub(super) fn complaints(manifests: &Manifests, config: &InForce) -> Vec<String> {
    let mut found = Vec::new();
    durability(manifests, &mut found);
    sizes(manifests, &mut found);
    passwords(manifests, &mut found);
    user(manifests, config, &mut found);
    address(manifests, config, &mut found);
    policy(manifests, &mut found);
    found
}

fn durability(manifests: &Manifests, found: &mut Vec<String>) {
    let set = |name: &str| manifests.redis.get(name).map_or("", String::as_str);
    if set("appendonly") != "yes" {
        found.push("Redis keeps no append-only file".to_owned());
    }
    if !["always", "everysec"].contains(&set("appendfsync")) {
        found.push(format!("appendfsync is {:?}", set("appendfsync")));
    }
    if set("maxmemory-policy") != "noeviction" {
        found.push(format!(
            "maxmemory-policy is {:?}, which loses events",
            set("maxmemory-policy")
        ));
    }
    let mounts = manifests.at(REDIS, CONTAINER)["volumeMounts"].as_array();
    let data = mounts.and_then(|mounts| mounts.iter().find(|mount| mount["mountPath"] == set("dir")));
    let claims = manifests.at(REDIS, "/spec/volumeClaimTemplates").as_array();
    let claimed = data.is_some_and(|data| {
        claims.is_some_and(|claims| claims.iter().any(|claim| claim["metadata"]["name"] == data["name"]))
    });
    if !claimed {
        found.push(format!("Redis' directory {:?} is on no claimed volume", set("dir")));
    }
}

fn sizes(manifests: &Manifests, found: &mut Vec<String>) {
    let most = manifests.redis.get("maxmemory").map_or(0, |most| bytes(most));
    let quantity = |pointer: &str| manifests.at(REDIS, pointer).as_str().map_or(0, bytes);
    let limit = quantity(&format!("{CONTAINER}/resources/limits/memory"));
    let disk = quantity("/spec/volumeClaimTemplates/0/spec/resources/requests/storage");
    if most == 0 {
        found.push("Redis has no maxmemory".to_owned());
    }
    // 1.6 times, in whole numbers.
    if limit * 10 < most * 16 {
        found.push(format!("the memory limit {limit} is below 1.6 × maxmemory {most}"));
    }
    if disk < most * 4 {
        found.push(format!("the volume {disk} is below 4 × maxmemory {most}"));
    }
}

fn passwords(manifests: &Manifests, found: &mut Vec<String>) {
    let secret = |pod: &str, variable: &str| {
        let env = manifests.at(pod, CONTAINER)["env"].as_array();
        let entry = env.and_then(|env| env.iter().find(|entry| entry["name"] == variable));
        entry.map_or(Value::Null, |entry| entry["valueFrom"]["secretKeyRef"].clone())
    };
    let holdfast = HOLDFAST.map(|pod| (pod, "HOLDFAST_REDIS__PASSWORD", "password"));
    let redis = [
        (REDIS, "USER_PASSWORD", "password"),
        (REDIS, "REDISCLI_AUTH", "admin-password"),
    ];
    for (pod, variable, key) in holdfast.into_iter().chain(redis) {
        let found_there = secret(pod, variable);
        if found_there != json!({"name": "holdfast-redis", "key": key}) {
            found.push(format!(
                "{pod}: {variable} comes from {found_there}, not from the Secret"
            ));
        }
    }
    for pod in HOLDFAST {
        let found_there = secret(pod, "HOLDFAST_SECRETS__KEY");
        if found_there != json!({"name": "holdfast-secrets", "key": "key"}) {
            found.push(format!(
                "{pod}: secrets are not sealed with the key of the Secret: {found_there}"
            ));
        }
    }
    if secret(API, "HOLDFAST_REDFISH__ADMIN_PASSWORD") != json!({"name": "holdfast-secrets", "key": "admin-password"}) {
        found.push("the first administrator's password is in a log".to_owned());
    }
}

/// Holdfast logs in as a user that may do what it needs and no more.
fn user(manifests: &Manifests, config: &InForce, found: &mut Vec<String>) {
    let command = manifests.at(REDIS, CONTAINER)["command"].to_string();
    if !command.contains("/etc/redis/start-redis.sh") {
        found.push(format!("Redis asks for no password: {command}"));
    }
    let (name, _) = config.setting("HOLDFAST_REDIS__USERNAME");
    let rules = &manifests.rules;
    if rules.split_whitespace().take(2).ne(["user", name.as_str()]) {
        found.push(format!(
            "HOLDFAST_REDIS__USERNAME is {name:?}, which Redis does not know"
        ));
    }
    if rules != include_str!("../../../config/holdfast.acl") {
        found.push("k8s/base/holdfast.acl differs from config/holdfast.acl: copy it".to_owned());
    }
}

/// The URL in the ConfigMap names the Service, and the Service leads to Redis' port.
fn address(manifests: &Manifests, config: &InForce, found: &mut Vec<String>) {
    let service = "Service/holdfast-redis";
    let port = manifests.at(service, "/spec/ports/0/port");
    let expected = format!("redis://holdfast-redis:{port}/0");
    let (url, _) = config.setting("HOLDFAST_REDIS__URL");
    if url != expected {
        found.push(format!("HOLDFAST_REDIS__URL is {url}, and Redis is at {expected}"));
    }
    if manifests.at(REDIS, CONTAINER)["ports"][0]["containerPort"] != 6379 {
        found.push("Redis listens on 6379".to_owned());
    }
}

fn policy(manifests: &Manifests, found: &mut Vec<String>) {
    let redis = manifests.at(REDIS, "/spec/template/metadata/labels/app.kubernetes.io~1name");
    let holdfast = manifests.at(WORKER, "/spec/template/metadata/labels/app.kubernetes.io~1name");
    let expected = json!({
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": redis}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": holdfast}}}],
            "ports": [{"protocol": "TCP", "port": "redis"}],
        }],
    });
    let spec = manifests.at(POLICY, "/spec");
    if *spec != expected || redis.is_null() || redis == holdfast {
        found.push(format!("others than Holdfast reach Redis: {spec}"));
    }
}
