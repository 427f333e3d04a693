//! The private server: durable, supervised, alone on its data, gone with its owner.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fred::prelude::{ClientLike, KeysInterface};
use holdfast::config;
use holdfast::domain::units::Size;
use holdfast::store::connect::{Connection, FirstConnect};
use holdfast::store::embedded::{Attached, Embedded};
use tempfile::TempDir;

use crate::support::{exists, signal, wait_until};

const SOON: Duration = Duration::from_secs(15);

fn settings(dir: &Path) -> config::Embedded {
    config::Embedded {
        data_dir: dir.to_owned(),
        max_memory: Some(Size(64 << 20)),
        ..config::Embedded::default()
    }
}

async fn open(url: &str) -> Connection {
    Connection::open(&config::Redis::default(), url, FirstConnect::FailFast)
        .await
        .unwrap()
}

fn server_pid(dir: &Path) -> u32 {
    std::fs::read_to_string(dir.join("redis.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn it_keeps_what_it_was_given_and_refuses_rather_than_forget() {
    let dir = TempDir::new().unwrap();
    for round in 0..2 {
        let server = Embedded::start(&settings(dir.path())).await.unwrap();
        let connection = open(server.url()).await;
        let client = connection.client();
        assert_eq!(
            client.get::<Option<i64>, _>("kept").await.unwrap(),
            (round > 0).then_some(0)
        );
        client.set::<(), _, _>("kept", 0, None, None, false).await.unwrap();
        let memory: String = client.info(Some(fred::types::InfoKind::Memory)).await.unwrap();
        assert!(
            memory.contains("maxmemory:67108864\r\n") && memory.contains("noeviction"),
            "{memory}"
        );
        let persistence: String = client.info(Some(fred::types::InfoKind::Persistence)).await.unwrap();
        assert!(persistence.contains("aof_enabled:1"), "{persistence}");
        connection.quit().await;
        let pid = server_pid(dir.path());
        server.stop().await;
        assert!(!exists(pid));
    }
}

#[tokio::test]
async fn its_log_never_grows_without_end() {
    let dir = TempDir::new().unwrap();
    let (log, before) = (dir.path().join("redis.log"), dir.path().join("redis.log.1"));
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let much = |mark: &str| format!("{mark}\n").repeat((5 << 20) / (mark.len() + 1));
    let begins = |path: &Path, with: &str| std::fs::read_to_string(path).unwrap_or_default().starts_with(with);
    std::fs::write(&log, much("of last year")).unwrap();
    let server = Embedded::start(&settings(dir.path())).await.unwrap();
    assert!(begins(&before, "of last year") && size(&log) < 1 << 20);
    // What it has written since is as much again, and more.
    std::fs::write(&log, much("of this year")).unwrap();
    wait_until("it made way for a new one", SOON, async || {
        begins(&before, "of this year") && size(&log) < 1 << 20
    })
    .await;
    server.stop().await;
    let end = std::fs::read_to_string(&log).unwrap();
    assert!(
        end.contains("exit") || end.contains("bye"),
        "the server writes on: {end}"
    );
}

#[tokio::test]
async fn a_crashed_server_comes_back_with_its_data() {
    let dir = TempDir::new().unwrap();
    let server = Embedded::start(&settings(dir.path())).await.unwrap();
    let connection = open(server.url()).await;
    connection
        .client()
        .set::<(), _, _>("kept", 7, None, None, false)
        .await
        .unwrap();
    let before = server_pid(dir.path());
    assert!(signal(before, "KILL"));
    wait_until("the data is back", SOON, async || {
        connection
            .client()
            .get::<i64, _>("kept")
            .await
            .is_ok_and(|kept| kept == 7)
    })
    .await;
    assert_ne!(server_pid(dir.path()), before);
    server.stop().await;
}

#[tokio::test]
async fn a_killed_shell_never_gives_two_servers() {
    let dir = TempDir::new().unwrap();
    let server = Embedded::start(&settings(dir.path())).await.unwrap();
    let before = server_pid(dir.path());
    let parent = Command::new("ps")
        .args(["-o", "ppid=", "-p", &before.to_string()])
        .output()
        .unwrap();
    let shell: u32 = String::from_utf8(parent.stdout).unwrap().trim().parse().unwrap();
    assert!(signal(shell, "KILL"));
    let connection = open(server.url()).await;
    crate::support::holds("one server runs", Duration::from_secs(1), async || {
        exists(before) && server_pid(dir.path()) == before
    })
    .await;
    connection.quit().await;
    server.stop().await;
    wait_until("the server is gone", SOON, async || !exists(before)).await;
}

#[tokio::test]
async fn a_second_owner_is_refused_and_a_verb_attaches() {
    let dir = TempDir::new().unwrap();
    let server = Embedded::start(&settings(dir.path())).await.unwrap();
    let Err(refusal) = Embedded::start(&settings(dir.path())).await else {
        panic!("one holdfast a directory")
    };
    let refusal = refusal.to_string();
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
    assert!(refusal.contains(&dir.path().display().to_string()), "{refusal}");

    let attached = Attached::attach(&settings(dir.path())).await.unwrap();
    assert_eq!(attached.url(), server.url());
    attached.detach().await;
    assert!(exists(server_pid(dir.path())), "detaching leaves the owner's server");
    server.stop().await;

    let attached = Attached::attach(&settings(dir.path())).await.unwrap();
    let pid = server_pid(dir.path());
    open(attached.url()).await.quit().await;
    attached.detach().await;
    assert!(!exists(pid), "its own server ends with the command");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("d".repeat(60)).join("e f".repeat(20));
    let server = Embedded::start(&settings(&dir)).await.unwrap();
    assert!(server.url().starts_with("redis://:"));
    let connection = open(server.url()).await;
    connection.client().ping::<()>(None).await.unwrap();
    let without = server.url().replace(|c: char| c.is_ascii_alphabetic(), "");
    assert!(without.contains("127.0.0.1"));
    assert!(
        !connection
            .url()
            .contains(server.url().split(['@', ':']).nth(2).unwrap())
    );
    connection.quit().await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let dir = TempDir::new().unwrap();
    let bad = config::Embedded {
        fsync: "sometimes".to_owned(),
        ..settings(dir.path())
    };
    let Err(error) = Embedded::start(&bad).await else {
        panic!("no such policy")
    };
    assert!(error.to_string().contains("appendfsync"), "{error}");
    let missing = config::Embedded {
        server: Some("/nonexistent/redis-server".into()),
        ..settings(dir.path())
    };
    assert!(Embedded::start(&missing).await.is_err());
    Embedded::start(&settings(dir.path())).await.unwrap().stop().await;
}

/// The owner dies by SIGKILL: its server ends by itself, and the next owner gets the directory then.
#[tokio::test]
async fn a_killed_owner_takes_its_server_along() {
    const CHILD: &str = "HOLDFAST_TEST_OWNER_OF";
    if let Ok(dir) = std::env::var(CHILD) {
        let _server = Embedded::start(&settings(Path::new(&dir))).await.unwrap();
        return std::future::pending().await;
    }
    let dir = TempDir::new().unwrap();
    let mut owner = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::a_killed_owner_takes_its_server_along"])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    wait_until("the owner's server runs", SOON, async || {
        dir.path().join("redis.pid").exists()
    })
    .await;
    let attached = Attached::attach(&settings(dir.path())).await.unwrap();
    let connection = open(attached.url()).await;
    connection
        .client()
        .set::<(), _, _>("kept", 1, None, None, false)
        .await
        .unwrap();
    let pid = server_pid(dir.path());
    owner.kill().await.unwrap();
    let next = Embedded::start(&settings(dir.path())).await.unwrap();
    assert!(!exists(pid), "two servers on the same files");
    wait_until("the data is there", SOON, async || {
        connection
            .client()
            .get::<i64, _>("kept")
            .await
            .is_ok_and(|kept| kept == 1)
    })
    .await;
    next.stop().await;
}
