//! The subscribers: one process with as many ports as asked for, the same for Holdfast and for the bare loop.
//!
//! Commands go to its standard input, answers come from its standard output; it ends with this process.

pub(crate) mod server;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How a port behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answers with this status at once.
    Answer(u16),
    /// Answers 200 after so long.
    Slow(Duration),
    /// Takes requests and never answers.
    Hang,
}

/// One delivery, when its request had arrived whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Which of the ports.
    pub(crate) port: usize,
    /// What it was answered; 0 for nothing.
    pub(crate) status: u16,
    /// Since the epoch.
    pub(crate) at: Duration,
    /// A hash of its id, see [`hash`].
    pub(crate) id: u64,
}

/// A running sink.
pub(crate) struct Sink {
    process: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    ports: Vec<u16>,
}

impl Sink {
    /// Starts one with so many ports; all answer 200.
    pub(crate) async fn start(ports: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["sink", &ports.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut sink = Self {
            process,
            commands,
            answers,
            ports: Vec::new(),
        };
        sink.ports = numbers(&sink.line().await)
            .map(|port| u16::try_from(port).unwrap())
            .collect();
        sink
    }

    /// The destination at a port.
    pub(crate) fn url(&self, port: usize) -> String {
        format!("http://127.0.0.1:{}/redfish/events", self.ports[port])
    }

    /// How many ports it has.
    pub(crate) fn ports(&self) -> usize {
        self.ports.len()
    }

    /// The number of a port.
    pub(crate) fn port(&self, port: usize) -> u16 {
        self.ports[port]
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Changes how some ports behave from the next request on; answers when that was, since the epoch.
    pub(crate) async fn set_mode(&mut self, ports: Range<usize>, mode: Mode) -> Duration {
        let (status, after) = match mode {
            Mode::Answer(status) => (status, Duration::ZERO),
            Mode::Slow(after) => (200, after),
            Mode::Hang => (0, Duration::ZERO),
        };
        let (first, end, after) = (ports.start, ports.end, after.as_millis());
        let answer = self.ask(&format!("mode {first} {end} {status} {after}")).await;
        Duration::from_nanos(numbers(&answer).next().unwrap())
    }

    /// Forgets every request so far.
    pub(crate) async fn clear(&mut self) {
        self.ask("clear").await;
    }

    /// Deliveries since then: how many were answered 2xx, and all.
    pub(crate) async fn counts(&mut self) -> (usize, usize) {
        let answer = self.ask("counts").await;
        let mut counts = numbers(&answer).map(|count| usize::try_from(count).unwrap());
        (counts.next().unwrap(), counts.next().unwrap())
    }

    /// Waits until so many requests were answered 2xx.
    pub(crate) async fn accepted(&mut self, count: usize) {
        self.wait(count, |(accepted, _)| accepted).await;
    }

    /// Waits until so many requests have come.
    pub(crate) async fn requested(&mut self, count: usize) {
        self.wait(count, |(_, requests)| requests).await;
    }

    async fn wait(&mut self, count: usize, of: fn((usize, usize)) -> usize) {
        let started = tokio::time::Instant::now();
        let mut seen = 0;
        while seen < count {
            assert!(
                started.elapsed() < crate::SOON,
                "the subscribers saw {seen} of {count} in {:?}",
                crate::SOON
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen = of(self.counts().await);
        }
    }

    /// Every request since the last `clear`, in order of arrival.
    pub(crate) async fn arrivals(&mut self) -> Vec<Arrival> {
        let count = numbers(&self.ask("arrivals").await).next().unwrap();
        let mut arrivals = Vec::with_capacity(usize::try_from(count).unwrap());
        for _ in 0..count {
            let line = self.line().await;
            let mut cells = numbers(&line);
            let mut next = || cells.next().unwrap();
            arrivals.push(Arrival {
                port: usize::try_from(next()).unwrap(),
                status: u16::try_from(next()).unwrap(),
                at: Duration::from_nanos(next()),
                id: next(),
            });
        }
        arrivals
    }

    async fn ask(&mut self, command: &str) -> String {
        self.commands.write_all(command.as_bytes()).await.unwrap();
        self.commands.write_all(b"\n").await.unwrap();
        self.line().await
    }

    async fn line(&mut self) -> String {
        self.answers.next_line().await.unwrap().expect("the sink lives")
    }
}

fn numbers(line: &str) -> impl Iterator<Item = u64> + '_ {
    line.split(' ').map(|number| number.parse().unwrap())
}

/// What a sink remembers of a delivery's id.
pub(crate) fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
