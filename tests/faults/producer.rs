//! Sends numbered events without pause, over HTTP and straight into the stream, and notes what it was told about
//! each.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast::store::frame::Frame;
use holdfast::store::{Store, StoreError};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::books::Outcome;

/// Time between two events.
const PACE: Duration = Duration::from_millis(8);
/// Events that wait for their answers at once, at most; the next ones are not sent meanwhile.
const MOST_WAITING: usize = 64;
/// Every so many events are written straight into the stream.
const STRAIGHT: u64 = 5;
const SOURCES: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// One event's line in the log.
#[derive(Debug, Clone)]
struct Line {
    at: Duration,
    outcome: Outcome,
    told: String,
}

/// The producer; what it sent stays known after it was stopped.
pub(crate) struct Producer {
    desk: Arc<Desk>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

struct Desk {
    seed: u64,
    started: Instant,
    store: Arc<Store>,
    client: reqwest::Client,
    /// The intakes of the pods that are there.
    intakes: Mutex<Vec<String>>,
    next: AtomicU64,
    log: Mutex<HashMap<u64, Line>>,
}

impl Producer {
    pub(crate) fn new(seed: u64, store: Arc<Store>) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self {
            desk: Arc::new(Desk {
                seed,
                started: Instant::now(),
                store,
                client,
                intakes: Mutex::default(),
                next: AtomicU64::new(0),
                log: Mutex::default(),
            }),
            running: None,
        }
    }

    /// The pods that may be sent to from now on.
    pub(crate) fn aim(&self, intakes: Vec<String>) {
        *self.desk.intakes.lock().unwrap() = intakes;
    }

    /// Writes so many events into the stream, one after the other; answers their numbers.
    pub(crate) async fn write(&self, count: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            let number = self.desk.next.fetch_add(1, Ordering::Relaxed);
            let (outcome, told) = self.desk.write(number).await;
            self.desk.note(number, outcome, told);
            numbers.push(number);
        }
        numbers
    }

    /// Begins to send.
    pub(crate) fn start(&mut self) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.desk.clone().run(stop.clone()));
        self.running = Some((stop, task));
    }

    /// Ends, once every event sent has its outcome.
    pub(crate) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    /// What it was told about each event.
    pub(crate) fn sent(&self) -> HashMap<u64, Outcome> {
        let log = self.desk.log.lock().unwrap();
        log.iter().map(|(number, line)| (*number, line.outcome)).collect()
    }

    /// The number that the next event gets.
    pub(crate) fn next(&self) -> u64 {
        self.desk.next.load(Ordering::Relaxed)
    }

    /// How many events are in.
    pub(crate) fn accepted(&self) -> usize {
        let log = self.desk.log.lock().unwrap();
        log.values().filter(|line| line.outcome == Outcome::Accepted).count()
    }

    /// One line an event, by number.
    pub(crate) fn log(&self) -> String {
        let log = self.desk.log.lock().unwrap();
        let mut numbers: Vec<_> = log.keys().copied().collect();
        numbers.sort_unstable();
        let mut text = String::new();
        for number in numbers {
            let line = &log[&number];
            let at = line.at.as_secs_f64();
            let _never_fails = writeln!(text, "{at:9.3} {number} {:?} {}", line.outcome, line.told);
        }
        text
    }

    /// What it was told about one event, and when.
    pub(crate) fn told(&self, number: u64) -> String {
        let log = self.desk.log.lock().unwrap();
        log.get(&number).map_or_else(
            || "never sent".to_owned(),
            |line| format!("{:?} at {:.3} s, {}", line.outcome, line.at.as_secs_f64(), line.told),
        )
    }
}

impl Desk {
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut waiting = JoinSet::new();
        let mut ticks = tokio::time::interval(PACE);
        while !stop.is_cancelled() {
            ticks.tick().await;
            while waiting.try_join_next().is_some() {}
            if waiting.len() < MOST_WAITING {
                waiting.spawn(self.clone().send());
            }
        }
        waiting.join_all().await;
    }

    async fn send(self: Arc<Self>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let intake = self.intake(number).filter(|_| !number.is_multiple_of(STRAIGHT));
        let (outcome, told) = match intake {
            Some(intake) => self.post(&intake, number).await,
            None => self.write(number).await,
        };
        self.note(number, outcome, told);
    }

    fn intake(&self, number: u64) -> Option<String> {
        let intakes = self.intakes.lock().unwrap();
        let place = usize::try_from(number).unwrap() % intakes.len().max(1);
        intakes.get(place).cloned()
    }

    async fn post(&self, intake: &str, number: u64) -> (Outcome, String) {
        let url = format!("{intake}/events/{}", source(number));
        let answer = match self.client.post(url).body(event(self.seed, number)).send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return (Outcome::Refused, format!("no connection to {intake}")),
            Err(error) => return (Outcome::Unknown, format!("{intake}: {error:?}")),
        };
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        let outcome = match status {
            200 => Outcome::Accepted,
            // Redis may have it all the same.
            503 if text.contains(r#""redis""#) || text.contains(r#""unconfirmed""#) => Outcome::Unknown,
            _ => Outcome::Refused,
        };
        (outcome, format!("{status} from {intake}"))
    }

    async fn write(&self, number: u64) -> (Outcome, String) {
        let source = source(number);
        let frame = Frame {
            event: Bytes::from(event(self.seed, number)),
            source: source.clone(),
            received_at: String::new(),
        };
        match self.store.partition_of(&source).publish(&frame).await {
            Ok(id) => (Outcome::Accepted, format!("written as {id}")),
            Err(error @ StoreError::Unconfirmed(_)) => (Outcome::Unknown, error.to_string()),
            Err(error @ StoreError::Replicas { written: true, .. }) => (Outcome::Unknown, error.to_string()),
            Err(error) if error.is_disconnected() => (Outcome::Unknown, error.to_string()),
            Err(error) => (Outcome::Refused, error.to_string()),
        }
    }

    fn note(&self, number: u64, outcome: Outcome, told: String) {
        let at = self.started.elapsed();
        self.log.lock().unwrap().insert(number, Line { at, outcome, told });
    }
}

fn source(number: u64) -> String {
    format!("bmc-{}", number % SOURCES)
}

/// An event that says its number in a way that can be found in anything that holds it.
fn event(seed: u64, number: u64) -> String {
    let mark = mark(seed, number);
    format!(
        r##"{{"@odata.type":"#Event.v1_7_0.Event","Id":"{number}","Name":"Event","Events":[{{"EventType":"Alert","EventId":"{number}","MessageId":"Base.1.0.GeneralError","MessageSeverity":"OK","Message":"{mark}"}}]}}"##
    )
}

/// The text that only event `number` of a run holds.
pub(crate) fn mark(seed: u64, number: u64) -> String {
    format!("hf-{seed}-{number}.")
}

/// The numbers of all events of a run that a text holds, in order.
pub(crate) fn marks(seed: u64, text: &str) -> Vec<u64> {
    let start = format!("hf-{seed}-");
    text.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split_once('.')?.0.parse().ok())
        .collect()
}
