//! `holdfast sink`: a subscriber to test with, well or badly behaved.
//!
//! Counts distinct and duplicate deliveries, and changes its behaviour while it runs (`PUT /-/mode`). The
//! tests and the demonstration use it as a library. One task accepts; while the mode is `refuse` it really
//! has no listener, so that senders meet a refused connection.

mod answer;
mod mode;
mod tally;
mod together;
mod wire;

use std::io::{IsTerminal, Stdout, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::mode::{Mode, UnknownMode};
pub use self::tally::{Counts, Delivery};
pub use self::together::unpack;

use self::answer::Desk;
use self::tally::Tally;
use self::wire::{Spoil, Wire};
use crate::domain::units::Period;

/// Pause after a failed accept or bind.
const PAUSE: Duration = Duration::from_millis(10);

/// How a sink is started.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How it behaves at first.
    pub mode: Mode,
    /// How many of the latest deliveries are kept with headers and body.
    pub keep: usize,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            mode: Mode::Ok,
            keep: 1_000,
        }
    }
}

/// A running subscriber; it stops, connections and all, when dropped.
pub struct Sink {
    addr: SocketAddr,
    desk: Arc<Desk>,
    listening: watch::Receiver<bool>,
    _running: DropGuard,
}

impl Sink {
    /// Starts it.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(options: SinkOptions) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let desk = Desk::new(Tally::new(options.keep), options.mode);
        let running = CancellationToken::new();
        let (listening, seen) = watch::channel(true);
        let door = Door {
            addr,
            desk: desk.clone(),
            listening,
            running: running.clone(),
        };
        tokio::spawn(door.run(listener));
        Ok(Self {
            addr,
            desk,
            listening: seen,
            _running: running.drop_guard(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a destination on it; `path` starts with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Changes its behaviour; returns when a listener that has to close or open has done so.
    pub async fn set_mode(&self, mode: Mode) {
        let open = !matches!(mode, Mode::Refuse(_));
        self.desk.mode.send_replace(mode);
        // An error means that the sink is being dropped: nobody is left to behave.
        let mut listening = self.listening.clone();
        let _stopped = listening.wait_for(|listening| *listening == open).await;
    }

    /// How it behaves now.
    #[must_use]
    pub fn mode(&self) -> Mode {
        *self.desk.mode.borrow()
    }

    /// Totals since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.desk.tally.counts()
    }

    /// The latest deliveries, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.desk.tally.latest()
    }
}

/// The task that accepts connections.
struct Door {
    addr: SocketAddr,
    desk: Arc<Desk>,
    listening: watch::Sender<bool>,
    running: CancellationToken,
}

impl Door {
    async fn run(self, listener: TcpListener) {
        let running = self.running.clone();
        tokio::select! {
            () = running.cancelled() => {}
            () = self.open_and_close(listener) => {}
        }
    }

    async fn open_and_close(self, listener: TcpListener) {
        let mut mode = self.desk.mode.subscribe();
        let mut before = Mode::Ok;
        let mut listener = Some(listener);
        loop {
            let present = *mode.borrow_and_update();
            let Mode::Refuse(period) = present else {
                let open = match listener.take() {
                    Some(open) => open,
                    None => self.bind().await,
                };
                self.listening.send_replace(true);
                before = self.serve(&open, &mut mode, present).await;
                continue;
            };
            drop(listener.take());
            self.listening.send_replace(false);
            tokio::select! {
                () = over(period) => self.reopen(present, before),
                _changed = mode.changed() => {}
            }
        }
    }

    /// Serves until the mode is `refuse`, then cuts every connection. Answers the mode before that.
    async fn serve(&self, listener: &TcpListener, mode: &mut watch::Receiver<Mode>, mut present: Mode) -> Mode {
        let connections = self.running.child_token();
        let _cut_at_the_end = connections.clone().drop_guard();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(converse(stream, self.desk.clone(), connections.clone()));
                    }
                    // Out of descriptors, most likely: give others a moment to close some.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                _changed = mode.changed() => match *mode.borrow() {
                    Mode::Refuse(_) => return present,
                    other => present = other,
                },
            }
        }
    }

    /// Back to the mode before a refusal, unless it was changed meanwhile.
    fn reopen(&self, refusal: Mode, before: Mode) {
        self.desk.mode.send_if_modified(|mode| {
            let unchanged = *mode == refusal;
            if unchanged {
                *mode = before;
            }
            unchanged
        });
    }

    async fn bind(&self) -> TcpListener {
        loop {
            match TcpListener::bind(self.addr).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// The end of a refusal, or never.
async fn over(period: Option<Period>) {
    match period {
        Some(period) => tokio::time::sleep(period.0).await,
        None => std::future::pending().await,
    }
}

/// Serves one connection until it ends or is cut.
async fn converse(stream: TcpStream, desk: Arc<Desk>, cut: CancellationToken) {
    let spoil = Spoil::default();
    // Fails on a connection that has died meanwhile, which is noticed below.
    let _dead = stream.set_nodelay(true);
    let wire = TokioIo::new(Wire::new(stream, spoil.clone()));
    let service = service_fn(|request| desk.answer(request, spoil.clone()));
    let connection = http1::Builder::new().serve_connection(wire, service);
    tokio::select! {
        // An error is the sender's, or one of our own making.
        _ended = connection => {}
        () = cut.cancelled() => {}
    }
}

/// `holdfast sink`: runs a subscriber to test with, until interrupted.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9800")]
    pub listen: SocketAddr,
    /// ok, slow:250ms, hang, 500 (any status), 429:5, refuse:10s, reset, drip, flood, garbage or random:42; change it with PUT /-/mode.
    #[arg(long, default_value = "ok")]
    pub mode: Mode,
    /// How many of the latest deliveries GET /-/deliveries lists.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub keep: usize,
}

/// Runs the sink until SIGINT or SIGTERM, then prints a summary.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let options = SinkOptions {
        listen: args.listen,
        mode: args.mode,
        keep: args.keep,
    };
    let sink = Sink::start(options)
        .await
        .with_context(|| format!("cannot listen on {}; give another address with --listen", args.listen))?;
    let out = &mut std::io::stdout();
    writeln!(
        out,
        "listening on http://{}, mode {}; any path is a destination",
        sink.addr(),
        sink.mode()
    )?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let start = Instant::now();
    tokio::select! {
        failed = report(&sink, out) => failed?,
        _interrupted = tokio::signal::ctrl_c() => {}
        _terminated = terminate.recv() => {}
    }
    let counts = sink.counts();
    writeln!(
        out,
        "{} requests in {:.1} s: {} accepted ({} distinct, {} duplicates), {} failed",
        counts.requests,
        start.elapsed().as_secs_f64(),
        counts.accepted,
        counts.distinct,
        counts.duplicates,
        counts.failed
    )?;
    Ok(())
}

/// Prints a line a second while something changes, on a terminal.
async fn report(sink: &Sink, out: &mut Stdout) -> std::io::Result<()> {
    if !out.is_terminal() {
        return std::future::pending().await;
    }
    let mut before = Counts::default();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let now = sink.counts();
        if now == before {
            continue;
        }
        writeln!(
            out,
            "{:>8}/s  distinct {:>10}  duplicates {:>6}  failed {:>8}  mode {}",
            now.requests - before.requests,
            now.distinct,
            now.duplicates,
            now.failed,
            sink.mode()
        )?;
        before = now;
    }
}
