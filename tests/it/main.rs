//! The integration tests: one binary, real servers, no mocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod embedded;
mod probe;
mod redis_connection;
mod sink;
mod support;
mod topologies;
