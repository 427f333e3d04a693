//! What every setting is when nobody sets it.
//!
//! `config/holdfast.toml` repeats these values as documentation; a test compares the two.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::units::{Period, Size};

use super::{
    Admin, Certificates, Delivery, Embedded, Intake, Limits, Log, LogFormat, Recent, Redfish, Redis, Retry, Worker,
};

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: "embedded".to_owned(),
            username: None,
            password: None,
            ca_file: None,
            prefix: "holdfast".to_owned(),
            partitions: 1,
            command_timeout: Period::from_secs(5),
            pool: 2,
            confirm_replicas: 0,
            confirm_timeout: Period::from_secs(1),
            allow_embedded: false,
        }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("holdfast-data"),
            server: None,
            max_memory: None,
            fsync: "everysec".to_owned(),
        }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            wait: Period::from_secs(5),
            max_waiting: 1024,
            max_waiting_bytes: Size(64 << 20),
            max_body: Size(1 << 20),
            read_timeout: Period::from_secs(10),
            max_connections: 4096,
            max_connections_per_client: 1024,
            rate: 0,
            rate_per_source: 0,
            tokens_file: None,
            certificate: None,
            key: None,
            client_ca: None,
            memory_warn: 0.6,
            memory_refuse: 0.8,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9090)),
            max_subscription_labels: 200,
            refresh: Period::from_secs(5),
            peers: None,
        }
    }
}

impl Default for Redfish {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            certificate: None,
            key: None,
            admin_user: "admin".to_owned(),
            admin_password: None,
            session_timeout: Period::from_secs(30 * 60),
            lockout_threshold: 5,
            lockout_duration: Period::from_secs(60),
            lockout_reset: Period::from_secs(60),
            max_connections_per_client: 256,
            max_subscriptions: 10_000,
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            check: Period::from_secs(30),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            direct_wait: Period::from_secs(1),
            connect_timeout: Period::from_secs(5),
            timeout: Period::from_secs(10),
            max_in_flight: 16,
            coalesce_records: 256,
            pod_max_in_flight: 512,
            pod_max_bytes: Size(32 << 20),
            heartbeat_minute: Period::from_secs(60),
            idle_connection: Period::from_secs(3),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            delay: Period::from_secs(5),
            backoff: 2.0,
            max_delay: Period::from_secs(60),
            jitter: 0.2,
            max_attempts: 0,
            refused_attempts: 5,
            retry_after_min: Period::from_secs(1),
            retry_after_max: Period::from_secs(15 * 60),
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: None,
            read_batch: 512,
            max_events: 1024,
            read_block: Period::from_secs(2),
            max_drains: 1024,
            heartbeat: Period::from_secs(2),
            dead_after: Period::from_secs(10),
            sweep: Period::from_secs(5),
            registry_refresh: Period::from_secs(1),
            scheduler_sleep: Period::from_secs(2),
            audit: Period::from_secs(60),
            drain_delay: Period::from_secs(5),
            shutdown_deadline: Period::from_secs(20),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            check: Period::from_secs(5),
            overflow_dir: None,
        }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            max_age: Period::from_secs(15 * 60),
            max_bytes: Size(16 << 20),
            trim: Period::from_secs(5),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
        }
    }
}
