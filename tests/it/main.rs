//! The integration tests, in one binary: linked once, and each module may use the others.

mod config;
mod layers;
