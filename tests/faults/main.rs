//! The fault harness: tries to make Holdfast lose an event, black box: real processes, real Redis, real sockets.
//!
//! `./dev faults` plays every fault of the catalogue, each on a stage of its own: subscribers, a backlog, a load
//! that goes on. After the fault everything drains and the books are closed. `--minutes` mixes faults at random.
#![expect(clippy::unwrap_used, reason = "a run that cannot go on should stop where it stands")]

mod audience;
mod books;
mod catalogue;
mod check;
mod fixtures;
mod ground;
mod kinds;
mod mix;
mod producer;
mod report;
mod run;
mod sabotage;
mod servers;
mod stage;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "some of it is for the integration tests alone")]
mod support;
mod tls;
mod trail;

use std::process::ExitCode;

use clap::Parser;

use catalogue::{FAULTS, Fault};
use check::Verdict;
use report::Row;

/// Tries to make Holdfast lose an event.
#[derive(Parser)]
struct Args {
    /// Decides everything that is left to chance.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these faults, by name or number.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Only the selection that every change is tried with.
    #[arg(long)]
    ci: bool,
    /// Random mixes of faults for so long, in place of each fault alone.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Try the harness itself: do what it must find.
    #[arg(long)]
    self_test: bool,
    /// Name all faults and play none.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        FAULTS
            .iter()
            .for_each(|fault| println!("{:>2} {}", fault.number, fault.name));
        return ExitCode::SUCCESS;
    }
    // What is wrong is in the verdict; where in the harness it was noticed helps nobody.
    std::panic::set_hook(Box::new(|_| {}));
    let seed = args.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    if args.self_test || args.ci {
        let missed = sabotage::undetected(seed).await;
        if args.self_test || !missed.is_empty() {
            return code(missed.is_empty());
        }
    }
    let mut rows = Vec::new();
    if let Some(minutes) = args.minutes {
        for seed in mix::seeds(seed, minutes) {
            println!("   mix of seed {seed} …");
            rows.push(said(0, "mix", mixed(seed).await));
        }
    } else {
        for fault in FAULTS.iter().filter(|fault| is_chosen(&args, fault)) {
            println!("{:>2} {} …", fault.number, fault.name);
            rows.push(said(fault.number, fault.name, played(fault, seed).await));
        }
    }
    report::print(&rows, seed);
    code(!rows.is_empty() && !rows.iter().any(Row::is_failure))
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a row as soon as it is known.
fn said(number: u8, name: &'static str, result: Result<Verdict, String>) -> Row {
    let row = Row { number, name, result };
    println!("{}", report::line(&row));
    for problem in row.problems() {
        println!("     {problem}");
    }
    row
}

/// Plays a mix, or says why it can't be played here.
async fn mixed(seed: u64) -> Result<Verdict, String> {
    let setting = mix::ground(seed).setting();
    let fixture = setting.needs.make()?;
    Ok(run::play("mix", seed, setting, fixture, mix::round).await)
}

/// Plays a fault, or says why it can't be played here.
async fn played(fault: &Fault, seed: u64) -> Result<Verdict, String> {
    let setting = fault.ground.setting();
    let fixture = setting.needs.make()?;
    let mut verdict = run::play(fault.name, seed, setting, fixture, fault.act).await;
    if fault.once && verdict.duplicates > 0 {
        let duplicates = verdict.duplicates;
        verdict
            .problems
            .push(format!("{duplicates} duplicates, without a reason for one"));
    }
    Ok(verdict)
}

fn is_chosen(args: &Args, fault: &Fault) -> bool {
    let named = |wanted: &String| *wanted == fault.name || *wanted == fault.number.to_string();
    if args.only.is_empty() {
        !args.ci || fault.in_ci
    } else {
        args.only.iter().any(named)
    }
}
