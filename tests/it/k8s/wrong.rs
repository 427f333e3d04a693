//! Manifests broken on purpose: each mistake must meet its complaint.

use serde_json::{Value, json};

use super::complaints;
use super::manifests::{API, Manifests, REDIS, WORKER};

/// One mistake.
enum Mistake {
    /// A value of an object, set to another; null removes it.
    Set(&'static str, String, Value),
    /// An object is left out.
    Without(&'static str),
    /// A variable of the ConfigMap.
    Tuned(&'static str, &'static str),
    /// A setting of Redis.
    Redis(&'static str, &'static str),
    /// One more rule for Holdfast's user there.
    Granted(&'static str),
    /// A value that the kustomization fills in.
    Filled(&'static str, Value),
}

use Mistake::{Filled, Granted, Redis, Set, Tuned, Without};

impl Mistake {
    fn make(&self, manifests: &mut Manifests) {
        match self {
            Set(object, pointer, value) => set(manifests.objects.get_mut(*object).unwrap(), pointer, value.clone()),
            Without(object) => drop(manifests.objects.remove(*object).unwrap()),
            Tuned(variable, value) => drop(manifests.tuning.insert((*variable).to_owned(), (*value).to_owned())),
            Redis(name, value) => drop(manifests.redis.insert((*name).to_owned(), (*value).to_owned())),
            Granted(rule) => manifests.rules = format!("{} {rule}\n", manifests.rules.trim_end()),
            Filled(pointer, value) => set(&mut manifests.kustomization, pointer, value.clone()),
        }
    }
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    let key = key.replace("~1", "/");
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) if value.is_null() => drop(parent.as_object_mut().unwrap().remove(&key)),
        Err(_) => parent[key.as_str()] = value,
    }
}

const BUDGET: &str = "PodDisruptionBudget/holdfast-worker";
const POLICY: &str = "NetworkPolicy/holdfast-redis";

/// A value anywhere in an object.
fn at(object: &'static str, pointer: &str, value: Value) -> Mistake {
    Set(object, pointer.to_owned(), value)
}

/// A value in an object's pod.
fn pod(object: &'static str, pointer: &str, value: Value) -> Mistake {
    Set(object, format!("/spec/template/spec{pointer}"), value)
}

/// A value in the container of an object's pod.
fn container(object: &'static str, pointer: &str, value: Value) -> Mistake {
    Set(object, format!("/spec/template/spec/containers/0{pointer}"), value)
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes() -> Vec<(Mistake, &'static str)> {
    vec![
        (
            pod(WORKER, "/enableServiceLinks", json!(null)),
            "/enableServiceLinks is null",
        ),
        (
            pod(WORKER, "/automountServiceAccountToken", json!(true)),
            "/automountServiceAccountToken is true",
        ),
        (
            pod(WORKER, "/securityContext/runAsNonRoot", json!(null)),
            "/securityContext/runAsNonRoot is null",
        ),
        (
            pod(WORKER, "/securityContext/runAsUser", json!(0)),
            "runAsUser is not set, or root",
        ),
        (
            pod(REDIS, "/securityContext/seccompProfile/type", json!("Unconfined")),
            "Unconfined",
        ),
        (
            container(WORKER, "/securityContext/readOnlyRootFilesystem", json!(false)),
            "readOnlyRootFilesystem is false",
        ),
        (
            container(REDIS, "/securityContext/privileged", json!(true)),
            "privileged is true",
        ),
        (
            container(
                WORKER,
                "/securityContext/capabilities",
                json!({"drop": ["ALL"], "add": ["NET_RAW"]}),
            ),
            "NET_RAW",
        ),
        (
            container(WORKER, "/securityContext/runAsUser", json!(0)),
            "sets another user",
        ),
        (
            container(WORKER, "/resources/requests/cpu", json!(null)),
            "no requests/cpu",
        ),
        (
            container(WORKER, "/resources/limits/memory", json!("63Mi")),
            "below twice",
        ),
        (
            container(WORKER, "/livenessProbe/httpGet/path", json!("/readyz")),
            "the livenessProbe asks",
        ),
        (
            container(WORKER, "/startupProbe", json!(null)),
            "the startupProbe asks null",
        ),
        (
            container(WORKER, "/readinessProbe/httpGet/port", json!("intake")),
            "the readinessProbe asks",
        ),
        (
            container(REDIS, "/readinessProbe/exec/command", json!(["redis-cli", "ping"])),
            "does not wait for PONG",
        ),
        (
            container(REDIS, "/livenessProbe", json!({"exec": {"command": ["redis-cli"]}})),
            "kills Redis",
        ),
        (
            pod(WORKER, "/terminationGracePeriodSeconds", json!(35)),
            "is 35, not above 35",
        ),
        (
            Tuned("HOLDFAST_WORKER__SHUTDOWN_DEADLINE", "30s"),
            "is 45, not above 45",
        ),
        (
            pod(
                WORKER,
                "/topologySpreadConstraints/0/whenUnsatisfiable",
                json!("DoNotSchedule"),
            ),
            "kubernetes.io/hostname",
        ),
        (Redis("appendonly", "no"), "no append-only file"),
        (Redis("appendfsync", "no"), "appendfsync is \"no\""),
        (Redis("maxmemory-policy", "allkeys-lru"), "which loses events"),
        (Redis("dir", "/tmp"), "\"/tmp\" is on no claimed volume"),
        (Redis("maxmemory", "0"), "no maxmemory"),
        (
            at(
                REDIS,
                "/spec/volumeClaimTemplates/0/spec/resources/requests/storage",
                json!("3Gi"),
            ),
            "the volume",
        ),
        (Redis("maxmemory", "1200mb"), "below 1.6 × maxmemory"),
        (
            container(REDIS, "/resources/limits/memory", json!("1638Mi")),
            "below 1.6 × maxmemory",
        ),
        (
            container(REDIS, "/env/0/valueFrom/secretKeyRef/key", json!("pass")),
            "not from the Secret",
        ),
        (
            container(API, "/env/2", json!({"name": "HOLDFAST_SECRETS__KEY", "value": "x"})),
            "not sealed with the key of the Secret",
        ),
        (
            container(WORKER, "/env/0/value", json!("all")),
            "its role is not worker",
        ),
        (container(API, "/env/4", json!(null)), "password is in a log"),
        (
            container(API, "/env/5/value", json!("holdfast:9090")),
            "its peers are not asked at holdfast-metrics:9090",
        ),
        (
            container(
                WORKER,
                "/env/1",
                json!({"name": "HOLDFAST_REDIS__PASSWORD", "value": "x"}),
            ),
            "not from the Secret",
        ),
        (
            container(REDIS, "/command", json!(["redis-server", "/etc/redis/redis.conf"])),
            "asks for no password",
        ),
        (
            Tuned("HOLDFAST_REDIS__USERNAME", "default"),
            "\"default\", which Redis does not know",
        ),
        (Granted("+@all"), "holdfast.acl differs"),
        (
            Tuned("HOLDFAST_REDIS__URL", "redis://redis:6379/0"),
            "Redis is at redis://holdfast-redis:6379/0",
        ),
        (
            at(POLICY, "/spec/ingress/0/from", json!([])),
            "others than Holdfast reach Redis",
        ),
        (
            at(POLICY, "/spec/podSelector/matchLabels", json!({"app": "x"})),
            "others than Holdfast reach Redis",
        ),
        (
            Without("PodDisruptionBudget/holdfast-worker"),
            "PodDisruptionBudget/holdfast-worker is missing",
        ),
        (Tuned("HOLDFAST_RETRY__DELY", "5s"), "HOLDFAST_RETRY__DELAY"),
        (Tuned("HOLDFAST_RETRY__DELAY", "5"), "the ConfigMap is refused"),
        (
            Tuned("HOLDFAST_RETRY__DELAY", "60s"),
            "HOLDFAST_RETRY__DELAY=60s is not in force",
        ),
        (Tuned("HOLDFAST_REDIS__PASSWORD", "hunter2"), "belongs into the Secret"),
        (container(API, "/envFrom", json!([])), "does not read the ConfigMap"),
        (
            container(API, "/ports/0/containerPort", json!(80)),
            "the port intake is not 8080",
        ),
        (
            Tuned("HOLDFAST_ADMIN__LISTEN", "0.0.0.0:9091"),
            "the port metrics is not 9091",
        ),
        (
            Tuned("HOLDFAST_REDFISH__LISTEN", "0.0.0.0:9443"),
            "the port redfish is not 9443",
        ),
        (
            at(
                WORKER,
                "/spec/template/metadata/annotations/prometheus.io~1port",
                json!("8080"),
            ),
            "Prometheus is sent to port",
        ),
        (
            at(
                WORKER,
                "/spec/template/metadata/labels/app.kubernetes.io~1component",
                json!("apis"),
            ),
            "does not select the pods",
        ),
        (at(BUDGET, "/spec/maxUnavailable", json!(2)), "more than one pod"),
        (
            at("Service/holdfast", "/spec/ports/0/targetPort", json!("metrics")),
            "Service/holdfast leads to",
        ),
        (
            at(
                "Service/holdfast-metrics",
                "/spec/publishNotReadyAddresses",
                json!(null),
            ),
            "is not scraped",
        ),
        (
            at("ServiceAccount/holdfast", "/automountServiceAccountToken", json!(null)),
            "the account has a token",
        ),
        (
            Filled("/images/0/newTag", json!("latest")),
            "the image's version is latest",
        ),
        (
            Filled("/images/1/newTag", json!("latest")),
            "the version of Redis is latest",
        ),
        (
            Filled("/replicas/1/count", json!(1)),
            "takes every pod of holdfast-worker",
        ),
    ]
}

#[test]
fn every_mistake_is_found() {
    for (number, (mistake, words)) in mistakes().iter().enumerate() {
        let mut manifests = Manifests::base();
        mistake.make(&mut manifests);
        let found = complaints(&manifests);
        assert!(
            found.iter().any(|complaint| complaint.contains(words)),
            "mistake {number}: no complaint with {words:?} in {found:#?}"
        );
    }
}
