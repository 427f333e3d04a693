//! The errors that operators meet most, word by word: what failed, on what, and what to do.
//!
//! One row each: how it is provoked, on the real binary, and the exact text. In braces stands what differs from run
//! to run.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use rstest::rstest;

use super::run::Cli;
use crate::support::{Holdfast, TestRedis, certificates, free_port, wait_until};

const EVENT: &str = r#"{"Events":[{"MessageId":"Base.1.0.Test"}]}"#;

/// Runs the binary with these variables on top and answers its message, which must be all of its standard error but
/// the log of a service that starts. Each of `names` is put in place of what it stands for.
fn message(cli: &Cli, variables: &[(&str, &str)], arguments: &[&str], input: &str, names: &[(&str, &str)]) -> String {
    let mut command = cli.command(arguments);
    command
        .env("HOLDFAST_INTAKE__LISTEN", "127.0.0.1:0")
        .env("HOLDFAST_ADMIN__LISTEN", "127.0.0.1:0")
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
    let names = names.iter().copied().chain([(dir.as_str(), "{dir}")]);
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

fn no_redis() -> String {
    let port = free_port().to_string();
    let url = format!("redis://127.0.0.1:{port}");
    message(&at(&url), &[], &["status"], "", &[(&port, "{port}")])
}

fn wrong_password() -> String {
    let redis = TestRedis::with(&["--requirepass", "s3cret"]);
    on(&redis, &[("HOLDFAST_REDIS__PASSWORD", "wr0ng")], &["status"], "")
}

fn no_password() -> String {
    on(&TestRedis::with(&["--requirepass", "s3cret"]), &[], &["status"], "")
}

const USER: [(&str, &str); 2] = [
    ("HOLDFAST_REDIS__USERNAME", "holdfast"),
    ("HOLDFAST_REDIS__PASSWORD", "pw"),
];

fn missing_permission_at_the_start() -> String {
    on(&limited(&["-xclaim", "-hscan"]), &USER, &["serve"], "")
}

fn missing_permission_in_a_verb() -> String {
    on(&limited(&["-xadd"]), &USER, &["publish", "-"], EVENT)
}

fn missing_command() -> String {
    let redis = TestRedis::with(&["--rename-command", "XCLAIM", ""]);
    on(&redis, &[], &["serve"], "")
}

fn replica_at_the_start() -> String {
    let (master, replica) = (TestRedis::start(), TestRedis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    on(&replica, &[], &["serve"], "")
}

fn replica_in_a_verb() -> String {
    let (master, replica) = (TestRedis::start(), TestRedis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    on(&replica, &[], &["publish", "-"], EVENT)
}

/// A server that has 50,000 keys to load and takes 1 ms for each, answering every hundred keys or so.
fn redis_loads() -> String {
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
    on(&redis, &[], &["status"], "")
}

fn key_replaced() -> String {
    let redis = TestRedis::start();
    redis.cli(&["SET", "holdfast:{0}:events", "x"]);
    on(&redis, &[], &["publish", "-"], EVENT)
}

fn redis_full() -> String {
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

fn no_cluster() -> String {
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

fn intake_port_taken() -> String {
    port_taken("HOLDFAST_INTAKE__LISTEN")
}

fn admin_port_taken() -> String {
    port_taken("HOLDFAST_ADMIN__LISTEN")
}

/// On a file system of 1 MiB in a namespace of its own, where events of 300 KiB do not fit for long.
fn disk_full() -> String {
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

fn unknown_key() -> String {
    alone(&[], &["--config", "file", "status"], "[retry]\ndely = \"5s\"\n")
}

fn no_toml() -> String {
    alone(&[], &["--config", "file", "status"], "[retry\n")
}

fn bad_value_in_a_file() -> String {
    alone(&[], &["--config", "file", "status"], "[retry]\nbackoff = 0.5\n")
}

fn config_file_missing() -> String {
    alone(&[], &["--config", "absent.toml", "status"], "")
}

fn unknown_variable() -> String {
    alone(&[("HOLDFAST_COLOUR", "red")], &["status"], "")
}

fn near_miss() -> String {
    alone(&[("HOLDFAST_RETRY_DELAY", "30s")], &["status"], "")
}

fn bad_duration() -> String {
    alone(&[("HOLDFAST_RETRY__DELAY", "30")], &["status"], "")
}

fn bad_size() -> String {
    alone(&[("HOLDFAST_INTAKE__MAX_BODY", "1MB")], &["status"], "")
}

fn bad_scheme() -> String {
    alone(&[("HOLDFAST_REDIS__URL", "http://redis:6379")], &["status"], "")
}

fn ca_file_missing() -> String {
    let variables = [
        ("HOLDFAST_REDIS__URL", "rediss://127.0.0.1:6379"),
        ("HOLDFAST_REDIS__CA_FILE", "/absent/ca.pem"),
    ];
    alone(&variables, &["status"], "")
}

fn wrong_authority() -> String {
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

fn tls_where_there_is_none() -> String {
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

fn no_server_installed() -> String {
    alone(&[("PATH", "/absent")], &["status"], "")
}

fn named_server_missing() -> String {
    alone(
        &[("HOLDFAST_EMBEDDED__SERVER", "/absent/redis-server")],
        &["status"],
        "",
    )
}

fn second_instance() -> String {
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
fn data_dir_not_writable() -> String {
    alone(&[("HOLDFAST_EMBEDDED__DATA_DIR", "/sys")], &["status"], "")
}

fn data_dir_is_a_file() -> String {
    alone(&[("HOLDFAST_EMBEDDED__DATA_DIR", "file")], &["status"], "")
}

fn embedded_in_kubernetes() -> String {
    alone(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], &["status"], "")
}

fn unknown_subscription() -> String {
    on(&TestRedis::start(), &[], &["subscriptions", "show", "absent"], "")
}

fn bad_destination() -> String {
    alone(&[], &["subscriptions", "add", "ftp://host/path"], "")
}

fn bad_options() -> String {
    let arguments = ["subscriptions", "add", "http://h", "--max-in-flight=0", "--timeout=1ms"];
    alone(&[], &arguments, "")
}

fn publish_no_json() -> String {
    alone(&[], &["publish", "file"], "hello")
}

fn publish_no_object() -> String {
    alone(&[], &["publish", "file"], "[1]")
}

fn publish_no_file() -> String {
    alone(&[], &["publish", "absent.json"], "")
}

const DISK_FULL: &str = "holdfast: {some} of 8 events published: standard input, line {n}: XADD failed on Redis: MISCONF \
    Errors writing to the AOF file: No space left on device. Redis cannot write to its disk: look at its log and free \
    space";

#[rstest]
#[case::no_redis(
    no_redis,
    "holdfast: cannot reach Redis at redis://127.0.0.1:{port}: Connection refused. Check \
    HOLDFAST_REDIS__URL, and that the server runs and can be reached from here"
)]
#[case::wrong_password(
    wrong_password,
    "holdfast: cannot reach Redis at redis://127.0.0.1:{port}: WRONGPASS invalid username-password \
    pair or user is disabled. Set HOLDFAST_REDIS__USERNAME and HOLDFAST_REDIS__PASSWORD to a user that may log in"
)]
#[case::no_password(
    no_password,
    "holdfast: cannot reach Redis at redis://127.0.0.1:{port}: NOAUTH Authentication required. Set \
    HOLDFAST_REDIS__USERNAME and HOLDFAST_REDIS__PASSWORD to a user that may log in"
)]
#[case::missing_permission_at_the_start(
    missing_permission_at_the_start,
    "holdfast: the user \"holdfast\" may not do on Redis at \
    redis://127.0.0.1:{port} what Holdfast needs; run: ACL SETUSER holdfast +hscan +xclaim"
)]
#[case::missing_permission_in_a_verb(
    missing_permission_in_a_verb,
    "holdfast: 0 of 1 event published: standard input: XADD failed on Redis: NOPERM \
    this user has no permissions to run the 'xadd' command. Grant the ACL user this command and the keys of the \
    prefix; holdfast doctor names the rules"
)]
#[case::missing_command(
    missing_command,
    "holdfast: the Redis at redis://127.0.0.1:{port} cannot run: XCLAIM STREAM probe probe 0 0-1 \
    RETRYCOUNT 1 JUSTID. Holdfast needs Redis 6.2 or later, or Valkey, with no renamed commands"
)]
#[case::replica_at_the_start(
    replica_at_the_start,
    "holdfast: the Redis at redis://127.0.0.1:{port} is a replica and takes no writes; point \
    HOLDFAST_REDIS__URL at its master or at the sentinels"
)]
#[case::replica_in_a_verb(
    replica_in_a_verb,
    "holdfast: 0 of 1 event published: standard input: XADD failed on Redis: READONLY You can't \
    write against a read only replica. This server is a replica: point HOLDFAST_REDIS__URL at its master or at the \
    sentinels"
)]
#[case::redis_loads(
    redis_loads,
    "holdfast: cannot reach Redis at redis://127.0.0.1:{port}: LOADING Redis is loading the dataset in \
    memory. It is loading its data: wait until it has done so"
)]
#[case::key_replaced(
    key_replaced,
    "holdfast: 0 of 1 event published: standard input: XADD failed on Redis: WRONGTYPE Operation \
    against a key holding the wrong kind of value. A key of Holdfast was replaced by something else: rename it out of \
    the way, or set HOLDFAST_REDIS__PREFIX to one that nobody else uses"
)]
#[case::redis_full(
    redis_full,
    "holdfast: 0 of 1 event published: Redis is nearly full ({used} of 100.0 MiB, intake.memory_refuse \
    is 0.001): events are refused so that those it holds can still be parked; raise its maxmemory or wait until they \
    are delivered"
)]
#[case::no_cluster(
    no_cluster,
    "holdfast: cannot reach Redis at redis-cluster://127.0.0.1:{port}: ERR This instance has cluster \
    support disabled. This server is no Cluster: write redis:// in place of redis-cluster:// in HOLDFAST_REDIS__URL"
)]
#[case::intake_port_taken(
    intake_port_taken,
    "holdfast: the intake listener can't listen on {address}: Address already in use (os error \
    98); set HOLDFAST_INTAKE__LISTEN to a free address and port"
)]
#[case::admin_port_taken(
    admin_port_taken,
    "holdfast: the admin listener can't listen on {address}: Address already in use (os error \
    98); set HOLDFAST_ADMIN__LISTEN to a free address and port"
)]
#[case::disk_full(disk_full, DISK_FULL)]
#[case::unknown_key(
    unknown_key,
    "holdfast: the configuration can't be used: file:2: no setting is called retry.dely; did you mean \
    retry.delay?"
)]
#[case::no_toml(
    no_toml,
    "holdfast: the configuration can't be used: file:1: not valid TOML: unclosed table, expected `]`"
)]
#[case::bad_value_in_a_file(
    bad_value_in_a_file,
    "holdfast: the configuration can't be used: file:2: retry.backoff=0.5: must be a number \
    from 1.0 (constant) to 100.0"
)]
#[case::config_file_missing(
    config_file_missing,
    "holdfast: the configuration can't be used: the file absent.toml can't be read: No such \
    file or directory (os error 2); check the path given with --config"
)]
#[case::unknown_variable(
    unknown_variable,
    "holdfast: the configuration can't be used: HOLDFAST_COLOUR: no such setting; variables are \
    named HOLDFAST_<SECTION>__<KEY>, `holdfast config` lists them all"
)]
#[case::near_miss(
    near_miss,
    "holdfast: the configuration can't be used: HOLDFAST_RETRY_DELAY: no such setting; did you mean \
    HOLDFAST_RETRY__DELAY?"
)]
#[case::bad_duration(
    bad_duration,
    "holdfast: the configuration can't be used: HOLDFAST_RETRY__DELAY=\"30\": must be a duration such \
    as 250ms, 30s, 5m or 1h, above 0s and at most 30d"
)]
#[case::bad_size(
    bad_size,
    "holdfast: the configuration can't be used: HOLDFAST_INTAKE__MAX_BODY=\"1MB\": must be a size such as \
    64KiB or 1MiB, from 1KiB to 256MiB"
)]
#[case::bad_scheme(
    bad_scheme,
    "holdfast: the configuration can't be used: HOLDFAST_REDIS__URL=\"http://redis:6379\": must be \
    embedded, or a URL that starts with redis://, rediss://, redis-sentinel://, redis-cluster:// or redis+unix:// \
    (rediss-sentinel:// and rediss-cluster:// with TLS)"
)]
#[case::ca_file_missing(
    ca_file_missing,
    "holdfast: HOLDFAST_REDIS__CA_FILE=/absent/ca.pem cannot be used: I/O error: No such file or \
    directory (os error 2); name a readable PEM file with certificates"
)]
#[case::wrong_authority(
    wrong_authority,
    "holdfast: cannot reach Redis at rediss://localhost:{port}: its certificate is not trusted \
    (UnknownIssuer). Check HOLDFAST_REDIS__CA_FILE, and that the certificate names the host in the URL"
)]
#[case::tls_where_there_is_none(
    tls_where_there_is_none,
    "holdfast: cannot reach Redis at rediss://127.0.0.1:{port}: no answer in time. Check \
    that a Redis listens there that can be reached from here, and that it speaks TLS where HOLDFAST_REDIS__URL says \
    rediss://, and none where it says redis://"
)]
#[case::no_server_installed(
    no_server_installed,
    "holdfast: the embedded Redis server in {dir}/data: neither redis-server nor valkey-server \
    is installed. Install one (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey; macOS: brew \
    install redis), name one with HOLDFAST_EMBEDDED__SERVER, or set HOLDFAST_REDIS__URL to a Redis that runs elsewhere"
)]
#[case::named_server_missing(
    named_server_missing,
    "holdfast: the embedded Redis server in {dir}/data: \
    HOLDFAST_EMBEDDED__SERVER=/absent/redis-server is no program that can be run; name a redis-server or \
    valkey-server, or leave it unset to take the one on the PATH"
)]
#[case::second_instance(
    second_instance,
    "holdfast: the embedded Redis server in {data}: another holdfast (process {pid}) uses this \
    directory; stop it, or give this one a HOLDFAST_EMBEDDED__DATA_DIR of its own"
)]
#[case::data_dir_not_writable(
    data_dir_not_writable,
    "holdfast: the embedded Redis server in /sys: holdfast.lock cannot be written: Permission \
    denied (os error 13); let this user write there and check that the disk is not full, or set \
    HOLDFAST_EMBEDDED__DATA_DIR to another directory"
)]
#[case::data_dir_is_a_file(
    data_dir_is_a_file,
    "holdfast: the embedded Redis server in file: the directory cannot be made: File exists (os \
    error 17); set HOLDFAST_EMBEDDED__DATA_DIR to one that can be written"
)]
#[case::embedded_in_kubernetes(
    embedded_in_kubernetes,
    "holdfast: HOLDFAST_REDIS__URL is `embedded` inside Kubernetes: events would live on \
    this pod's disk and vanish with it. Set HOLDFAST_REDIS__URL to your Redis (redis://…), or, with a persistent volume \
    at HOLDFAST_EMBEDDED__DATA_DIR and one replica, HOLDFAST_REDIS__ALLOW_EMBEDDED=true"
)]
#[case::unknown_subscription(
    unknown_subscription,
    "holdfast: there is no subscription absent; see `holdfast subscriptions list`"
)]
#[case::bad_destination(
    bad_destination,
    "holdfast: DESTINATION: it starts with ftp: and events go to http:// or https:// only; write \
    http://HOST/PATH or https://HOST/PATH"
)]
#[case::bad_options(
    bad_options,
    "holdfast: the subscription has 2 problems:\n  --max-in-flight: it must be from 1 to 1024 \
    requests\n  --timeout: it must be from 100ms to 5m"
)]
#[case::publish_no_json(
    publish_no_json,
    "holdfast: nothing was published: file: the message is no JSON value, not a JSON object; send \
    one event or metric report as an object"
)]
#[case::publish_no_object(
    publish_no_object,
    "holdfast: nothing was published: file: the message is an array, not a JSON object; send one \
    event or metric report as an object"
)]
#[case::publish_no_file(
    publish_no_file,
    "holdfast: nothing was published: absent.json can't be read: No such file or directory (os \
    error 2)"
)]
fn an_error_says_what_failed_and_what_to_do(#[case] provoked: fn() -> String, #[case] text: &str) {
    assert_eq!(provoked(), text);
}
