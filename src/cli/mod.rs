//! The command line: what each verb of `holdfast` does.
//!
//! `main` calls [`main`]. Results go to standard output and nothing else does; an error is one message on
//! standard error and exit code 1, a mistake in the arguments exit code 2.

pub mod config;
mod confirm;
mod dead_letters;
pub mod demo;
mod deployment;
mod doctor;
mod find;
mod health;
mod intake_token;
mod publish;
mod secrets;
pub mod sink;
mod sources;
mod status;
mod subscriptions;
mod table;
mod text;
mod tls;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::app;
use crate::config::Loaded;
use crate::store::StoreError;

/// Delivers Redfish events from data-centre hardware to subscribers and loses none.
#[derive(Parser)]
#[command(name = "holdfast", version, max_term_width = 110)]
#[command(after_help = "New here? `holdfast demo` shows what it does. Something wrong? Ask `holdfast doctor`.")]
struct Cli {
    /// Settings on top of config/holdfast.toml; the environment wins over both.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the service: take events in and deliver them.
    #[command(after_help = "Every setting comes from a file or the environment; `holdfast config` shows them all.")]
    Serve,
    /// Look whether all is well, and say what to do about what is not.
    Doctor(Json),
    /// Ask the process on this machine how it is: exit code 0 when it is well.
    Health(health::Args),
    /// Show every setting with its value and where that came from.
    Config(Json),
    /// Manage who gets which events.
    #[command(subcommand, visible_alias = "subs")]
    Subscriptions(Box<subscriptions::Verb>),
    /// Look after deliveries that were given up.
    #[command(subcommand)]
    DeadLetters(dead_letters::Verb),
    /// Make a token for a source, for where intake asks for one.
    IntakeToken(intake_token::Args),
    /// Look after the keys that seal what is secret in Redis.
    #[command(subcommand)]
    Secrets(secrets::Verb),
    /// Show how deliveries are going, subscription by subscription.
    Status(status::Args),
    /// Show where an event is, or the events of a source: waiting, parked, dead, or delivered a moment ago.
    Find(find::Args),
    /// Show when each source of events was heard of last, and who went silent.
    Sources(sources::Args),
    /// Put events into the stream, as the HTTP intake does.
    Publish(publish::Args),
    /// Show events being kept and delivered through an outage, a hang and a killed worker.
    Demo(demo::Args),
    /// Run a subscriber to test with.
    Sink(sink::Args),
}

/// How a listing is printed.
#[derive(Args, Clone, Copy)]
struct Json {
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// Runs the program; what `main` returns.
#[must_use]
pub fn main() -> ExitCode {
    let error = match run(Cli::parse()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    // With standard error closed as well there is nobody left to tell.
    let _unheard = writeln!(std::io::stderr(), "holdfast: {}", message(&error));
    ExitCode::FAILURE
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let out = &mut std::io::stdout();
    let file = cli.config.as_deref();
    match cli.verb {
        Verb::Serve => block_on(app::serve(load(file)?)),
        Verb::Doctor(how) => block_on(doctor::run(file, how, out)),
        Verb::Health(args) => block_on(health::run(args, &load(file)?.config, out)),
        Verb::Config(how) => config::run(file, how.json, out),
        Verb::Subscriptions(verb) => block_on(subscriptions::run(*verb, &load(file)?.config, out)),
        Verb::DeadLetters(verb) => block_on(dead_letters::run(verb, &load(file)?.config, out)),
        Verb::IntakeToken(args) => intake_token::run(&args, out),
        Verb::Secrets(verb) => block_on(secrets::run(verb, &load(file)?.config, out)),
        Verb::Status(args) => block_on(status::run(args, &load(file)?.config, out)),
        Verb::Find(args) => block_on(find::run(args, &load(file)?.config, out)),
        Verb::Sources(args) => block_on(sources::run(args, &load(file)?.config, out)),
        Verb::Publish(args) => block_on(publish::run(args, &load(file)?.config, out)),
        Verb::Demo(args) => block_on(demo::run(args)),
        Verb::Sink(args) => block_on(sink::run(args)),
    }
}

fn load(file: Option<&Path>) -> anyhow::Result<Loaded> {
    Ok(crate::config::load(file, crate::config::environment())?)
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads could be started")?;
    runtime.block_on(work)
}

/// Whoever read our output has seen enough, as with `| head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = cause
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(ErrorKind::BrokenPipe)
    })
}

/// The error with its causes, leaving out a cause that the text before it quotes already. A `StoreError` tells its
/// cause itself, and then what to do.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        if cause.is::<StoreError>() {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(cause).context("reading a failed: disk on fire");
        assert_eq!(message(&error), "reading a failed: disk on fire");
        let error = anyhow::anyhow!("no route").context("cannot connect");
        assert_eq!(message(&error), "cannot connect: no route");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = anyhow::Error::new(std::io::Error::from(ErrorKind::BrokenPipe)).context("writing");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::anyhow!("Broken pipe")));
    }
}
