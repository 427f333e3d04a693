//! The errors that operators meet most, word by word: what failed, on what, and what to do.
//!
//! One row each: how it is provoked (`provoke`), on the real binary, and the exact text. In braces stands what differs
//! from run to run.

mod provoke;

use rstest::rstest;

use self::provoke::*;

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
#[case::redfish_port_taken(
    redfish_port_taken,
    "holdfast: the Redfish listener can't listen on {address}: Address already in use (os error \
    98); set HOLDFAST_REDFISH__LISTEN to a free address and port"
)]
#[case::no_certificate(
    no_certificate,
    "holdfast: the certificate can't be read from absent.pem: No such file or directory (os \
    error 2); see HOLDFAST_REDFISH__CERTIFICATE and HOLDFAST_REDFISH__KEY"
)]
#[case::certificate_without_key(
    certificate_without_key,
    "holdfast: the configuration can't be used: HOLDFAST_REDFISH__CERTIFICATE: \
    redfish.certificate (\"absent.pem\") must be set together with redfish.key (null)"
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
    "holdfast: HOLDFAST_REDIS__CA_FILE=/absent/ca.pem cannot be used: No such file or directory \
    (os error 2); name a readable PEM file with certificates"
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
    "holdfast: nothing was published: file: the message is not JSON; send one event or \
    metric report as a JSON object"
)]
#[case::publish_no_object(
    publish_no_object,
    "holdfast: nothing was published: file: the message is an array; send one event or \
    metric report as a JSON object"
)]
#[case::publish_no_file(
    publish_no_file,
    "holdfast: nothing was published: absent.json can't be read: No such file or directory (os \
    error 2)"
)]
fn an_error_says_what_failed_and_what_to_do(#[case] provoked: fn() -> String, #[case] text: &str) {
    assert_eq!(provoked(), text);
}
