//! `./dev bench [NAME…]`: the figures that Holdfast is held to, measured on this machine.
//!
//! The worker, the subscribers (`sink`) and Redis are processes of their own; this one only drives them and
//! runs the bare loop that Holdfast is compared with. A benchmark that loses or doubles a delivery fails.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on should stop where it stands"
)]

mod bare;
mod coalescing;
mod counter;
mod dead;
mod deployment;
mod direct;
mod drain;
mod events;
mod footprint;
mod idle;
mod isolation;
mod latency;
mod lateness;
mod link;
mod matching;
mod output;
mod process;
mod scale;
mod sink;
mod stats;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests, which use more of it")]
mod support;
mod takeover;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use self::output::{Report, Row};

/// The program's, so that the bare loop is no worse off.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Far longer than anything that is waited for takes on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// Measures Holdfast on this machine; without a name, everything.
#[derive(Parser)]
#[command(name = "./dev bench", max_term_width = 110, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    process: Option<Process>,
    /// What to measure.
    names: Vec<String>,
    /// Small sizes and one run: shows that every benchmark works and that nothing is lost; judges nothing.
    #[arg(long)]
    quick: bool,
    /// How often each comparison is made.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// A setting for every worker, to see what it changes: HOLDFAST_WORKER__READ_BATCH=256.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Where the JSON and the Markdown table are written.
    #[arg(long, value_name = "DIR", default_value_os_t = default_directory())]
    out: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Process {
    /// The subscribers, on so many ports; started by the benchmark itself.
    #[command(hide = true)]
    Sink { ports: usize },
}

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    quick: bool,
    runs: u32,
}

impl Plan {
    /// The size of something: full, or reduced for a quick look.
    fn size(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// A benchmark's name, and what it measures.
const BENCHMARKS: [(&str, &str); 13] = [
    (
        "direct",
        "direct deliveries, one event to one subscriber, against a bare loop",
    ),
    ("fan-out", "the same, one event to ten subscribers"),
    ("isolation", "the healthy while half of 100 subscribers hang"),
    (
        "drain",
        "a subscriber that comes back: first delivery, and 100,000 of them",
    ),
    (
        "coalescing",
        "a backlog over a long link: events that travel together against one by one",
    ),
    (
        "dead",
        "what a dead subscriber costs, with 1,000 and with 1,000,000 parked",
    ),
    ("footprint", "Redis memory of a parked delivery"),
    ("latency", "from the writing of an event to its POST"),
    ("lateness", "from the due time of a subscription to its probe"),
    ("idle", "Redis commands of an idle worker"),
    ("matching", "one event against 10,000 subscriptions"),
    ("takeover", "a killed worker"),
    ("scale", "1, 2 and 4 workers; one more, and one killed at full load"),
];

async fn measure(name: &str, plan: Plan) -> Vec<Row> {
    match name {
        "direct" => direct::measure(plan, 1).await,
        "fan-out" => direct::measure(plan, 10).await,
        "isolation" => isolation::measure(plan).await,
        "drain" => drain::measure(plan).await,
        "coalescing" => coalescing::measure(plan).await,
        "dead" => dead::measure(plan).await,
        "footprint" => footprint::measure(plan).await,
        "latency" => latency::measure(plan).await,
        "lateness" => lateness::measure(plan).await,
        "idle" => idle::measure(plan).await,
        "matching" => matching::measure(plan),
        "takeover" => takeover::measure(plan).await,
        "scale" => scale::measure(plan).await,
        other => unreachable!("{other} was checked before"),
    }
}

fn main() {
    let cli = Cli::parse();
    if let Some(Process::Sink { ports }) = cli.process {
        return sink::server::main(ports);
    }
    let known = |name: &&str| BENCHMARKS.iter().any(|(known, _)| known == name);
    let names: Vec<&str> = match cli.names.len() {
        0 => BENCHMARKS.iter().map(|(name, _)| *name).collect(),
        _ => cli.names.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        eprintln!("bench: {unknown:?} is no benchmark; there are:");
        for (name, what) in BENCHMARKS {
            eprintln!("  {name:<10} {what}");
        }
        std::process::exit(2);
    }
    let plan = Plan {
        quick: cli.quick,
        runs: if cli.quick { 1 } else { cli.runs },
    };
    deployment::set_for_all(cli.settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&names, plan, &cli.out));
}

/// Runs the benchmarks one after the other and writes down what is known after each.
async fn run(names: &[&str], plan: Plan, out: &Path) {
    let mut report = Report::new(plan);
    println!("{}", report.machine());
    for name in names {
        let started = Instant::now();
        println!("\n== {name}");
        let rows = measure(name, plan).await;
        report.add(rows);
        println!("   ({:.0} s)", started.elapsed().as_secs_f64());
        report.write(out);
    }
    println!("\n{}", report.table());
    println!("written to {}", out.display());
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `bench` in cargo's target directory.
fn default_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench")
}
