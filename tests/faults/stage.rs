//! What a fault plays on: Redis, pods, subscribers, a producer that never stops, and the moves that faults are made
//! of.
//!
//! The pods reach a single Redis through a proxy each, so that any pod's network can misbehave.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use holdfast::cli::sink::Mode;
use holdfast::config;
use holdfast::domain::units::Period;
use holdfast::store::Store;
use holdfast::store::connect::{Connection, FirstConnect};

use crate::audience::{Subscriber, holdfast, subscribe};
use crate::fixtures::{Names, Namespace, SmallDisk};
use crate::producer::Producer;
use crate::servers::{Servers, Topology};
use crate::support::{DEAD_AFTER, Holdfast, Proxy, SHORT_TIMES, TestRedis, wait_until};

/// Far longer than anything here takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const EVENTS: &str = "holdfast:{0}:events";
pub(crate) const REDELIVERIES: &str = "holdfast:{0}:redeliveries";
/// Events that wait for one subscriber before the fault.
const BACKLOG: u64 = 150;
/// How long that subscriber takes for each.
pub(crate) const UNHURRIED: Mode = Mode::Slow(Period(Duration::from_millis(15)));
/// On top of the short times.
const TIMES: [(&str, &str); 4] = [
    ("HOLDFAST_DELIVERY__TIMEOUT", "2s"),
    ("HOLDFAST_ADMIN__REFRESH", "300ms"),
    ("HOLDFAST_INTAKE__WAIT", "1s"),
    ("HOLDFAST_REDIS__COMMAND_TIMEOUT", "1s"),
];

/// How a run begins.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) topology: Topology,
    pub(crate) pods: usize,
    /// Further arguments of the single Redis.
    pub(crate) redis: &'static [&'static str],
    /// Further settings of every pod.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    pub(crate) needs: Need,
}

/// What a run needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// One pod more, in a network namespace of its own.
    Namespace,
    /// Redis on a small disk.
    SmallDisk,
    /// Pods with a table of names of their own.
    Names,
}

/// What was made for it.
pub(crate) enum Fixture {
    None,
    Namespace(Namespace),
    SmallDisk(SmallDisk),
    Names(Names),
}

impl Need {
    /// Makes it, or says why that is not possible here.
    pub(crate) fn make(self) -> Result<Fixture, String> {
        Ok(match self {
            Self::Nothing => Fixture::None,
            Self::Namespace => Fixture::Namespace(Namespace::make()?),
            Self::SmallDisk => Fixture::SmallDisk(SmallDisk::mount()?),
            Self::Names => Fixture::Names(Names::make()?),
        })
    }
}

/// One Redis, two pods.
pub(crate) const NORMAL: Setting = Setting {
    topology: Topology::Single,
    pods: 2,
    redis: &[],
    settings: &[],
    needs: Need::Nothing,
};

/// How one pod differs from the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// A program that becomes the pod, with its arguments.
    pub(crate) launcher: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where it finds Redis, in place of a proxy of its own.
    pub(crate) redis: Option<String>,
    /// Nobody outside can reach its intake.
    pub(crate) unreachable: bool,
}

/// A running pod.
pub(crate) struct Pod {
    pub(crate) process: Holdfast,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) name: String,
    unreachable: bool,
}

/// The stage. Pods die before their Redis does.
pub(crate) struct Stage {
    pub(crate) pods: Vec<Pod>,
    /// Dead ones, kept for their logs.
    pub(crate) gone: Vec<Pod>,
    pub(crate) servers: Servers,
    /// Always well.
    pub(crate) steady: Subscriber,
    /// Away at first, with a backlog; one request at a time; comes back, unhurried, as the fault begins.
    pub(crate) ordered: Subscriber,
    /// Answers as the fault says; at random when it says nothing.
    pub(crate) moody: Subscriber,
    /// Those that a fault added.
    pub(crate) guests: Vec<Subscriber>,
    pub(crate) producer: Producer,
    pub(crate) store: Arc<Store>,
    pub(crate) seed: u64,
    /// Events that the fault destroyed: nobody can deliver them.
    pub(crate) destroyed: std::collections::HashSet<u64>,
    /// The totals in Redis began anew.
    pub(crate) ledger_gone: bool,
    /// Whether Redis may come back with less than it had; pods that say so without that are wrong.
    pub(crate) may_step_back: bool,
    setting: Setting,
    started: usize,
    /// Removed last.
    fixture: Fixture,
}

impl Stage {
    /// Starts everything that `setting` names.
    pub(crate) async fn set(setting: Setting, fixture: Fixture, seed: u64) -> Self {
        let servers = match setting.topology {
            Topology::Single => {
                let home = match &fixture {
                    Fixture::SmallDisk(disk) => disk.directory(),
                    _ => tempfile::tempdir().unwrap(),
                };
                Servers::single(home, setting.redis)
            }
            Topology::Sentinel => Servers::sentinel().await,
            Topology::Cluster => Servers::cluster().await,
        };
        let patient = config::Redis {
            command_timeout: Period::from_secs(1),
            confirm_replicas: setting.topology.confirming(),
            ..config::Redis::default()
        };
        let connection = Connection::open(&patient, servers.url(), FirstConnect::FailFast)
            .await
            .unwrap();
        let partitions = if setting.topology == Topology::Cluster { 4 } else { 1 };
        let store = Arc::new(Store::open(connection, "holdfast", Some(partitions)).await.unwrap());
        for partition in store.partitions() {
            partition.ensure_groups().await.unwrap();
        }
        let (url, at) = (servers.url(), address(&fixture));
        let mut stage = Self {
            steady: Subscriber::join(url, "steady", at, &[]).await,
            ordered: Subscriber::join(url, "ordered", at, &["--max-in-flight", "1"]).await,
            moody: Subscriber::join(url, "moody", at, &[]).await,
            guests: Vec::new(),
            producer: Producer::new(seed, store.clone()),
            pods: Vec::new(),
            gone: Vec::new(),
            servers,
            store,
            seed,
            destroyed: std::collections::HashSet::new(),
            ledger_gone: false,
            may_step_back: matches!(fixture, Fixture::SmallDisk(_)),
            setting,
            started: 0,
            fixture,
        };
        for _ in 0..stage.setting.pods {
            stage.add_pod(Wish::default()).await;
        }
        if matches!(stage.fixture, Fixture::Namespace(_)) {
            stage.add_pod_in_namespace().await;
        }
        stage
    }

    async fn add_pod_in_namespace(&mut self) {
        let (here, launcher) = (self.namespace().here(0), self.namespace().launcher());
        let redis = self.redis();
        redis.config_set("bind", &format!("127.0.0.1 {here}"));
        redis.config_set("protected-mode", "no");
        let wish = Wish {
            launcher,
            redis: Some(format!("redis://{here}:{}", redis.port())),
            unreachable: true,
            ..Wish::default()
        };
        self.add_pod(wish).await;
    }

    /// The namespace of a run that needs one.
    pub(crate) fn namespace(&self) -> &Namespace {
        match &self.fixture {
            Fixture::Namespace(namespace) => namespace,
            _ => panic!("the setting names no namespace"),
        }
    }

    /// The table of names of a run that needs one.
    pub(crate) fn names(&self) -> &Names {
        match &self.fixture {
            Fixture::Names(names) => names,
            _ => panic!("the setting names no table of names"),
        }
    }

    /// A backlog for one subscriber, and a load that goes on; then that subscriber comes back.
    pub(crate) async fn begin(&mut self) {
        self.ordered.sink.set_mode(Mode::Refuse(None)).await;
        self.ordered.in_order = self.producer.write(BACKLOG).await.into_iter().collect();
        wait_until("the backlog is parked", SOON, async || {
            self.waiting().await == (0, i64::try_from(BACKLOG).unwrap())
        })
        .await;
        self.moody.sink.set_mode(Mode::Random(self.seed)).await;
        self.producer.start();
        self.progress(40).await;
        self.ordered.sink.set_mode(UNHURRIED).await;
        wait_until("the drain has begun", SOON, async || {
            self.ordered.sink.counts().distinct >= 3
        })
        .await;
    }

    /// Everybody is well again, and the load ends once some of it was taken in.
    pub(crate) async fn end(&mut self) {
        for subscriber in self.subscribers() {
            subscriber.sink.set_mode(Mode::Ok).await;
        }
        self.progress(20).await;
        self.producer.stop().await;
    }

    /// Waits until nothing is left to do.
    pub(crate) async fn drained(&self) {
        wait_until("everything is drained", SOON, async || {
            let mut left = 0;
            for partition in self.store.partitions() {
                let Ok(now) = partition.snapshot(DEAD_AFTER).await else {
                    return false;
                };
                left += now.events + now.redeliveries + now.ledger.parked.unsigned_abs();
            }
            left == 0
        })
        .await;
    }

    /// Waits until so many more events were taken in.
    pub(crate) async fn progress(&self, events: usize) {
        let before = self.producer.accepted();
        wait_until("more events are taken in", SOON, async || {
            self.producer.accepted() >= before + events
        })
        .await;
    }

    /// The fault lasts; the load goes on.
    pub(crate) async fn lasts(&self, period: Duration) {
        tokio::time::sleep(period).await;
    }

    /// Events and parked deliveries that wait, over all partitions.
    pub(crate) async fn waiting(&self) -> (u64, i64) {
        let (mut events, mut parked) = (0, 0);
        for partition in self.store.partitions() {
            if let Ok(now) = partition.snapshot(DEAD_AFTER).await {
                events += now.events;
                parked += now.ledger.parked;
            }
        }
        (events, parked)
    }

    /// The only server of a single deployment.
    pub(crate) fn redis(&mut self) -> &mut TestRedis {
        &mut self.servers.nodes[0]
    }

    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        [&self.steady, &self.ordered, &self.moody]
            .into_iter()
            .chain(&self.guests)
    }

    /// Starts one more pod and waits for its first heartbeat.
    pub(crate) async fn add_pod(&mut self, wish: Wish) {
        self.started += 1;
        let name = format!("pod{}", self.started);
        let proxy = match (&wish.redis, self.setting.topology) {
            (None, Topology::Single) => Some(Proxy::to(self.servers.nodes[0].port()).await),
            _ => None,
        };
        let url = wish.redis.clone().unwrap_or_else(|| {
            let own = proxy.as_ref().map(Proxy::url);
            own.unwrap_or_else(|| self.servers.url().to_owned())
        });
        let confirming = self.servers.topology.confirming().to_string();
        let own = [
            ("HOLDFAST_REDIS__URL", url.as_str()),
            ("HOLDFAST_WORKER__NAME", &name),
            ("HOLDFAST_REDIS__CONFIRM_REPLICAS", &confirming),
        ];
        let wished = wish
            .environment
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let environment: Vec<(&str, &str)> = SHORT_TIMES
            .into_iter()
            .filter(|(key, _)| !key.ends_with("__LISTEN"))
            .chain(TIMES)
            .chain(self.setting.settings.iter().copied())
            .chain(own)
            .chain(wished)
            .collect();
        let own_launcher = match &self.fixture {
            Fixture::Names(names) => names.launcher(),
            _ => Vec::new(),
        };
        let launcher = own_launcher.iter().chain(&wish.launcher).map(String::as_str);
        let launcher: Vec<&str> = launcher.collect();
        let mut process = Holdfast::start_by(&launcher, &["serve"], &environment);
        let first = format!("{name}-");
        wait_until("the new pod lives", SOON, async || {
            // While it waited for Redis, another program took the port that was free before.
            if process.stderr().contains("Address already in use") {
                process = Holdfast::start_by(&launcher, &["serve"], &environment);
            }
            let workers = self.servers.cli(&["ZRANGE", "holdfast:{0}:workers", "0", "-1"]);
            workers.lines().any(|worker| worker.starts_with(&first))
        })
        .await;
        self.pods.push(Pod {
            process,
            proxy,
            name,
            unreachable: wish.unreachable,
        });
        self.aim();
    }

    /// The pod dies at once; what it was sent is lost to its sender.
    pub(crate) fn kill(&mut self, pod: usize) {
        let mut pod = self.pods.remove(pod);
        pod.process.sigkill();
        pod.process.wait(SOON);
        self.gone.push(pod);
        self.aim();
    }

    /// The pod is asked to stop, and does.
    pub(crate) fn retire(&mut self, pod: usize) {
        let mut pod = self.pods.remove(pod);
        self.aim();
        pod.process.sigterm();
        assert!(pod.process.wait(SOON).success(), "{}", pod.process.stderr());
        self.gone.push(pod);
    }

    /// The pod that drains now, once there is one.
    pub(crate) async fn drainer(&self) -> usize {
        let mut found = 0;
        wait_until("a pod drains", SOON, async || {
            let pending = ["XPENDING", REDELIVERIES, "workers", "-", "+", "1"];
            let holder = self.servers.cli(&pending);
            let place = self
                .pods
                .iter()
                .position(|pod| holder.contains(&format!("{}-", pod.name)));
            found = place.unwrap_or(found);
            place.is_some()
        })
        .await;
        found
    }

    /// Runs a verb of the command line.
    pub(crate) async fn holdfast(&self, words: &[&str]) -> String {
        holdfast(self.servers.url(), words).await
    }

    /// Changes the moody subscriber's subscription.
    pub(crate) async fn update_moody(&self, options: &[&str]) {
        let words = [&["subscriptions", "update", self.moody.id.as_str()], options].concat();
        self.holdfast(&words).await;
    }

    /// One metric, summed over its series and the pods that answer.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for pod in self.pods.iter().filter(|pod| !pod.unreachable) {
            let Ok(answer) = reqwest::get(pod.process.admin("/metrics")).await else {
                continue;
            };
            let text = answer.text().await.unwrap_or_default();
            let series = text.lines().filter(|line| line.starts_with(name));
            sum += series
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum::<f64>();
        }
        sum
    }

    /// Waits until a pod has said something in its log.
    pub(crate) async fn said(&self, what: &str) {
        wait_until(&format!("a pod says {what:?}"), SOON, async || {
            self.pods.iter().any(|pod| pod.process.stderr().contains(what))
        })
        .await;
    }

    /// Waits until the metrics say that so many events were removed by hand.
    pub(crate) async fn alarmed_of_removed(&self, entries: u32) {
        wait_until("the missing events are counted", SOON, async || {
            self.metric("holdfast_events_removed").await >= f64::from(entries)
        })
        .await;
    }

    /// One more subscriber, by its place among the guests; it must get what is sent from now on.
    pub(crate) async fn invite(&mut self, name: &'static str, options: &[&str]) -> usize {
        let at = address(&self.fixture);
        let mut guest = Subscriber::join(self.servers.url(), name, at, options).await;
        guest.owed_from = self.producer.next();
        self.guests.push(guest);
        self.guests.len() - 1
    }

    /// Everything in Redis was wiped: what was sent so far is lost to everybody, and all subscribe again.
    pub(crate) async fn rejoin(&mut self) {
        self.ledger_gone = true;
        self.may_step_back = true;
        let url = self.servers.url().to_owned();
        for subscriber in [&mut self.steady, &mut self.ordered, &mut self.moody] {
            let destination = subscriber.sink.url("/events");
            subscriber.id = subscribe(&url, &destination, &[]).await;
            subscriber.owed_from = self.producer.next();
        }
    }

    fn aim(&self) {
        let reachable = self.pods.iter().filter(|pod| !pod.unreachable);
        self.producer.aim(reachable.map(|pod| pod.process.intake("")).collect());
    }
}

/// Where subscribers listen, so that every pod can reach them.
fn address(fixture: &Fixture) -> IpAddr {
    match fixture {
        Fixture::Namespace(namespace) => namespace.here(1).parse().unwrap(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}
