//! How each error is provoked, on the real binary; what differs from run to run is named in braces.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::DISK_FULL;
use crate::cli::run::Cli;
use crate::support::{Holdfast, TestRedis, certificates, free_port, wait_until};

const EVENT: &str = r#"{"Events":[{"MessageId":"Base.1.0.Test"}]}"#;

/// Runs the binary with these variables on top and answers its message, which must be all of its standard error but
/// the log of a service that starts. Each of `names` is put in place of what it stands for.
fn message(cli: &Cli, variables: &[(&str, &str)], arguments: &[&str], input: &str, names: &[(&str, &str)]) -> String {
    let mut command = cli.command(arguments);
    command
        .env("HOLDFAST_LOG__FORMAT", "json")
        .envs(variables.iter().copied());
    shown(cli, command, input, names)
}

fn shown(cli: &Cli, mut command: Command, input: &str, names: &[(&str, &str)]) -> String {
    let mut process = command.spawn().unwrap();
    let mut pipe = process.stdin.take().unwrap();
    // One that fails before it reads its input closes it.
    let _unread = std::io::Write::write_all(&mut pipe, input.as_bytes());
    drop(pipe);
    let output = process.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let lines: Vec<&str> = error.lines().filter(|line| !line.starts_with('{')).collect();
    let dir = cli.path().display().to_string();
    // The messages are those of an operator who gave no user in the URL.
    let names = names
        .iter()
        .copied()
        .chain([(dir.as_str(), "{dir}"), ("holdfast:***@", "")]);
    names.fold(lines.join("\n"), |text, (value, name)| text.replace(value, name))
}

/// Waits for what another process does.
fn waited(what: &str, holds: impl Fn() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(wait_until(what, Duration::from_secs(30), async || holds()));
}

fn at(url: &str) -> Cli {
    Cli {
        dir: tempfile::tempdir().unwrap(),
        url: url.to_owned(),
    }
}

/// A verb on a Redis with these arguments.
fn on(redis: &TestRedis, variables: &[(&str, &str)], arguments: &[&str], input: &str) -> String {
    let port = redis.port().to_string();
    message(&Cli::of(redis), variables, arguments, input, &[(&port, "{port}")])
}

/// A verb that fails before any Redis is asked.
fn alone(variables: &[(&str, &str)], arguments: &[&str], file: &str) -> String {
    let cli = at("embedded");
    cli.write("file", file);
    message(&cli, variables, arguments, "", &[])
}

/// A Redis with a user `holdfast` that may do all but this.
fn limited(rules: &[&str]) -> TestRedis {
    let redis = TestRedis::start();
    let rules = [
        &["ACL", "SETUSER", "holdfast", "on", ">pw", "~holdfast:*", "+@all"],
        rules,
    ]
    .concat();
    assert_eq!(redis.cli(&rules), "OK");
    redis
}

pub(super) fn no_redis() -> String {
    let port = free_port().to_string();
    let url = format!("redis://127.0.0.1:{port}");
    message(&at(&url), &[], &["status"], "", &[(&port, "{port}")])
}

pub(super) fn wrong_password() -> String {
    let redis = TestRedis::with(&["--requirepass", "s3cret"]);
    on(&redis, &[("HOLDFAST_REDIS__PASSWORD", "wr0ng")], &["status"], "")
}

pub(super) fn no_password() -> String {
    on(&TestRedis::with(&["--requirepass", "s3cret"]), &[], &["status"], "")
}

const USER: [(&str, &str); 2] = [
    ("HOLDFAST_REDIS__USERNAME", "holdfast"),
    ("HOLDFAST_REDIS__PASSWORD", "pw"),
];

pub(super) fn missing_permission_at_the_start() -> String {
    on(&limited(&["-xclaim", "-hscan"]), &USER, &["serve"], "")
}

pub(super) fn missing_permission_in_a_verb() -> String {
    on(&limited(&["-xadd"]), &USER, &["publish", "-"], EVENT)
}

pub(super) fn missing_command() -> String {
    let redis = TestRedis::with(&["--rename-command", "XCLAIM", ""]);
    on(&redis, &[], &["serve"], "")
}

pub(super) fn replica_at_the_start() -> String {
    let (master, replica) = (TestRedis::start(), TestRedis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    on(&replica, &[], &["serve"], "")
}

pub(super) fn replica_in_a_verb() -> String {
    let (master, replica) = (TestRedis::start(), TestRedis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    on(&replica, &[], &["publish", "-"], EVENT)
}

/// A server that has 50,000 keys to load and takes 1 ms for each, answering every hundred keys or so.
pub(super) fn redis_loads() -> String {
    let mut redis = TestRedis::start();
    redis.cli(&["EVAL", "for i = 1, 50000 do redis.call('SET', i, i) end", "0"]);
    redis.cli(&["BGREWRITEAOF"]);
    waited("the keys are in the base file", || {
        let info = redis.cli(&["INFO", "persistence"]);
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    });
    redis.restart_loading(&[
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    // Without a user, so that the first thing it sends is refused: one that logs in is still let in.
    let port = redis.port().to_string();
    message(&at(&redis.admin_url()), &[], &["status"], "", &[(&port, "{port}")])
}

pub(super) fn key_replaced() -> String {
    let redis = TestRedis::start();
    redis.cli(&["SET", "holdfast:{0}:events", "x"]);
    on(&redis, &[], &["publish", "-"], EVENT)
}

pub(super) fn redis_full() -> String {
    let redis = TestRedis::start();
    redis.config_set("maxmemory", "100mb");
    let used = [
        ("HOLDFAST_INTAKE__MEMORY_REFUSE", "0.001"),
        ("HOLDFAST_INTAKE__MEMORY_WARN", "0.0001"),
    ];
    let text = on(&redis, &used, &["publish", "-"], EVENT);
    let (before, rest) = text.split_once("nearly full (").unwrap();
    let (_, after) = rest.split_once(" of 100.0 MiB").unwrap();
    format!("{before}nearly full ({{used}} of 100.0 MiB{after}")
}

pub(super) fn no_cluster() -> String {
    let redis = TestRedis::start();
    let port = redis.port().to_string();
    let url = format!("redis-cluster://127.0.0.1:{port}");
    message(&at(&url), &[], &["status"], "", &[(&port, "{port}")])
}

fn port_taken(variable: &str) -> String {
    let redis = TestRedis::start();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    message(
        &Cli::of(&redis),
        &[(variable, &address)],
        &["serve"],
        "",
        &[(&address, "{address}")],
    )
}

pub(super) fn intake_port_taken() -> String {
    port_taken("HOLDFAST_INTAKE__LISTEN")
}

pub(super) fn admin_port_taken() -> String {
    port_taken("HOLDFAST_ADMIN__LISTEN")
}

pub(super) fn redfish_port_taken() -> String {
    port_taken("HOLDFAST_REDFISH__LISTEN")
}

pub(super) fn no_certificate() -> String {
    let redis = TestRedis::start();
    let files = [
        ("HOLDFAST_REDFISH__CERTIFICATE", "absent.pem"),
        ("HOLDFAST_REDFISH__KEY", "absent.key"),
    ];
    message(&Cli::of(&redis), &files, &["serve"], "", &[])
}

pub(super) fn certificate_without_key() -> String {
    let redis = TestRedis::start();
    let file = [("HOLDFAST_REDFISH__CERTIFICATE", "absent.pem")];
    message(&Cli::of(&redis), &file, &["serve"], "", &[])
}

/// On a file system of 1 MiB in a namespace of its own, where events of 300 KiB do not fit for long.
pub(super) fn disk_full() -> String {
    let cli = at("embedded");
    let mount = "mkdir data && mount -t tmpfs -o size=1m tmpfs data";
    let tried = Command::new("unshare")
        .args(["-rm", "sh", "-c", mount])
        .current_dir(cli.path())
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        println!("SKIPPED: this machine lets nobody mount a file system in a namespace of his own (unshare -rm)");
        return DISK_FULL.to_owned();
    }
    let mut command = cli.command(&["publish", "-"]);
    let binary = command.get_program().to_owned();
    let script = r#"mount -t tmpfs -o size=1m tmpfs data && exec "$0" publish -"#;
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", script])
        .arg(binary)
        .envs(variables)
        // With everysec a write may be put off while an fsync is under way, and events go on being taken.
        .env("HOLDFAST_EMBEDDED__FSYNC", "no")
        .current_dir(cli.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let event = format!(
        r#"{{"Events":[{{"MessageId":"Base.1.0.Test","Message":"{}"}}]}}"#,
        "x".repeat(300 << 10)
    );
    let text = shown(&cli, command, &[event.as_str(); 8].join("\n"), &[]);
    // How many fit is the server's affair.
    let (_, rest) = text
        .split_once(" of 8 events published: standard input, line ")
        .unwrap();
    let (_, rest) = rest.split_once(": ").unwrap();
    format!("holdfast: {{some}} of 8 events published: standard input, line {{n}}: {rest}")
}

pub(super) fn unknown_key() -> String {
    alone(&[], &["--config", "file", "status"], "[retry]\ndely = \"5s\"\n")
}

pub(super) fn no_toml() -> String {
    alone(&[], &["--config", "file", "status"], "[retry\n")
}

pub(super) fn bad_value_in_a_file() -> String {
    alone(&[], &["--config", "file", "status"], "[retry]\nbackoff = 0.5\n")
}

pub(super) fn config_file_missing() -> String {
    alone(&[], &["--config", "absent.toml", "status"], "")
}

pub(super) fn unknown_variable() -> String {
    alone(&[("HOLDFAST_COLOUR", "red")], &["status"], "")
}

pub(super) fn near_miss() -> String {
    alone(&[("HOLDFAST_RETRY_DELAY", "30s")], &["status"], "")
}

pub(super) fn bad_duration() -> String {
    alone(&[("HOLDFAST_RETRY__DELAY", "30")], &["status"], "")
}

pub(super) fn bad_size() -> String {
    alone(&[("HOLDFAST_INTAKE__MAX_BODY", "1MB")], &["status"], "")
}

pub(super) fn bad_scheme() -> String {
    alone(&[("HOLDFAST_REDIS__URL", "http://redis:6379")], &["status"], "")
}

pub(super) fn ca_file_missing() -> String {
    let variables = [
        ("HOLDFAST_REDIS__URL", "rediss://127.0.0.1:6379"),
        ("HOLDFAST_REDIS__CA_FILE", "/absent/ca.pem"),
    ];
    alone(&variables, &["status"], "")
}

pub(super) fn wrong_authority() -> String {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (
        certificates(dir.path(), "ours", "localhost", false),
        certificates(dir.path(), "other", "localhost", false),
    );
    let port = free_port().to_string();
    let text = |path: &std::path::Path| path.display().to_string();
    let _redis = TestRedis::with(&[
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &text(&ours.ca),
        "--tls-cert-file",
        &text(&ours.certificate),
        "--tls-key-file",
        &text(&ours.key),
    ]);
    let url = format!("rediss://localhost:{port}");
    let trusted = text(&other.ca);
    let variables = [("HOLDFAST_REDIS__CA_FILE", trusted.as_str())];
    message(&at(&url), &variables, &["status"], "", &[(&port, "{port}")])
}

pub(super) fn tls_where_there_is_none() -> String {
    let redis = TestRedis::start();
    let (port, dir) = (redis.port().to_string(), tempfile::tempdir().unwrap());
    let ca = certificates(dir.path(), "ours", "localhost", false)
        .ca
        .display()
        .to_string();
    let url = format!("rediss://127.0.0.1:{port}");
    let variables = [("HOLDFAST_REDIS__CA_FILE", ca.as_str())];
    message(&at(&url), &variables, &["status"], "", &[(&port, "{port}")])
}

pub(super) fn no_server_installed() -> String {
    alone(&[("PATH", "/absent")], &["status"], "")
}

pub(super) fn named_server_missing() -> String {
    alone(
        &[("HOLDFAST_EMBEDDED__SERVER", "/absent/redis-server")],
        &["status"],
        "",
    )
}

pub(super) fn second_instance() -> String {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data").display().to_string();
    let first = Holdfast::start(&["serve"], &[("HOLDFAST_EMBEDDED__DATA_DIR", &data)]);
    waited("the first one owns it", || {
        std::fs::read_to_string(format!("{data}/holdfast.lock")).is_ok_and(|pid| !pid.trim().is_empty())
    });
    let pid = format!("process {}", first.pid());
    let variables = [("HOLDFAST_EMBEDDED__DATA_DIR", data.as_str())];
    let names = [(data.as_str(), "{data}"), (pid.as_str(), "process {pid}")];
    message(&at("embedded"), &variables, &["serve"], "", &names)
}

/// In /sys not even root can make a file.
pub(super) fn data_dir_not_writable() -> String {
    alone(&[("HOLDFAST_EMBEDDED__DATA_DIR", "/sys")], &["status"], "")
}

pub(super) fn data_dir_is_a_file() -> String {
    alone(&[("HOLDFAST_EMBEDDED__DATA_DIR", "file")], &["status"], "")
}

pub(super) fn embedded_in_kubernetes() -> String {
    alone(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], &["status"], "")
}

pub(super) fn unknown_subscription() -> String {
    on(&TestRedis::start(), &[], &["subscriptions", "show", "absent"], "")
}

pub(super) fn bad_destination() -> String {
    alone(&[], &["subscriptions", "add", "ftp://host/path"], "")
}

pub(super) fn bad_options() -> String {
    let arguments = ["subscriptions", "add", "http://h", "--max-in-flight=0", "--timeout=1ms"];
    alone(&[], &arguments, "")
}

pub(super) fn publish_no_json() -> String {
    alone(&[], &["publish", "file"], "hello")
}

pub(super) fn publish_no_object() -> String {
    alone(&[], &["publish", "file"], "[1]")
}

pub(super) fn publish_no_file() -> String {
    alone(&[], &["publish", "absent.json"], "")
}
