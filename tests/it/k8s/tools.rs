//! What kubectl makes of the base, and what the API's own schemas say to that. Skipped aloud where the tools are
//! missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::manifests::{Manifests, REDIS, WORKER, directory, name_of};
use super::pods;

const VALIDATOR: &str = "kubernetes-validate==1.37.0";
const KUBERNETES: &str = "1.32";

/// A directory of `k8s` as one stream of documents; `None` where there is no kubectl.
pub(super) fn kustomized(directory: &Path) -> Option<String> {
    let output = match Command::new("kubectl").arg("kustomize").arg(directory).output() {
        Ok(output) => output,
        Err(error) => {
            println!("SKIPPED: kubectl can't be run ({error})");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn kustomize_makes_the_same_objects_of_it() {
    let Some(text) = kustomized(&directory()) else { return };
    let made: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let read = Manifests::base();
    let (maps, objects): (Vec<_>, Vec<_>) = made.iter().partition(|object| object["kind"] == "ConfigMap");
    let names: Vec<String> = objects.iter().map(|object| name_of(object)).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, read.objects.keys().cloned().collect::<Vec<_>>());

    let tuning = maps.iter().find(|map| map["data"]["redis.conf"].is_null()).unwrap();
    assert_eq!(tuning["data"], serde_json::to_value(&read.tuning).unwrap());
    let worker = objects.iter().find(|object| name_of(object) == WORKER).unwrap();
    assert_eq!(worker["spec"]["replicas"], read.kustomization["replicas"][1]["count"]);
    let container = &worker["spec"]["template"]["spec"]["containers"][0];
    // A change of the ConfigMap changes its name, and so the pods.
    assert_eq!(
        container["envFrom"][0]["configMapRef"]["name"],
        tuning["metadata"]["name"]
    );
    assert_ne!(tuning["metadata"]["name"], "holdfast");
    assert_eq!(
        container["env"][1]["valueFrom"]["secretKeyRef"]["name"],
        "holdfast-redis"
    );
    assert_eq!(container["image"], concat!("holdfast:", env!("CARGO_PKG_VERSION")));
}

/// Asks the schemas of Kubernetes; they pass over what they don't know.
pub(super) fn validate(python: &Path, text: &str) -> Result<String, String> {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("objects.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let output = run(
        python,
        &["-m", "kubernetes_validate", "--strict", "-k", KUBERNETES, &file],
    )?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A Python with the validator, kept in the target directory; `None` where it can't be had.
pub(super) fn validator() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(VALIDATOR);
    let python = home.join("bin/python");
    let works = || run(&python, &["-m", "kubernetes_validate", "--version"]).is_ok();
    if works() {
        return Some(python);
    }
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--timeout",
        "10",
    ];
    let made = run(
        Path::new("python3"),
        &["-m", "venv", "--clear", &home.display().to_string()],
    )
    .and_then(|_| run(&python, &[&install[..], &["--retries", "1", VALIDATOR]].concat()));
    if let Err(error) = made {
        println!("SKIPPED: {VALIDATOR} can't be installed: {error}");
        return None;
    }
    assert!(works(), "{VALIDATOR} is installed and does not run");
    Some(python)
}

/// Runs it to a good end, or tells why it came to a bad one.
pub(super) fn run(program: &Path, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn the_schemas_of_kubernetes_accept_it_and_nothing_else() {
    let Some(text) = kustomized(&directory()) else { return };
    let Some(python) = validator() else { return };
    let said = validate(&python, &text).unwrap_or_else(|complaint| panic!("{complaint}"));
    let documents = text.split("\n---\n").count();
    assert_eq!(said.matches(" passed ").count(), documents, "{said}");

    for (right, wrong) in [
        ("readOnlyRootFilesystem:", "readOnlyRootFileSystem:"),
        ("maxUnavailable: 0", "maxUnavailable: none: 0"),
        (
            "terminationGracePeriodSeconds: 45",
            "terminationGracePeriodSeconds: 45s",
        ),
        ("enableServiceLinks:", "enableServiceLink:"),
        ("whenUnsatisfiable:", "whenUnsatisfied:"),
        ("secretKeyRef:", "secretRef:"),
        ("policyTypes:", "policyType:"),
    ] {
        assert!(text.contains(right), "no {right}");
        let complaint = validate(&python, &text.replacen(right, wrong, 1));
        assert!(complaint.is_err(), "{wrong} was accepted");
    }
}

/// The pod that a backup is put back with: as restricted as the others, with the same Redis on the first one's volume.
#[test]
fn the_pod_for_a_restore_fits_the_base() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/restore.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let pod: Value = serde_saphyr::from_str(&text).unwrap();
    let mut base = Manifests::base();
    let image = &base.kustomization["images"][1];
    let [name, tag] = ["newName", "newTag"].map(|part| image[part].as_str().unwrap());
    assert_eq!(pod["spec"]["containers"][0]["image"], format!("{name}:{tag}"));
    let set = base.at(REDIS, "/spec");
    let claim = format!(
        "{}-holdfast-redis-0",
        set["volumeClaimTemplates"][0]["metadata"]["name"].as_str().unwrap()
    );
    assert_eq!(
        pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        claim.as_str()
    );
    let selected = set["selector"]["matchLabels"].as_object().unwrap();
    let labels = &pod["metadata"]["labels"];
    assert!(
        selected.iter().any(|(label, value)| labels[label] != *value),
        "it would be one of Redis' pods"
    );
    base.objects = [("Pod/restore".to_owned(), json!({"spec": {"template": pod}}))].into();
    assert_eq!(pods::every(&base), Vec::<String>::new());

    let Some(python) = validator() else { return };
    validate(&python, &text).unwrap_or_else(|complaint| panic!("{complaint}"));
}
