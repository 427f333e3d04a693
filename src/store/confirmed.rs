//! Writes events that count only once replicas have them (`redis.confirm_replicas`).
//!
//! Each partition has one task with one connection to its master, used by nothing else: `WAIT` blocks it. What arrives
//! while the replicas are waited for goes out together with one `WAIT` behind it, so the rate is not that of round
//! trips. Whatever goes wrong with the connection leaves all that was sent over it in doubt, and ends it; nothing is
//! sent twice. Replicas that were late are asked again before the next event is written: while they are away, events
//! are refused rather than written and refused.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

use fred::error::{Error as RedisError, ErrorKind};
use fred::prelude::*;
use fred::types::config::Server;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::connect::{Confirm, Connection};
use super::error::StoreError;
use super::events::{fields, stream_id};
use super::frame::Frame;
use super::partition::measured;
use super::sole::{Sole, Written, command};
use crate::domain::ids::StreamId;

/// Events with one `WAIT` behind them, at most.
const MOST: usize = 512;
/// Bytes of those events; one that is larger goes alone.
const MOST_BYTES: usize = 4 << 20;
/// A connection that was not used for so long is closed: it may have died unseen, and events would find that out.
const IDLE: Duration = Duration::from_secs(30);
/// So often one event is sent on to another node of a Cluster.
const MOST_REDIRECTIONS: u8 = 16;

/// The way into a partition for events that must be on replicas; its task starts with the first one.
#[derive(Debug, Default)]
pub(super) struct Confirmed(OnceLock<mpsc::Sender<Job>>);

/// An event on its way.
#[derive(Debug)]
struct Job {
    frame: Frame,
    since: Instant,
    redirections: u8,
    reply: oneshot::Sender<Result<StreamId, StoreError>>,
}

impl Job {
    /// Whoever asks may have gone; then nobody is told.
    fn answer(self, result: Result<StreamId, StoreError>) {
        let _gone = self.reply.send(result);
    }
}

impl Confirmed {
    /// Appends an event to the stream `key`; answers its id once the replicas have it.
    ///
    /// # Errors
    /// Those of [`super::Partition::publish`].
    pub(super) async fn publish(
        &self,
        connection: &Connection,
        confirm: Confirm,
        key: &str,
        frame: &Frame,
    ) -> Result<StreamId, StoreError> {
        let jobs = self.0.get_or_init(|| Writer::start(connection, confirm, key));
        let (reply, answer) = oneshot::channel();
        let job = Job {
            frame: frame.clone(),
            since: Instant::now(),
            redirections: 0,
            reply,
        };
        let closed = || StoreError::command("XADD")(RedisError::new(ErrorKind::Canceled, "the connection was closed"));
        jobs.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// The task of one partition.
struct Writer {
    connection: Connection,
    confirm: Confirm,
    key: String,
    sole: Option<Sole>,
    /// Whether enough replicas kept up when the connection was last used.
    assured: bool,
    /// The node that a slot is moving to, and that takes what is not at its owner any more.
    asked: Option<Server>,
}

impl Writer {
    fn start(connection: &Connection, confirm: Confirm, key: &str) -> mpsc::Sender<Job> {
        let (sender, jobs) = mpsc::channel(MOST);
        let writer = Self {
            connection: connection.clone(),
            confirm,
            key: key.to_owned(),
            sole: None,
            assured: false,
            asked: None,
        };
        connection.spawn(|closing| writer.run(jobs, closing));
        sender
    }

    /// Ends with the partition, or when the connection is closed.
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>, closing: CancellationToken) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let next = closing.run_until_cancelled(timeout(IDLE, jobs.recv()));
                match next.await {
                    Some(Ok(Some(job))) => waiting.push_back(job),
                    Some(Ok(None)) | None => return,
                    Some(Err(_)) => self.sole = None,
                }
                continue;
            }
            while waiting.len() < MOST
                && let Ok(job) = jobs.try_recv()
            {
                waiting.push_back(job);
            }
            let redirected = self.step(batch(&mut waiting)).await;
            // In front, so that events of one source keep their order.
            for job in redirected.into_iter().rev() {
                waiting.push_front(job);
            }
        }
    }

    /// Writes events and answers them all, but for those that belong to another node.
    async fn step(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let jobs = self.still_wanted(jobs);
        if jobs.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.ready().await {
            for job in jobs {
                job.answer(Err(error.clone()));
            }
            return Vec::new();
        }
        match self.write(&jobs).await {
            Ok(written) => self.conclude(jobs, written),
            Err(error) => {
                self.sole = None;
                for job in jobs {
                    job.answer(Err(error.clone()));
                }
                Vec::new()
            }
        }
    }

    /// Leaves out those whose sender has gone, and those that waited as long as a command may take.
    fn still_wanted(&self, jobs: Vec<Job>) -> Vec<Job> {
        let mut wanted = Vec::with_capacity(jobs.len());
        for job in jobs {
            if job.reply.is_closed() {
                continue;
            }
            if job.since.elapsed() < self.connection.command_timeout() {
                wanted.push(job);
                continue;
            }
            let late = StoreError::command("XADD")(RedisError::new(ErrorKind::Timeout, "no answer"));
            job.answer(Err(StoreError::Unsent(Box::new(late))));
        }
        wanted
    }

    /// Sees to a connection whose replicas keep up. What fails here was not written.
    async fn ready(&mut self) -> Result<(), StoreError> {
        let unsent = |error| StoreError::Unsent(Box::new(error));
        let sole = match self.sole.take().filter(Sole::is_open) {
            Some(sole) => sole,
            None => {
                self.assured = false;
                let slot = fred::util::redis_keyslot(self.key.as_bytes());
                let asked = self.asked.clone();
                Sole::open(&self.connection, slot, asked).await.map_err(|error| {
                    self.asked = None;
                    unsent(error)
                })?
            }
        };
        let Confirm { replicas, within } = self.confirm;
        if !self.assured {
            let asking = sole.send(sole.pipeline(), 0, replicas, within);
            let answer = measured("WAIT", asking).await.map_err(unsent)?;
            let found = answer.replicas.map_err(StoreError::command("WAIT")).map_err(unsent)?;
            self.assured = found >= replicas;
            if !self.assured {
                self.sole = Some(sole);
                return Err(StoreError::Replicas {
                    wanted: replicas,
                    found,
                    written: false,
                });
            }
        }
        self.sole = Some(sole);
        Ok(())
    }

    async fn write(&self, jobs: &[Job]) -> Result<Written, StoreError> {
        let Some(sole) = &self.sole else {
            let closed = RedisError::new(ErrorKind::Canceled, "the connection was closed");
            return Err(StoreError::command("XADD")(closed));
        };
        let Confirm { replicas, within } = self.confirm;
        measured("XADD", async {
            let pipeline = sole.pipeline();
            for job in jobs {
                if self.asked.is_some() {
                    pipeline.custom::<(), String>(command("ASKING"), Vec::new()).await?;
                }
                let fields = fields(&job.frame);
                pipeline
                    .xadd::<(), _, _, _, _>(&self.key, false, None, "*", fields)
                    .await?;
            }
            let each = if self.asked.is_some() { 2 } else { 1 };
            let mut written = sole.send(pipeline, jobs.len() * each, replicas, within).await?;
            if each == 2 {
                let answers = written.answers.into_iter();
                written.answers = answers.skip(1).step_by(2).collect();
            }
            Ok(written)
        })
        .await
    }

    /// Tells each sender; answers those whose events belong to another node.
    fn conclude(&mut self, jobs: Vec<Job>, written: Written) -> Vec<Job> {
        let wanted = self.confirm.replicas;
        self.assured = written.replicas.as_ref().is_ok_and(|found| *found >= wanted);
        let confirmed = match written.replicas {
            Ok(found) if found >= wanted => Ok(()),
            Ok(found) => Err(StoreError::Replicas {
                wanted,
                found,
                written: true,
            }),
            Err(source) => {
                self.sole = None;
                Err(StoreError::Unconfirmed(Box::new(StoreError::command("WAIT")(source))))
            }
        };
        let mut redirected = Vec::new();
        let mut to = None;
        for (mut job, answer) in jobs.into_iter().zip(written.answers) {
            match answer {
                Ok(id) => {
                    let id = id.as_str().map_or_else(|| stream_id(""), |id| stream_id(&id));
                    job.answer(confirmed.clone().and(id));
                }
                Err(source) if self.is_elsewhere(&source) && job.redirections < MOST_REDIRECTIONS => {
                    to = asked(&source);
                    self.sole = None;
                    job.redirections += 1;
                    redirected.push(job);
                }
                Err(source) => {
                    let error = StoreError::command("XADD")(source);
                    // It may be a replica by now: another connection finds the master.
                    if !error.is_memory_limit() {
                        self.sole = None;
                    }
                    job.answer(Err(error));
                }
            }
        }
        if self.sole.is_none() {
            self.asked = to;
        }
        redirected
    }

    /// Whether another node of the Cluster is to be asked.
    fn is_elsewhere(&self, source: &RedisError) -> bool {
        self.connection.is_cluster() && (source.is_moved() || source.is_ask())
    }
}

/// The node that `ASK` names; none after `MOVED`: then the Cluster is asked for the owner.
fn asked(source: &RedisError) -> Option<Server> {
    let address = source.details().split(' ').nth(2).filter(|_| source.is_ask())?;
    Server::try_from(address).ok()
}

/// The first events, as many as go together.
fn batch(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut bytes = 0;
    let mut count = 0;
    for job in waiting.iter().take(MOST) {
        bytes += job.frame.event.len();
        if count > 0 && bytes > MOST_BYTES {
            break;
        }
        count += 1;
    }
    waiting.drain(..count).collect()
}
