//! The sink's own process: as little work a request as a subscriber can do, on one thread.
//!
//! It remembers when each request had arrived whole, what it answered, and a hash of the delivery's id.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use holdfast::cli::sink::unpack;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::{Arrival, hash};
use crate::process::now;

/// What all ports share.
struct Desk {
    /// A port's status, and after how long; status 0 is no answer.
    modes: Vec<Cell<(u16, Duration)>>,
    arrivals: RefCell<Vec<Arrival>>,
    accepted: Cell<usize>,
}

/// Serves until standard input ends.
pub(crate) fn main(ports: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, serve(ports));
}

async fn serve(ports: usize) {
    let desk = Rc::new(Desk {
        modes: vec![Cell::new((200, Duration::ZERO)); ports],
        arrivals: RefCell::default(),
        accepted: Cell::new(0),
    });
    let mut listening = Vec::with_capacity(ports);
    for port in 0..ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listening.push(listener.local_addr().unwrap().port().to_string());
        tokio::task::spawn_local(accept(listener, port, Rc::clone(&desk)));
    }
    let mut out = tokio::io::stdout();
    let mut answer = listening.join(" ") + "\n";
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    loop {
        out.write_all(answer.as_bytes()).await.unwrap();
        out.flush().await.unwrap();
        let Ok(Some(command)) = commands.next_line().await else {
            return;
        };
        answer = desk.obey(&command) + "\n";
    }
}

async fn accept(listener: TcpListener, port: usize, desk: Rc<Desk>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(converse(stream, port, Rc::clone(&desk)));
    }
}

async fn converse(stream: TcpStream, port: usize, desk: Rc<Desk>) {
    stream.set_nodelay(true).unwrap();
    let service = service_fn(|request| desk.answer(port, request));
    // An error is a sender that hung up: killed, or tired of waiting.
    let _ended = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Desk {
    async fn answer(&self, port: usize, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut ids: Vec<u64> = unpack(&parts.headers, &body).iter().map(|(id, _)| hash(id)).collect();
        if ids.is_empty() {
            let id = parts.headers.get("webhook-id").and_then(|id| id.to_str().ok());
            ids.push(hash(id.unwrap_or_default()));
        }
        let ((status, after), at) = (self.modes[port].get(), now());
        let deliveries = ids.len();
        let arrivals = ids.into_iter().map(|id| Arrival { port, status, at, id });
        self.arrivals.borrow_mut().extend(arrivals);
        if status == 0 {
            return std::future::pending().await;
        }
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        self.accepted
            .set(self.accepted.get() + if (200..300).contains(&status) { deliveries } else { 0 });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }

    fn obey(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["mode", first, end, status, after_ms] => {
                let ports = first.parse().unwrap()..end.parse().unwrap();
                let mode = (
                    status.parse().unwrap(),
                    Duration::from_millis(after_ms.parse().unwrap()),
                );
                for port in &self.modes[ports] {
                    port.set(mode);
                }
                now().as_nanos().to_string()
            }
            ["clear"] => {
                self.arrivals.borrow_mut().clear();
                self.accepted.set(0);
                String::new()
            }
            ["counts"] => format!("{} {}", self.accepted.get(), self.arrivals.borrow().len()),
            ["arrivals"] => self.listed(),
            _ => panic!("{command:?} is no command"),
        }
    }

    fn listed(&self) -> String {
        let arrivals = self.arrivals.borrow();
        let mut text = arrivals.len().to_string();
        for arrival in arrivals.iter() {
            let Arrival { port, status, at, id } = arrival;
            write!(text, "\n{port} {status} {} {id}", at.as_nanos()).unwrap();
        }
        text
    }
}
