//! The overlays, as kustomize puts them together. Skipped aloud where there is no kubectl.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::manifests::{HOLDFAST, Manifests, REDIS, WORKER};
use super::pods;
use super::tools::{kustomized, validate, validator};

const OVERLAYS: [&str; 8] = [
    "certificate",
    "cluster",
    "dev",
    "hpa",
    "keda",
    "load-balancer",
    "monitoring",
    "sentinel",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn directory(overlay: &str) -> PathBuf {
    root().join("k8s/overlays").join(overlay)
}

fn overlay(name: &str) -> Option<Manifests> {
    Some(Manifests::made(&kustomized(&directory(name))?))
}

/// What is wrong with any overlay.
fn complaints(manifests: &Manifests) -> Vec<String> {
    let mut found = pods::every(manifests);
    for (name, object) in &manifests.objects {
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        if let Some(image) = image.as_str()
            && !image.contains(':')
        {
            found.push(format!("{name}: no version of the image {image}"));
        }
    }
    match manifests.config() {
        Err(message) => found.push(format!("the ConfigMap is refused: {message}")),
        Ok(config) => {
            for (variable, value) in &manifests.tuning {
                if config.setting(variable) != (value.clone(), variable.clone()) {
                    found.push(format!("{variable}={value} is not in force"));
                }
            }
        }
    }
    addresses(manifests, &mut found);
    scaled(manifests, &mut found);
    found
}

/// Every host that the ConfigMap or a container's variable names is a Service, or a pod of one.
fn addresses(manifests: &Manifests, found: &mut Vec<String>) {
    let url = manifests.tuning.get("HOLDFAST_REDIS__URL").map_or("", String::as_str);
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let hosts = rest.split(['?', '&', '/']).filter(|part| part.contains(':'));
    let mut hosts: BTreeSet<String> = hosts
        .map(|part| {
            part.trim_start_matches("node=")
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    for object in manifests.objects.values() {
        let env = &object["spec"]["template"]["spec"]["containers"][0]["env"];
        for entry in env.as_array().into_iter().flatten() {
            if ["FIRST", "SENTINEL", "NODES"].contains(&entry["name"].as_str().unwrap_or_default()) {
                let words = entry["value"].as_str().unwrap_or_default().split(' ');
                hosts.extend(words.map(str::to_owned));
            }
        }
    }
    for host in hosts {
        let (pod, service) = match host.split_once('.') {
            Some((pod, service)) => (Some(pod), service),
            None => (None, host.as_str()),
        };
        if !manifests.objects.contains_key(&format!("Service/{service}")) {
            found.push(format!("{host}: there is no Service {service}"));
        }
        let Some((set, number)) = pod.and_then(|pod| pod.rsplit_once('-')) else {
            continue;
        };
        let spec = manifests.at(&format!("StatefulSet/{set}"), "/spec");
        let number: u64 = number.parse().unwrap_or(u64::MAX);
        if spec["serviceName"] != service || spec["replicas"].as_u64().is_none_or(|replicas| number >= replicas) {
            found.push(format!("{host} is no pod of StatefulSet/{set}"));
        }
    }
}

/// What scales the workers: never to none, and nothing else sets their number.
fn scaled(manifests: &Manifests, found: &mut Vec<String>) {
    let keda = manifests.at("ScaledObject/holdfast-worker", "/spec");
    let plain = manifests.at("HorizontalPodAutoscaler/holdfast-worker", "/spec");
    if keda.is_null() && plain.is_null() {
        return;
    }
    let least = [&keda["minReplicaCount"], &plain["minReplicas"]].map(Value::as_u64);
    if !least.iter().flatten().any(|least| *least >= 1) {
        found.push("all workers may be taken away while events wait".to_owned());
    }
    if !manifests.at(WORKER, "/spec/replicas").is_null() {
        found.push("an apply undoes the scaling".to_owned());
    }
    if keda["scaleTargetRef"]["name"] != "holdfast-worker" && plain["scaleTargetRef"]["name"] != "holdfast-worker" {
        found.push("something else than the workers is scaled".to_owned());
    }
    let trigger = &keda["triggers"][0]["metadata"];
    if !keda.is_null() && (trigger["query"] != r#"max(holdfast_backlog{job="holdfast"})"#) {
        found.push(format!("KEDA goes by {}, not by the work there is", trigger["query"]));
    }
    if !keda.is_null() && trigger["ignoreNullValues"] != "false" {
        found.push("no answer of Prometheus counts as no work".to_owned());
    }
}

#[test]
fn every_overlay_says_what_it_must() {
    let there = std::fs::read_dir(root().join("k8s/overlays")).unwrap();
    let there: BTreeSet<String> = there
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, OVERLAYS.map(str::to_owned).into_iter().collect());
    for name in OVERLAYS {
        let Some(manifests) = overlay(name) else { return };
        assert_eq!(complaints(&manifests), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_schemas_of_kubernetes_accept_every_overlay() {
    for name in OVERLAYS {
        let Some(text) = kustomized(&directory(name)) else {
            return;
        };
        let Some(python) = validator() else { return };
        let said = validate(&python, &text).unwrap_or_else(|complaint| panic!("{name}: {complaint}"));
        let custom = ["\nkind: ScaledObject", "\nkind: PodMonitor", "\nkind: PrometheusRule"];
        let known = text
            .split("\n---\n")
            .filter(|text| !custom.iter().any(|kind| text.contains(kind)));
        assert_eq!(said.matches(" passed ").count(), known.count(), "{name}: {said}");
    }
}

#[test]
fn mistakes_in_overlays_are_found() {
    let mistakes: [(&str, &str, &str, Value, &str); 8] = [
        (
            "sentinel",
            "StatefulSet/holdfast-sentinel",
            "/spec/template/spec/securityContext/runAsNonRoot",
            json!(false),
            "runAsNonRoot",
        ),
        (
            "sentinel",
            "StatefulSet/holdfast-sentinel",
            "/spec/template/spec/containers/0/image",
            json!("redis"),
            "no version of the image",
        ),
        (
            "sentinel",
            REDIS,
            "/spec/serviceName",
            json!("holdfast-redis"),
            "is no pod of",
        ),
        (
            "cluster",
            REDIS,
            "/spec/replicas",
            json!(5),
            "holdfast-redis-5.holdfast-redis-nodes is no pod",
        ),
        (
            "cluster",
            "Job/holdfast-redis-cluster",
            "/spec/template/spec/containers/0/resources",
            json!({}),
            "no limits/memory",
        ),
        (
            "keda",
            "ScaledObject/holdfast-worker",
            "/spec/minReplicaCount",
            json!(0),
            "taken away while events wait",
        ),
        (
            "keda",
            "ScaledObject/holdfast-worker",
            "/spec/triggers/0/metadata/query",
            json!("max(holdfast_parked)"),
            "not by the work there is",
        ),
        (
            "hpa",
            "HorizontalPodAutoscaler/holdfast-worker",
            "/spec/scaleTargetRef/name",
            json!("holdfast-api"),
            "something else",
        ),
    ];
    for (name, object, pointer, value, words) in mistakes {
        let Some(mut manifests) = overlay(name) else { return };
        *manifests.objects.get_mut(object).unwrap().pointer_mut(pointer).unwrap() = value;
        let found = complaints(&manifests);
        assert!(
            found.iter().any(|complaint| complaint.contains(words)),
            "{pointer}: {found:#?}"
        );
    }
}

#[test]
fn the_operator_gets_the_alerts_and_dashboards_that_there_are() {
    let alerts = std::fs::read_to_string(root().join("dashboards/alerts.yaml")).unwrap();
    let file = root().join("k8s/components/monitoring/rules.yaml");
    let now = std::fs::read_to_string(&file).unwrap();
    let (head, _) = now.split_once("\nspec:\n").unwrap();
    let indented = alerts
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line {
            "" => String::new(),
            line => format!("  {line}"),
        });
    let right = format!("{head}\nspec:\n{}\n", indented.collect::<Vec<_>>().join("\n"));
    if now != right {
        std::fs::write(&file, right).unwrap();
        panic!(
            "{} differed from the alerts and was written anew: commit it",
            file.display()
        );
    }

    let Some(manifests) = overlay("monitoring") else { return };
    let shown = manifests
        .at("ConfigMap/holdfast-dashboards", "/data")
        .as_object()
        .unwrap();
    let files = std::fs::read_dir(root().join("dashboards")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut dashboards: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let mut mounted: Vec<String> = shown.values().map(|text| text.as_str().unwrap().to_owned()).collect();
    dashboards.sort();
    mounted.sort();
    assert!(
        dashboards == mounted,
        "not every dashboard is in the ConfigMap: {:?}",
        shown.keys()
    );
    let monitor = manifests.at("PodMonitor/holdfast", "/spec");
    assert_eq!(monitor["podMetricsEndpoints"][0]["port"], "metrics");
    for pod in HOLDFAST {
        let labels = manifests.at(pod, "/spec/template/metadata/labels");
        assert_eq!(
            labels["app.kubernetes.io/name"],
            monitor["selector"]["matchLabels"]["app.kubernetes.io/name"]
        );
    }
}
