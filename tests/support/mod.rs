//! What the integration tests, the fault harness and the benchmark share: real servers, a real binary, a proxy that misbehaves, and waiting.
//!
//! Everything started here is stopped by its own process id when dropped. Nothing sleeps for a fixed
//! time: tests wait for what they want to see.

mod aof;
pub(crate) mod certificates;
mod cluster;
mod holdfast;
mod metrics;
mod ports;
mod proxy;
mod redis;
mod sentinel;
mod signals;
mod times;
mod wait;

pub(crate) use aof::Aof;
pub(crate) use certificates::{Certificates, certificates};
pub(crate) use cluster::cluster;
pub(crate) use holdfast::{Holdfast, LOOPBACK};
pub(crate) use metrics::metrics;
pub(crate) use ports::{free_port, free_ports};
pub(crate) use proxy::Proxy;
pub(crate) use redis::{TestRedis, login};
pub(crate) use sentinel::Sentinel;
pub(crate) use signals::{exists, signal};
pub(crate) use times::{DEAD_AFTER, SHORT_TIMES};
pub(crate) use wait::{holds, wait_until};
