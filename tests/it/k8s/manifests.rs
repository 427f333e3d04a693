//! `k8s/base` as kustomize would put it together, read without kustomize, and what kustomize made of an overlay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(super) const API: &str = "Deployment/holdfast-api";
pub(super) const WORKER: &str = "Deployment/holdfast-worker";
pub(super) const REDIS: &str = "StatefulSet/holdfast-redis";
/// The pods that run the program.
pub(super) const HOLDFAST: [&str; 2] = [API, WORKER];

/// The objects by `Kind/name`, and what the ConfigMaps are made of.
#[derive(Clone)]
pub(super) struct Manifests {
    pub(super) kustomization: Value,
    pub(super) objects: BTreeMap<String, Value>,
    /// Variables of the ConfigMap `holdfast`.
    pub(super) tuning: BTreeMap<String, String>,
    /// Settings of the Redis server.
    pub(super) redis: BTreeMap<String, String>,
    /// What Holdfast's user may do there.
    pub(super) rules: String,
}

/// The settings that are in force with the ConfigMap as the environment, as `holdfast config --json` shows them.
pub(super) struct InForce(Vec<Value>);

pub(super) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/base")
}

fn read(name: &str) -> String {
    let path = directory().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `Kind/name` of an object.
pub(super) fn name_of(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{}/{}", text("/kind"), text("/metadata/name"))
}

/// Lines of two parts; comments and empty lines are left out.
fn pairs(text: &str, separator: char) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line
                .split_once(separator)
                .unwrap_or_else(|| panic!("no {separator:?} in {line:?}"));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

impl Manifests {
    pub(super) fn base() -> Self {
        let kustomization: Value = serde_saphyr::from_str(&read("kustomization.yaml")).unwrap();
        let files = kustomization["resources"].as_array().unwrap().iter();
        let objects = files.flat_map(|file| {
            let text = read(file.as_str().unwrap());
            serde_saphyr::from_multiple::<Value>(&text).unwrap()
        });
        Self {
            objects: objects.map(|object| (name_of(&object), object)).collect(),
            kustomization,
            tuning: pairs(&read("tuning.env"), '='),
            redis: pairs(&read("redis.conf"), ' '),
            rules: read("holdfast.acl"),
        }
    }

    /// What kustomize made.
    pub(super) fn made(text: &str) -> Self {
        let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let data = |key: &str| {
            let maps = all.iter().filter(|object| object["kind"] == "ConfigMap");
            maps.map(|map| &map["data"]).find(|data| !data[key].is_null()).cloned()
        };
        let tuning = data("HOLDFAST_REDIS__URL").unwrap_or_default();
        let settings = data("redis.conf").unwrap_or_default();
        Self {
            kustomization: Value::Null,
            tuning: serde_json::from_value(tuning).unwrap(),
            redis: pairs(settings["redis.conf"].as_str().unwrap_or_default(), ' '),
            rules: settings["holdfast.acl"].as_str().unwrap_or_default().to_owned(),
            objects: all.into_iter().map(|object| (name_of(&object), object)).collect(),
        }
    }

    /// The value at a JSON pointer of an object; null where there is none.
    pub(super) fn at(&self, object: &str, pointer: &str) -> &Value {
        let found = self.objects.get(object).and_then(|object| object.pointer(pointer));
        found.unwrap_or(&Value::Null)
    }

    /// Asks the real program what it makes of the ConfigMap.
    pub(super) fn config(&self) -> Result<InForce, String> {
        let elsewhere = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(["config", "--json"])
            .env_clear()
            .envs(&self.tuning)
            .current_dir(elsewhere.path())
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(InForce(serde_json::from_slice(&output.stdout).unwrap()))
    }
}

impl InForce {
    /// The setting that a variable sets: value and origin, as text.
    pub(super) fn setting(&self, variable: &str) -> (String, String) {
        let setting = self.0.iter().find(|setting| setting["env"] == variable);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        setting.map_or_else(Default::default, |setting| {
            (text(&setting["value"]), text(&setting["origin"]))
        })
    }

    /// A duration in seconds.
    pub(super) fn seconds(&self, variable: &str) -> u64 {
        let period: holdfast::domain::units::Period = self.setting(variable).0.parse().unwrap();
        period.millis().div_ceil(1000)
    }

    /// A size in bytes.
    pub(super) fn bytes(&self, variable: &str) -> u64 {
        let size: holdfast::domain::units::Size = self.setting(variable).0.parse().unwrap();
        size.0
    }

    /// The port of an address.
    pub(super) fn port(&self, variable: &str) -> u16 {
        let address: std::net::SocketAddr = self.setting(variable).0.parse().unwrap();
        address.port()
    }
}

/// Bytes of a Kubernetes quantity (`512Mi`), or of a Redis one (`1gb`); 0 for anything else.
pub(super) fn bytes(quantity: &str) -> u64 {
    let digits = quantity.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &quantity[digits.len()..] {
        "" => 1,
        "Ki" | "kb" => 1 << 10,
        "Mi" | "mb" => 1 << 20,
        "Gi" | "gb" => 1 << 30,
        "k" => 1_000,
        "M" | "m" => 1_000_000,
        "G" | "g" => 1_000_000_000,
        _ => 0,
    };
    digits.parse::<u64>().unwrap_or(0) * unit
}
