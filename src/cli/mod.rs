//! The command line: what each command of `holdfast` does.

pub mod config;
pub mod demo;
pub mod sink;
