//! Objects of other projects, held against their published types: a misspelt or mistyped field is an error of the
//! TypeScript compiler. Skipped aloud where npm or its packages can't be had.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::overlays::directory;
use super::tools::{kustomized, run};

const PACKAGES: [&str; 3] = [
    "@kubernetes-models/keda@0.4.2",
    "@kubernetes-models/prometheus-operator@6.0.0",
    "typescript@7.0.2",
];
/// Kind, overlay, and the module with its type.
const KINDS: [(&str, &str, &str); 3] = [
    ("ScaledObject", "keda", "keda/keda.sh/v1alpha1"),
    (
        "PodMonitor",
        "monitoring",
        "prometheus-operator/monitoring.coreos.com/v1",
    ),
    (
        "PrometheusRule",
        "monitoring",
        "prometheus-operator/monitoring.coreos.com/v1",
    ),
];

/// A directory with the packages, kept in the target directory.
fn packages() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes-models");
    let complete = home.join("complete");
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&complete).is_ok_and(|known| known == wanted) {
        return Some(home);
    }
    let prefix = home.display().to_string();
    let arguments = [
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--fetch-retries=1",
        "--prefix",
        &prefix,
    ];
    if let Err(error) = run(Path::new("npm"), &[&arguments[..], &PACKAGES[..]].concat()) {
        println!("SKIPPED: {wanted} can't be installed: {error}");
        return None;
    }
    std::fs::write(complete, wanted).unwrap();
    Some(home)
}

/// Says what is wrong with an object of that kind.
fn check(home: &Path, kind: &str, module: &str, object: &Value) -> Result<(), String> {
    let file = home.join(format!("{kind}-{}.ts", std::process::id()));
    let text = format!(
        "import type {{ I{kind} }} from \"@kubernetes-models/{module}/{kind}\";\nexport const it: I{kind} = {object};\n"
    );
    std::fs::write(&file, text).unwrap();
    let compiler = home.join("node_modules/.bin/tsc");
    let checked = run(
        &compiler,
        &[
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--module",
            "nodenext",
            "--target",
            "es2022",
            &file.display().to_string(),
        ],
    );
    std::fs::remove_file(file).unwrap();
    checked.map(drop)
}

#[test]
fn objects_of_other_projects_have_the_types_that_those_publish() {
    let Some(home) = packages() else { return };
    for (kind, overlay, module) in KINDS {
        let Some(text) = kustomized(&directory(overlay)) else {
            return;
        };
        let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let object = all.iter().find(|object| object["kind"] == kind).unwrap();
        check(&home, kind, module, object).unwrap_or_else(|complaint| panic!("{kind}: {complaint}"));

        let mut misspelt = object.clone();
        let spec = misspelt["spec"].as_object_mut().unwrap();
        let (name, value) = spec
            .iter()
            .next()
            .map(|(name, value)| (name.clone(), value.clone()))
            .unwrap();
        spec.remove(&name);
        spec.insert(format!("{name}s"), value);
        let complaint = check(&home, kind, module, &misspelt).expect_err("a misspelt field was accepted");
        assert!(complaint.contains(&format!("{name}s")), "{complaint}");
    }
}
