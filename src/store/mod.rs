//! The only code that knows Redis: how it is reached, what is asked of it, and the private server.

pub mod connect;
pub mod embedded;
pub mod error;
mod link;
pub mod permissions;
pub mod probe;
mod target;
