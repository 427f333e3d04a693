//! The configuration as an operator meets it: files, environment, messages.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast::config::{self, Config, ConfigError, Loaded, Origin};
use secrecy::ExposeSecret;

const SHIPPED: &str = include_str!("../../config/holdfast.toml");

fn env(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    owned.into_iter()
}

/// A directory with one file, and the file.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("my.toml");
    fs::write(&path, text).expect("written");
    (directory, path)
}

fn load_env(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    config::load(None, env(variables))
}

fn load_file(text: &str) -> Result<Loaded, ConfigError> {
    let (_directory, path) = file(text);
    config::load(Some(&path), env(&[]))
}

fn complaint(result: Result<Loaded, ConfigError>) -> String {
    result.expect_err("must not load").to_string()
}

/// The shipped file with every option switched on.
fn uncommented() -> String {
    let lines = SHIPPED.lines().map(|line| match line.strip_prefix('#') {
        Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase()) => option,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_names_every_setting_with_its_default() {
    let defaults = load_env(&[]).expect("defaults are valid");
    let all = load_file(&uncommented()).expect("the shipped file is valid");
    for (setting, default) in config::describe(&all).iter().zip(config::describe(&defaults)) {
        assert_eq!(setting.value, default.value, "{}", setting.key);
        assert!(
            matches!(setting.origin, Origin::File { .. }),
            "config/holdfast.toml does not name {}",
            setting.key
        );
    }
}

#[test]
fn every_option_of_the_shipped_file_is_documented_above_it() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].starts_with('#') && pair[1].contains(" = ") && !pair[1].starts_with("# ") {
            assert!(pair[0].starts_with("# "), "no documentation above {}", pair[1]);
        }
    }
}

#[test]
fn the_shipped_file_as_it_is_changes_nothing() {
    let loaded = load_file(SHIPPED).expect("valid");
    assert!(loaded.origins.is_empty(), "{:?}", loaded.origins);
}

#[test]
fn the_environment_wins_over_the_file_and_each_value_knows_its_origin() {
    let (_directory, path) = file("[retry]\ndelay = \"7s\"\n\njitter = 0.5\n");
    let loaded = config::load(Some(&path), env(&[("HOLDFAST_RETRY__DELAY", "9s"), ("PATH", "/bin")])).expect("valid");
    assert_eq!(loaded.config.retry.delay.millis(), 9_000);
    assert_eq!(loaded.origin("retry.delay").to_string(), "HOLDFAST_RETRY__DELAY");
    assert_eq!(
        loaded.origin("retry.jitter").to_string(),
        format!("{}:4", path.display())
    );
    assert_eq!(loaded.origin("retry.backoff").to_string(), "default");
}

#[test]
fn every_kind_of_value_is_read_from_the_environment() {
    let loaded = load_env(&[
        ("HOLDFAST_RETRY__BACKOFF", "2"),
        ("HOLDFAST_RETRY__MAX_ATTEMPTS", "7"),
        ("HOLDFAST_REDIS__ALLOW_EMBEDDED", "true"),
        ("HOLDFAST_REDIS__PREFIX", "42"),
        ("HOLDFAST_EMBEDDED__MAX_MEMORY", "64MiB"),
        ("HOLDFAST_INTAKE__LISTEN", "127.0.0.1:0"),
        ("HOLDFAST_LOG__FORMAT", "json"),
        ("HOLDFAST_WORKER__NAME", ""),
    ])
    .expect("valid");
    assert_eq!(loaded.config.retry.max_attempts, 7);
    assert!(loaded.config.redis.allow_embedded);
    assert_eq!(loaded.config.redis.prefix, "42");
    assert_eq!(loaded.config.embedded.max_memory.expect("set").0, 64 << 20);
    assert_eq!(loaded.config.intake.listen.port(), 0);
    assert_eq!(loaded.config.log.format, config::LogFormat::Json);
    assert_eq!(loaded.config.worker.name, None);
}

#[test]
fn a_password_that_looks_like_a_number_works_and_is_never_shown() {
    let loaded = load_env(&[
        ("HOLDFAST_REDIS__PASSWORD", "12345"),
        ("HOLDFAST_REDIS__URL", "redis://bob:67890@host:6379"),
    ])
    .expect("valid");
    let password = loaded.config.redis.password.as_ref().expect("set");
    assert_eq!(password.expose_secret(), "12345");
    assert_eq!(loaded.config.redis.url, "redis://bob:67890@host:6379");
    let shown = format!("{loaded:?} {:?}", config::describe(&loaded));
    assert!(!shown.contains("12345") && !shown.contains("67890"), "{shown}");
    assert!(shown.contains("bob:••••••@host"), "{shown}");
}

#[test]
fn no_message_shows_a_secret() {
    let messages = [
        complaint(load_file("[redis]\npassword = 12345")),
        complaint(load_file("[redis]\npasswrod = \"12345\"")),
        complaint(load_file("[redis]\npassword = \"12345")),
        complaint(load_file("redis = \"redis://bob:12345@host\"")),
        complaint(load_file("[redis]\nurl = [\"redis://bob:12345@host\"]")),
        complaint(load_env(&[("HOLDFAST_REDIS__URL", "http://bob:12345@host")])),
        complaint(load_env(&[("HOLDFAST_REDIS__URL", "bob:12345@host")])),
        complaint(load_env(&[("HOLDFAST_REDIS__PASSWROD", "12345")])),
    ];
    for message in messages {
        assert!(!message.contains("12345"), "{message}");
    }
}

#[test]
fn every_problem_is_listed_at_once() {
    let (_directory, path) = file("[retry]\nbackoff = 0.5\ndely = \"5s\"\n[retries]\n[log]\nformat = \"xml\"\n");
    let message = complaint(config::load(
        Some(&path),
        env(&[
            ("HOLDFAST_RETRY__DELY", "5s"),
            ("HOLDFAST_RETRY_DELAY", "5s"),
            ("HOLDFAST_RETRY__DELAY", "30"),
            ("HOLDFAST_REDIS__PARTITIONS", "-1"),
            ("HOLDFAST_WORKER__HEARTBEAT", "5s"),
        ]),
    ));
    let file = path.display();
    for line in [
        format!("{file}:3: no setting is called retry.dely; did you mean retry.delay?"),
        format!("{file}:4: no section is called retries; there are serve, redis, "),
        format!("{file}:6: log.format=\"xml\": must be auto, pretty or json"),
        format!("{file}:2: retry.backoff=0.5: must be a number from 1.0"),
        "HOLDFAST_RETRY__DELY: no such setting; did you mean HOLDFAST_RETRY__DELAY?".to_owned(),
        "HOLDFAST_RETRY_DELAY: no such setting; did you mean HOLDFAST_RETRY__DELAY?".to_owned(),
        "HOLDFAST_RETRY__DELAY=\"30\": must be a duration such as".to_owned(),
        "HOLDFAST_REDIS__PARTITIONS=\"-1\": must be a whole number from 1 to 1024".to_owned(),
        "HOLDFAST_WORKER__HEARTBEAT: worker.heartbeat (\"5s\") must be at most a quarter of worker.dead_after (\"10s\")"
            .to_owned(),
    ] {
        assert!(message.contains(&line), "{line}\nis not in\n{message}");
    }
    assert!(message.contains("9 problems"), "{message}");
}

#[test]
fn values_out_of_range_are_refused_with_what_is_allowed() {
    for (name, value) in [
        ("HOLDFAST_RETRY__BACKOFF", "0.9"),
        ("HOLDFAST_RETRY__BACKOFF", "NaN"),
        ("HOLDFAST_RETRY__JITTER", "1.0"),
        ("HOLDFAST_RETRY__DELAY", "0s"),
        ("HOLDFAST_RETRY__MAX_DELAY", "31d"),
        ("HOLDFAST_RETRY__RETRY_AFTER_MIN", "1h"),
        ("HOLDFAST_INTAKE__MEMORY_WARN", "0.8"),
        ("HOLDFAST_INTAKE__MEMORY_REFUSE", "0.96"),
        ("HOLDFAST_REDIS__PARTITIONS", "0"),
        ("HOLDFAST_REDIS__PARTITIONS", "1025"),
        ("HOLDFAST_REDIS__PREFIX", "a{b}"),
        ("HOLDFAST_REDIS__PREFIX", ""),
        ("HOLDFAST_REDIS__POOL", "0"),
        ("HOLDFAST_REDIS__URL", "http://host"),
        ("HOLDFAST_EMBEDDED__FSYNC", "sometimes"),
        ("HOLDFAST_WORKER__READ_BLOCK", "6s"),
        ("HOLDFAST_WORKER__DEAD_AFTER", "4s"),
        ("HOLDFAST_INTAKE__LISTEN", "8080"),
        ("HOLDFAST_REDIS__ALLOW_EMBEDDED", "yes"),
    ] {
        let message = complaint(load_env(&[(name, value)]));
        assert!(
            message.contains(name) && message.contains("must be"),
            "{name}={value}: {message}"
        );
        assert!(!message.contains("problems"), "{name}={value}: {message}");
    }
}

#[test]
fn kubernetes_service_links_are_ignored() {
    load_env(&[
        ("HOLDFAST_PORT", "tcp://10.0.0.1:8080"),
        ("HOLDFAST_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("HOLDFAST_REDIS_PORT", "tcp://10.0.0.2:6379"),
        ("HOLDFAST_REDIS_SERVICE_HOST", "10.0.0.2"),
        ("HOLDFAST_SERVICE_PORT_HTTP", "8080"),
    ])
    .expect("service links stop no start");
}

#[test]
fn a_file_that_was_named_must_be_there_and_be_toml() {
    let missing = complaint(config::load(Some(Path::new("/nowhere/my.toml")), env(&[])));
    assert!(missing.contains("/nowhere/my.toml"), "{missing}");
    let broken = complaint(load_file("[retry]\ndelay = = 5\n"));
    assert!(broken.contains("my.toml:2: not valid TOML"), "{broken}");
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    let Config { retry, worker, .. } = Config::default();
    assert_eq!((retry.delay.millis(), retry.max_delay.millis()), (5_000, 60_000));
    assert_eq!((worker.heartbeat.millis(), worker.dead_after.millis()), (2_000, 10_000));
}

#[test]
fn a_wait_longer_than_the_longest_is_taken_at_its_word() {
    let loaded = load_env(&[("HOLDFAST_RETRY__DELAY", "5m"), ("HOLDFAST_DELIVERY__TIMEOUT", "2s")]);
    assert_eq!(loaded.unwrap().config.retry.delay.millis(), 300_000);
}
