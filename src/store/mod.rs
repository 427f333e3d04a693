//! The only code that knows Redis: how it is reached, what is asked of it, and the private server.

pub mod connect;
pub mod embedded;
pub mod error;
mod link;

mod target;
