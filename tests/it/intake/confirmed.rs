//! `redis.confirm_replicas`: what is answered 200 is on a replica, whatever becomes of it or of the connection.

use futures::future::join_all;
use holdfast::api::Api;
use holdfast::config::Config;
use holdfast::domain::units::Period;
use reqwest::StatusCode;

use super::{EVENT, SOON, config, length, post, refusal, serve, serve_at};
use crate::support::{Proxy, TestRedis, certificates, cluster, free_port, login, wait_until};

/// Asks for one replica, and tries once where none keeps up.
fn confirming() -> Config {
    let mut config = config();
    config.redis.confirm_replicas = 1;
    config.redis.confirm_timeout = Period::from_secs(2);
    config.intake.wait = Period::from_secs(0);
    config
}

async fn pair() -> (TestRedis, TestRedis) {
    let (master, replica) = (TestRedis::start(), TestRedis::start());
    replica.follow(master.port()).await;
    master.confirmed_by(1).await;
    (master, replica)
}

/// Stops the replica when it has confirmed all there is: whoever asks for something older is told that it has it.
async fn freeze(replica: &TestRedis, master: &TestRedis) {
    master.confirmed_by(1).await;
    replica.pause();
}

/// How often a server was sent a command.
fn calls(redis: &TestRedis, command: &str) -> u64 {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|rest| rest.split(',').next())
        .map_or(0, |calls| calls.parse().unwrap())
}

async fn accepts_again(api: &Api) {
    wait_until("events are taken in again", SOON, async || {
        post(api, EVENT).await.status() == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn an_accepted_event_is_on_a_replica() {
    let (master, replica) = pair().await;
    let api = serve(&confirming(), &master).await;
    for number in 1..=20 {
        let answer = post(&api, EVENT).await;
        assert_eq!(answer.status(), 200);
        let event = answer.headers()["holdfast-event"].to_str().unwrap().to_owned();
        let (_, id) = event.split_once('.').unwrap();
        assert!(
            master.cli(&["XRANGE", super::STREAM, id, id]).contains("EventId"),
            "{id}"
        );
        assert_eq!(length(&replica), number);
    }
    assert_eq!(
        replica.cli(&["XRANGE", super::STREAM, "-", "+"]),
        master.cli(&["XRANGE", super::STREAM, "-", "+"])
    );
}

#[tokio::test]
async fn while_no_replica_keeps_up_nothing_is_accepted() {
    let (master, replica) = pair().await;
    let api = serve(&confirming(), &master).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    freeze(&replica, &master).await;
    let (status, code, message) = refusal(post(&api, EVENT).await).await;
    assert_eq!((status, code.as_str()), (503, "unconfirmed"));
    assert!(
        message.contains("was written") && message.contains("arrive twice"),
        "{message}"
    );
    assert_eq!(length(&master), 2, "as the message says");
    for _ in 0..3 {
        let (status, code, message) = refusal(post(&api, EVENT).await).await;
        assert_eq!((status, code.as_str()), (503, "replicas"));
        assert!(message.contains("not taken in"), "{message}");
    }
    assert_eq!(length(&master), 2, "the next ones are refused before they are written");
    replica.resume();
    accepts_again(&api).await;
    assert_eq!(length(&master), length(&replica));
    let text = reqwest::get(format!("http://{}/metrics", api.admin_addr))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counted = text
        .lines()
        .find_map(|line| line.strip_prefix("holdfast_intake_refused_total{reason=\"replicas\"} "));
    assert!(
        counted.is_some_and(|count| count.parse::<u64>().unwrap() >= 4),
        "{counted:?}"
    );
}

#[tokio::test]
async fn without_a_replica_nothing_is_even_written() {
    let (master, _replica) = pair().await;
    let mut config = confirming();
    config.redis.confirm_replicas = 2;
    let api = serve(&config, &master).await;
    let (status, code, _) = refusal(post(&api, EVENT).await).await;
    assert_eq!((status, code.as_str()), (503, "replicas"));
    assert_eq!(length(&master), 0);
    let second = TestRedis::start();
    second.follow(master.port()).await;
    accepts_again(&api).await;
    assert_eq!(length(&second), length(&master));
}

/// Made anew, a connection wrote nothing, so its WAIT would be answered at once with all replicas.
#[tokio::test]
async fn a_connection_cut_while_the_replica_is_waited_for_gives_no_200() {
    let (master, replica) = pair().await;
    let proxy = Proxy::to(master.port()).await;
    let mut config = confirming();
    config.redis.confirm_timeout = Period::from_secs(20);
    config.intake.wait = Period::from_secs(5);
    let api = serve_at(&config, &proxy.url()).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    freeze(&replica, &master).await;
    let (answer, ()) = tokio::join!(post(&api, EVENT), async {
        wait_until("it is written and waited for", SOON, async || {
            length(&master) == 2 && master.cli(&["INFO", "clients"]).contains("blocked_clients:1")
        })
        .await;
        proxy.reset();
    });
    let (status, code, _) = refusal(answer).await;
    assert_eq!((status, code.as_str()), (503, "redis"));
    assert_eq!((length(&master), proxy.swallowed()), (2, 0));
    replica.resume();
    accepts_again(&api).await;
    assert_eq!(length(&master), length(&replica));
}

#[tokio::test]
async fn a_reply_that_is_lost_gives_no_200() {
    let (master, _replica) = pair().await;
    let proxy = Proxy::to(master.port()).await;
    let api = serve_at(&confirming(), &proxy.url()).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    for (round, command) in ["XADD", "GETNAME"].into_iter().enumerate() {
        proxy.swallow_reply(command, 0);
        let (status, code, _) = refusal(post(&api, EVENT).await).await;
        assert_eq!((status, code.as_str()), (503, "redis"), "{command}");
        assert_eq!(proxy.swallowed(), 1, "{command}");
        assert_eq!(
            length(&master),
            2 + 2 * u64::try_from(round).unwrap(),
            "written, and not repeated from here"
        );
        accepts_again(&api).await;
    }
}

#[tokio::test]
async fn events_that_arrive_together_share_one_wait() {
    let (master, replica) = pair().await;
    let api = serve(&confirming(), &master).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    let before = calls(&master, "wait");
    let posts = join_all((0..400).map(|_| post(&api, EVENT))).await;
    let accepted = posts.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(accepted, 400);
    assert_eq!((length(&master), length(&replica)), (401, 401));
    let waits = calls(&master, "wait") - before;
    assert!((1..200).contains(&waits), "{waits} for 400 events");
}

#[tokio::test]
async fn without_the_setting_the_master_alone_is_asked() {
    let (master, replica) = pair().await;
    let api = serve(&config(), &master).await;
    replica.pause();
    assert_eq!(post(&api, EVENT).await.status(), 200);
    assert_eq!(calls(&master, "wait"), 0);
    replica.resume();
}

#[tokio::test]
async fn a_demoted_master_that_keeps_its_connections_is_left() {
    let (master, replica) = pair().await;
    let api = serve(&confirming(), &master).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    master.follow(replica.port()).await;
    let (status, code, _) = refusal(post(&api, EVENT).await).await;
    assert_eq!((status, code.as_str()), (503, "redis"));
    master.cli(&["REPLICAOF", "NO", "ONE"]);
    replica.follow(master.port()).await;
    accepts_again(&api).await;
    assert_eq!(length(&master), length(&replica));
}

#[tokio::test]
async fn over_tls_and_a_socket_it_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificates(dir.path(), "ours", "localhost", false);
    let port = free_port().to_string();
    let [ca, certificate, key] = [&files.ca, &files.certificate, &files.key].map(|path| path.display().to_string());
    let master = TestRedis::with(&[
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ]);
    let replica = TestRedis::start();
    replica.follow(master.port()).await;
    master.confirmed_by(1).await;
    let mut config = confirming();
    config.redis.ca_file = Some(files.ca.clone());
    if let Some((user, password)) = login().trim_end_matches('@').split_once(':') {
        config.redis.username = Some(user.to_owned());
        config.redis.password = Some(password.to_owned().into());
    }
    let urls = [
        format!("rediss://localhost:{port}"),
        master.socket().display().to_string(),
    ];
    for url in urls {
        let api = serve_at(&config, &url).await;
        let answer = post(&api, EVENT).await;
        assert_eq!(answer.status(), 200, "{url}: {:?}", answer.text().await);
        freeze(&replica, &master).await;
        assert_eq!(post(&api, EVENT).await.status(), 503, "{url}");
        replica.resume();
        accepts_again(&api).await;
    }
    assert_eq!(length(&master), length(&replica));
}

/// While a slot moves, `ASK` leads to the node that has the stream already, and `MOVED` when all is done.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let (nodes, url) = cluster(1).await;
    let api = serve_at(&confirming(), &url).await;
    assert_eq!(post(&api, EVENT).await.status(), 200);
    let slot = nodes[0].cli(&["CLUSTER", "KEYSLOT", super::STREAM]);
    let masters: Vec<&TestRedis> = nodes
        .iter()
        .filter(|node| node.cli(&["ROLE"]).starts_with("master"))
        .collect();
    let has_slot = |node: &TestRedis| node.cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) != "0";
    let from = *masters.iter().find(|node| has_slot(node)).unwrap();
    let to = *masters.iter().find(|node| !has_slot(node)).unwrap();
    let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]), to.cli(&["CLUSTER", "MYID"]));
    assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]), "OK");
    assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]), "OK");
    assert_eq!(post(&api, EVENT).await.status(), 200, "it is still where it was");
    let port = to.port().to_string();
    assert_eq!(
        from.cli(&["MIGRATE", "127.0.0.1", &port, super::STREAM, "0", "5000"]),
        "OK"
    );
    for _ in 0..3 {
        let answer = post(&api, EVENT).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }
    assert!(calls(to, "asking") >= 3);
    for node in &masters {
        node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    accepts_again(&api).await;
    assert!(length(to) >= 6, "all of them");
}
