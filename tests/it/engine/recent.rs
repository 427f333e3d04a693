//! What the whole service remembers of settled events: from the intake's answer to `find`, and that it lets go of it
//! before any event is refused.

use holdfast::cli::sink::Mode;
use holdfast::domain::ids::StreamId;
use holdfast::domain::terms::EventType;
use holdfast::store::find::Whereabouts;
use holdfast::store::recent::Bounds;
use holdfast::store::settle::Verdict;

use super::harness::{Deployment, SOON, event};
use crate::support::{TestRedis, wait_until};

const RECENT: &str = "holdfast:{0}:recent";
const WARN: f64 = 0.6;
const REFUSE: f64 = 0.8;

impl Deployment {
    /// Sends an event to the intake; the id it answers, or nothing where it was refused.
    async fn post(&self, source: &str, body: String) -> Option<String> {
        let log = self.pods[0].stderr();
        let (_, address) = log.split_once(r#""intake":""#).unwrap();
        let url = format!("http://{}/events/{source}", address.split('"').next().unwrap());
        let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        let id = answer
            .headers()
            .get("holdfast-event")
            .map(|id| id.to_str().unwrap().to_owned());
        assert_eq!(id.is_some(), answer.status() == 200);
        let body = answer.text().await.unwrap();
        assert!(id.is_none() || body == "{}", "{body}");
        id
    }

    async fn whereabouts(&self, answered: &str) -> Whereabouts {
        let event: StreamId = answered.strip_prefix("0.").unwrap().parse().unwrap();
        let (_, mut found) = self.partition().whereabouts(&[event].into(), &[]).await.unwrap();
        found.remove(&event).unwrap()
    }

    fn takes(&self) -> u64 {
        self.cli(&["MEMORY", "USAGE", RECENT, "SAMPLES", "0"])
            .parse()
            .unwrap_or(0)
    }

    fn warnings(&self) -> usize {
        self.pods[0]
            .stderr()
            .matches("no subscription wants this event")
            .count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_that_intake_answers_finds_the_event() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RECENT__TRIM", "20ms")]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let direct = deployment.post("bmc-17", event(0)).await.unwrap();
    deployment.settled().await;
    let found = deployment.whereabouts(&direct).await;
    assert_eq!((found.source.as_str(), found.notes.len()), ("bmc-17", 1), "{found:?}");
    assert_eq!(found.notes[0].outcomes, [(id.clone(), Verdict::Delivered)]);

    sink.set_mode(Mode::Refuse(None)).await;
    let parked = deployment.post("bmc-18", event(1)).await.unwrap();
    deployment.parked(1).await;
    let found = deployment.whereabouts(&parked).await;
    assert_eq!((found.parked.len(), found.source.as_str()), (1, "bmc-18"), "{found:?}");
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    let found = deployment.whereabouts(&parked).await;
    let last = found.notes.last().unwrap();
    assert_eq!(last.outcomes, [(id, Verdict::Delivered)], "{found:?}");
    assert_eq!(last.source, "bmc-18", "a drain tells the source as well");
    wait_until("both sources are known", SOON, async || {
        let sources = deployment.partition().sources().await.unwrap();
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        names == ["bmc-17", "bmc-18"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_nothing_is_remembered() {
    let settings = [("HOLDFAST_RECENT__MAX_BYTES", "0B"), ("HOLDFAST_RECENT__TRIM", "20ms")];
    let deployment = Deployment::start(1, &settings).await;
    deployment.post("bmc-1", event(0)).await.unwrap();
    deployment.settled().await;
    wait_until("its source is known all the same", SOON, async || {
        deployment.partition().sources().await.unwrap().len() == 1
    })
    .await;
    assert_eq!(deployment.cli(&["EXISTS", RECENT]), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_tells_what_it_heard_of_sources() {
    let mut deployment = Deployment::start(1, &[("HOLDFAST_RECENT__TRIM", "1h")]).await;
    deployment.post("bmc-1", event(0)).await.unwrap();
    deployment.settled().await;
    assert!(deployment.partition().sources().await.unwrap().is_empty());
    deployment.pods[0].sigterm();
    assert!(deployment.pods[0].wait(SOON).success());
    assert_eq!(deployment.partition().sources().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_measure_starts_and_a_broken_key_stops_nothing() {
    let mut deployment = Deployment::start(0, &[("HOLDFAST_RECENT__TRIM", "20ms")]).await;
    deployment.cli(&["ACL", "SETUSER", TestRedis::user(), "-memory"]);
    deployment.add_pod(&[]).await;
    let first = deployment.post("bmc-1", event(0)).await.unwrap();
    deployment.settled().await;
    assert_eq!(deployment.whereabouts(&first).await.notes.len(), 1);

    deployment.cli(&["SET", RECENT, "oops"]);
    wait_until("it is said", SOON, async || {
        deployment.pods[0].stderr().contains("recent is a string")
    })
    .await;
    deployment.post("bmc-1", event(1)).await.unwrap();
    deployment.settled().await;
    deployment.cli(&["DEL", RECENT]);
    wait_until("settled events are remembered again", SOON, async || {
        deployment.post("bmc-1", event(2)).await.unwrap();
        deployment.settled().await;
        deployment.cli(&["EXISTS", RECENT]) == "1"
    })
    .await;
    let log = deployment.pods[0].stderr();
    assert_eq!(log.matches("can't be trimmed").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_makes_room_before_an_event_is_refused() {
    let deployment = Deployment::start(1, &[("HOLDFAST_RECENT__TRIM", "20ms")]).await;
    let sink = Deployment::sink(Mode::Refuse(None)).await;
    deployment.subscribe(&sink.url("/events"), |_| {}).await;
    let fill =
        "for i = 1, 16000 do redis.call('XADD', KEYS[1], '*', 'm1795389052775-a0', 'Da ' .. string.rep('x', 400)) end";
    deployment.cli(&["EVAL", fill, "1", RECENT]);
    let (at_first, used) = (deployment.takes(), deployment.store.memory().await.unwrap().used);
    assert!(at_first > 6 << 20, "{at_first}");
    deployment.redis.config_set("maxmemory", &(used * 2).to_string());

    let wanted = Bounds {
        max_age_ms: 900_000,
        max_bytes: 16 << 20,
    };
    let body = format!(
        r#"{{"Events":[{{"MessageId":"A.1.0.B"}}],"pad":"{}"}}"#,
        "x".repeat(100_000)
    );
    let mut accepted = 0;
    while deployment.post("bmc-1", body.clone()).await.is_some() {
        accepted += 1;
        wait_until("what is remembered fits in what is left", SOON, async || {
            let (own, memory) = (deployment.takes(), deployment.store.memory().await.unwrap());
            let allowed = wanted.under(memory, own, WARN, REFUSE).max_bytes;
            // A key that was trimmed to nothing takes a few bytes.
            own <= allowed.max(4 << 10)
        })
        .await;
    }
    let (last, memory) = (deployment.takes(), deployment.store.memory().await.unwrap());
    println!("{accepted} accepted; {at_first} bytes were remembered, {last} when an event was refused first");
    assert!(last < at_first / 10, "{last} of {at_first} are left");
    assert!(memory.ratio() > REFUSE - 0.05, "{memory:?}: refused too early");
    let kept = (accepted as u64) * 100_000;
    assert!(kept > memory.used / 2, "{kept} bytes of events in {memory:?}");

    wait_until("nothing is remembered", SOON, async || {
        deployment.cli(&["EXISTS", RECENT]) == "0" && deployment.pods[0].stderr().contains("settled events are not")
    })
    .await;
    deployment.redis.config_set("maxmemory", "0");
    wait_until("it is remembered again", SOON, async || {
        deployment.pods[0].stderr().contains("settled events are remembered")
    })
    .await;
    sink.set_mode(Mode::Ok).await;
    deployment.settled().await;
    assert!(deployment.takes() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_nobody_wants_an_event_is_said_once_until_the_subscriptions_change() {
    let deployment = Deployment::start(1, &[]).await;
    let sink = Deployment::sink(Mode::Ok).await;
    let id = deployment
        .subscribe(&sink.url("/events"), |subscription| {
            subscription.filter.event_types = vec![EventType::StatusChange];
        })
        .await;
    let first = deployment.post("bmc-17", event(0)).await.unwrap();
    wait_until("it is said", SOON, async || deployment.warnings() == 1).await;
    let log = deployment.pods[0].stderr();
    let line = log.lines().find(|line| line.contains("no subscription wants")).unwrap();
    for words in [first.as_str(), "bmc-17", "base.generalerror", "widen a filter"] {
        assert!(line.contains(words), "no {words:?} in {line}");
    }
    deployment.publish(50).await;
    deployment.settled().await;
    assert_eq!((deployment.warnings(), deployment.ledger().await.unwanted), (1, 51));

    deployment.suspend(&id).await;
    deployment.publish(50).await;
    deployment.settled().await;
    wait_until("it is said again", SOON, async || deployment.warnings() == 2).await;
    assert_eq!(deployment.ledger().await.unwanted, 101);
}
