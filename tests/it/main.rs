//! The integration tests, in one binary: linked once; real servers, no mocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod acl;
mod canaries;
mod cli;
mod config;
mod dashboards;
mod embedded;
mod engine;
mod fault_books;
mod gauges;
mod image;
mod intake;
mod k8s;
mod layers;
mod page;
mod probe;
mod redfish;
mod redis_connection;
mod renewal;
mod sender;
mod sink;
mod store;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "some of it is for the fault harness alone")]
mod support;
mod topologies;
