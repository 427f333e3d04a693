//! Every setting of the service: one struct per section, each field with its unit and default.
//!
//! Values come from the built-in defaults, then `config/holdfast.toml`, then the file named by `--config`,
//! then the environment (`HOLDFAST_<SECTION>__<KEY>`); see [`load()`]. The structs are the only list of
//! settings: names, documentation and the messages about misspelt ones are derived from them.

mod defaults;
mod environment;
mod file;
mod load;
mod origin;
mod problems;
mod rules;
mod secret;

pub use load::{Loaded, environment, load};
pub use origin::{Origin, Setting, describe};
pub use problems::ConfigError;

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::domain::guard::{Entries, Guard};
use crate::domain::units::{Period, Size};

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What this process does.
    pub serve: Serve,
    /// Where the events are kept.
    pub redis: Redis,
    /// The private Redis server, used when `redis.url` is `embedded`.
    pub embedded: Embedded,
    /// The HTTP listener that takes events in.
    pub intake: Intake,
    /// The listener for metrics, health and the page.
    pub admin: Admin,
    /// The Redfish service.
    pub redfish: Redfish,
    /// How certificates that are given as files are kept up to date.
    pub certificates: Certificates,
    /// How one delivery is sent.
    pub delivery: Delivery,
    /// When a delivery is tried again, and when it is given up.
    pub retry: Retry,
    /// The worker's loops: reading, heartbeats, takeover, shutdown.
    pub worker: Worker,
    /// How limits of subscriptions are kept.
    pub limits: Limits,
    /// What is remembered of settled events.
    pub recent: Recent,
    /// Where events may be sent.
    pub destinations: Destinations,
    /// How secrets are kept in Redis.
    pub secrets: Secrets,
    /// Log output.
    pub log: Log,
}

impl Config {
    /// What decides where events may be sent.
    #[must_use]
    pub fn guard(&self) -> Guard {
        let own = vec![self.intake.listen, self.admin.listen, self.redfish.listen];
        Guard::new(self.destinations.allow.clone(), self.destinations.deny.clone(), own)
    }
}

/// What one process of `holdfast serve` does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Its part in the deployment.
    pub role: Role,
}

/// The part of a process in the deployment, so that taking in and delivering scale apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes events in and delivers them.
    #[default]
    All,
    /// Takes events in and serves Redfish; delivers nothing.
    Api,
    /// Delivers; listens for metrics and health alone.
    Worker,
}

impl Role {
    /// Whether it takes events in and serves Redfish.
    #[must_use]
    pub fn takes_in(self) -> bool {
        self != Self::Worker
    }

    /// Whether it delivers.
    #[must_use]
    pub fn delivers(self) -> bool {
        self != Self::Api
    }
}

/// The Redis deployment that holds the events. Its `Debug` and serialised forms never show a password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// `embedded`, `redis://`, `rediss://`, `redis-sentinel://`, `redis-cluster://` or `redis+unix://`.
    #[serde(serialize_with = "secret::serialize_url")]
    pub url: String,
    /// ACL user; overrides the one in the URL.
    pub username: Option<String>,
    /// Password; overrides the one in the URL.
    #[serde(serialize_with = "secret::serialize_masked")]
    pub password: Option<SecretString>,
    /// PEM file with the authorities trusted for `rediss://`; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// First part of every key.
    pub prefix: String,
    /// Number of partitions; it may grow, never shrink while a higher one holds anything.
    pub partitions: u16,
    /// How long one command may take before it counts as failed.
    pub command_timeout: Period,
    /// Connections for everything but blocking reads.
    pub pool: usize,
    /// How many replicas must have an event before it counts as accepted; 0 asks for the master alone.
    pub confirm_replicas: u32,
    /// How long those replicas may take.
    pub confirm_timeout: Period,
    /// Allows `embedded` inside Kubernetes, where the disk may be ephemeral.
    pub allow_embedded: bool,
}

/// The private Redis server that Holdfast starts and supervises.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embedded {
    /// Where its append-only file, socket, log and lock live.
    pub data_dir: PathBuf,
    /// The server to run; `redis-server`, else `valkey-server`, from the PATH where absent.
    pub server: Option<PathBuf>,
    /// `maxmemory`; half of the memory of the machine or cgroup where absent.
    pub max_memory: Option<Size>,
    /// `appendfsync`: `always`, `everysec` or `no`.
    pub fsync: String,
}

/// Taking events in over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intake {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// How long a request waits for Redis before it is answered 503.
    pub wait: Period,
    /// How many requests may wait at once.
    pub max_waiting: usize,
    /// How many bytes of bodies may wait at once.
    pub max_waiting_bytes: Size,
    /// The largest body taken.
    pub max_body: Size,
    /// How long a client may take to send its request.
    pub read_timeout: Period,
    /// Connections at once; further ones wait.
    pub max_connections: usize,
    /// Connections at once from one address, closed beyond that; 0 sets no limit.
    pub max_connections_per_client: usize,
    /// Events a second, all sources together, over ten seconds; 0 sets no limit.
    pub rate: u32,
    /// Events a second from one source, over ten seconds; 0 sets no limit.
    pub rate_per_source: u32,
    /// File with the sources and the hashes of their tokens; without it no token is asked for.
    pub tokens_file: Option<PathBuf>,
    /// PEM file with the certificate, intermediates after it; plain HTTP where absent.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities whose certificates clients must show; none is asked for where absent.
    pub client_ca: Option<PathBuf>,
    /// Share of Redis' memory limit from which a warning is logged.
    pub memory_warn: f64,
    /// Share of Redis' memory limit from which events are refused with 503.
    pub memory_refuse: f64,
}

/// Metrics, health and the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// At most this many subscriptions have series of their own; the rest share `other`.
    pub max_subscription_labels: usize,
    /// How often the gauges that mirror Redis are read.
    pub refresh: Period,
    /// Where the admin listeners of all pods are found, `host:port` with commas between them; asked while Redis is away.
    pub peers: Option<String>,
}

/// The Redfish service. Its `Debug` and serialised forms never show the password.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redfish {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Address and port to listen on, HTTPS only.
    pub listen: SocketAddr,
    /// PEM file with the certificate, intermediates after it; a self-signed one is made and kept where absent.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub key: Option<PathBuf>,
    /// Name of the first administrator.
    pub admin_user: String,
    /// Its password; one is generated and printed once where absent.
    #[serde(serialize_with = "secret::serialize_masked")]
    pub admin_password: Option<SecretString>,
    /// A session ends when it was not used for so long, in whole seconds.
    pub session_timeout: Period,
    /// Wrong passwords in a row that lock an account; 0 never does.
    pub lockout_threshold: u32,
    /// How long it stays locked, in whole seconds.
    pub lockout_duration: Period,
    /// Wrong passwords are forgotten when none came for so long, in whole seconds.
    pub lockout_reset: Period,
    /// Connections at once from one address, closed beyond that; 0 sets no limit.
    pub max_connections_per_client: usize,
    /// Subscriptions at once, event streams among them; a further one is refused over Redfish.
    pub max_subscriptions: usize,
}

/// Certificates that are given as files: those of Redfish and intake, and the authorities of Redis.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// How often the files are looked at; those that were renewed are in force then.
    pub check: Period,
}

/// Sending to subscribers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// How long a direct delivery waits for a free slot before it is parked.
    pub direct_wait: Period,
    /// How long a connection may take to be made, TLS included; never longer than `timeout`.
    pub connect_timeout: Period,
    /// Deadline of one request from connect to the last byte of the answer.
    pub timeout: Period,
    /// Requests at once to one subscriber from one pod.
    pub max_in_flight: u32,
    /// Records of several parked events that one message may carry to a subscriber that catches up; 1 sends each event
    /// by itself.
    pub coalesce_records: u32,
    /// Requests at once from one pod, all subscribers together; the first to each subscriber needs none of them.
    pub pod_max_in_flight: usize,
    /// Bytes of request bodies at once in one pod.
    pub pod_max_bytes: Size,
    /// What a minute of a subscription's heartbeat interval is; shorter for trying it out.
    pub heartbeat_minute: Period,
    /// How long an idle connection to a subscriber is kept.
    pub idle_connection: Period,
}

/// Retries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The wait period: from a failure to the first probe.
    pub delay: Period,
    /// Factor from one wait to the next; 1.0 is constant.
    pub backoff: f64,
    /// No wait is longer than this (nor than `delay`, where that is longer).
    pub max_delay: Period,
    /// Each wait is varied by up to this share, so that subscribers do not come due together.
    pub jitter: f64,
    /// Failed attempts before the subscription's DeliveryRetryPolicy acts; 0 is for ever.
    pub max_attempts: u32,
    /// Refusals (3xx, 4xx) of one delivery before it becomes a dead letter.
    pub refused_attempts: u32,
    /// A shorter Retry-After counts as this.
    pub retry_after_min: Period,
    /// A longer Retry-After counts as this.
    pub retry_after_max: Period,
}

/// The loops of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// First part of this worker's name; the host name where absent. A random part is added at each start.
    pub name: Option<String>,
    /// Entries read at once, at most.
    pub read_batch: usize,
    /// Events read and not settled yet, at most; one counts once for every 8 KiB.
    pub max_events: usize,
    /// How long a read waits for entries; also how long an idle stop may take.
    pub read_block: Period,
    /// Drains at once in this pod.
    pub max_drains: usize,
    /// How often the worker tells that it lives.
    pub heartbeat: Period,
    /// A worker silent for this long is taken over by its peers.
    pub dead_after: Period,
    /// How often the worker looks for entries of its own that it lost sight of.
    pub sweep: Period,
    /// How often a change of the subscriptions is looked for.
    pub registry_refresh: Period,
    /// The scheduler sleeps no longer than this.
    pub scheduler_sleep: Period,
    /// How often every retry queue is checked and repaired.
    pub audit: Period,
    /// After SIGTERM, how long intake goes on while load balancers notice.
    pub drain_delay: Period,
    /// After that, how long requests in flight may take to finish.
    pub shutdown_deadline: Period,
}

/// Keeping the limits that subscriptions have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How often queues are compared with their limits.
    pub check: Period,
    /// Where deliveries go that overflow to a file, one file for each subscription; nowhere where absent.
    pub overflow_dir: Option<PathBuf>,
}

/// What is remembered of settled events, for `holdfast find`. It is the first to go when Redis fills up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recent {
    /// How long a settled event is remembered; zero remembers none.
    pub max_age: Period,
    /// How much of Redis' memory that may take, all partitions together; zero remembers none.
    pub max_bytes: Size,
    /// How often what is too old or too much is dropped.
    pub trim: Period,
}

/// Where events may be sent. Link-local, multicast and the like never are; this machine's own addresses only where
/// they are allowed here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Destinations {
    /// The only places allowed, where there is an entry that is not within loopback; everything else where absent.
    pub allow: Entries,
    /// Places that are refused, also where `allow` has them.
    pub deny: Entries,
}

/// The keys that seal secrets in Redis: header values, signing secrets, private keys. Shown masked, always.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// Seals and opens: 32 random bytes in base64; secrets are kept as plain text where no key is set at all.
    #[serde(serialize_with = "secret::serialize_masked")]
    pub key: Option<SecretString>,
    /// A file with keys, one a line; where `key` is absent the first one seals. All of them open.
    pub key_file: Option<PathBuf>,
    /// Keys that only open what was sealed before a rotation, separated by commas.
    #[serde(serialize_with = "secret::serialize_masked")]
    pub previous_keys: Option<SecretString>,
}

/// Logs, on standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `auto` (pretty on a terminal, JSON otherwise), `pretty` or `json`.
    pub format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or `module=level` directives.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Coloured text.
    Pretty,
    /// One JSON object a line.
    Json,
}
