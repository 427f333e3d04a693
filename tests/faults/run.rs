//! One run: a stage is set, a fault plays on it, everything heals and drains, the books are closed.

use std::any::Any;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::check::{Verdict, check};
use crate::stage::{Fixture, Setting, Stage};
use crate::trail::trail;

/// What a fault does to the stage; it ends when the fault is healed.
pub(crate) type Act = fn(&mut Stage) -> LocalBoxFuture<'_, ()>;

/// Lost events whose trail is shown, at most.
const MOST_TRAILS: usize = 5;

/// Plays one fault. What is wrong is in the verdict; then the directory named in it is kept.
pub(crate) async fn play(name: &str, seed: u64, setting: Setting, fixture: Fixture, act: Act) -> Verdict {
    let set = AssertUnwindSafe(Stage::set(setting, fixture, seed))
        .catch_unwind()
        .await;
    let mut stage = match set {
        Ok(stage) => stage,
        Err(panic) => return failed(format!("the stage could not be set: {}", text(&*panic))),
    };
    let mut recovery = None;
    let played = AssertUnwindSafe(async {
        stage.begin().await;
        act(&mut stage).await;
    });
    let mut broke = played.catch_unwind().await.err();
    let healed = Instant::now();
    let ended = AssertUnwindSafe(async {
        stage.end().await;
        stage.drained().await;
        recovery = Some(healed.elapsed());
    });
    broke = broke.or(ended.catch_unwind().await.err());
    stage.producer.stop().await;
    let mut verdict = match AssertUnwindSafe(check(&stage)).catch_unwind().await {
        Ok(verdict) => verdict,
        Err(panic) => failed(format!("the books could not be closed: {}", text(&*panic))),
    };
    verdict.recovery = recovery;
    if let Some(panic) = broke {
        verdict.problems.insert(0, text(&*panic));
    }
    if !verdict.problems.is_empty() {
        keep(&stage, &mut verdict, name);
    }
    verdict
}

fn failed(problem: String) -> Verdict {
    Verdict {
        problems: vec![problem],
        ..Verdict::default()
    }
}

/// The words of a panic.
fn text(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    words.unwrap_or("a panic without words").to_owned()
}

/// Copies what can explain the failure into `target/faults`, and adds the trails of what is missing.
fn keep(stage: &Stage, verdict: &mut Verdict, name: &str) {
    let trails = verdict.missing.iter().take(MOST_TRAILS);
    let trails: Vec<String> = trails
        .flat_map(|(place, number)| trail(stage, *place, *number))
        .collect();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/faults/{name}-seed-{}", stage.seed));
    let mut files = vec![
        (PathBuf::from("producer.log"), stage.producer.log()),
        (PathBuf::from("missing.txt"), trails.join("\n")),
    ];
    for subscriber in stage.subscribers() {
        files.push((format!("{}.log", subscriber.name).into(), subscriber.log()));
    }
    for pod in stage.pods.iter().chain(&stage.gone) {
        files.push((format!("{}.log", pod.name).into(), pod.process.stderr()));
    }
    let _fresh = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in files {
        fs::write(dir.join(file), text).unwrap();
    }
    for node in &stage.servers.nodes {
        copy(node.dir(), &dir.join(format!("redis-{}", node.port())));
    }
    verdict.problems.extend(trails);
    verdict
        .problems
        .push(format!("logs and Redis' data are kept in {}", dir.display()));
}

/// Copies the files of a directory and of those in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            let _vanished = fs::copy(&path, &target);
        }
    }
}
