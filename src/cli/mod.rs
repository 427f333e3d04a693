//! The command line.

pub mod sink;
