//! The command line: what each command of `holdfast` does.

pub mod config;
pub mod sink;
