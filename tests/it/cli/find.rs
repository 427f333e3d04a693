//! `holdfast find` and `holdfast sources`.

use holdfast::store::settle::Verdict;
use serde_json::Value;

use super::EVENT;
use super::run::Cli;
use super::worker::{publish, settle, store};
use crate::support::TestRedis;

/// State and subscription of each place of the one event that was found.
fn places(cli: &Cli, what: &str) -> Vec<(String, Option<String>)> {
    let found = cli.json(&["find", what, "--json"]);
    let [event] = &found.as_array().unwrap()[..] else {
        panic!("{found}");
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let places = event["places"].as_array().unwrap().iter();
    places
        .map(|place| (text(&place["state"]).unwrap(), text(&place["subscription"])))
        .collect()
}

#[tokio::test]
async fn an_event_is_followed_from_the_stream_to_its_subscriber() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    store.partitions()[0].recording.set(true);
    let id = cli.add(&["http://127.0.0.1:9/"]);
    let of = |state: &str| vec![(state.to_owned(), Some(id.clone()))];
    let publish = || {
        cli.feed(&["publish", "-", "--source=bmc-7"], EVENT)
            .ok()
            .trim()
            .to_owned()
    };

    let event = publish();
    assert_eq!(places(&cli, &event), [("waiting".to_owned(), None)]);
    let delivered = settle(&store, &id, Verdict::Delivered, None).await[0].to_string();
    assert_eq!(event, delivered);
    assert_eq!(places(&cli, &event), of("delivered"));
    assert_eq!(places(&cli, &format!("0.{event}")), of("delivered"));
    assert_eq!(places(&cli, &format!("{id}.0.{event}")), of("delivered"));
    let other = cli.json(&["find", &format!("other.0.{event}"), "--json"]);
    assert_eq!(other, Value::Array(Vec::new()), "it was delivered to another");

    let parked = publish();
    settle(&store, &id, Verdict::Unavailable, None).await;
    assert_eq!(places(&cli, &parked), of("parked"));
    let text = cli.run(&["find", &parked]).ok();
    for words in [
        "parked",
        "bmc-7",
        &id,
        "has been unavailable since",
        "refused",
        "1 attempt, next in ",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "a subscriber's control characters reach the terminal"
    );

    let dead = publish();
    settle(&store, &id, Verdict::GivenUp, None).await;
    assert_eq!(places(&cli, &dead), of("dead"));
    let letter = cli.json(&["find", &dead, "--json"])[0]["places"][0]["dead_letter"].clone();
    let text = cli.run(&["find", &dead]).ok();
    let letter = letter.as_str().unwrap();
    assert!(text.contains("attempts used up") && text.contains(letter), "{text}");
    for (other, words) in [(letter, "dead-letters show"), (id.as_str(), "is a subscription")] {
        let text = cli.run(&["find", other]).ok();
        assert!(text.contains(words) && text.contains(other), "{text}");
    }
    cli.run(&["dead-letters", "show", letter]).ok();

    let unreadable = publish();
    settle(&store, &id, Verdict::Delivered, Some("the message is not JSON")).await;
    assert_eq!(places(&cli, &unreadable), [("dead".to_owned(), None)]);

    let all = cli.json(&["find", "bmc-7", "--json"]);
    let found: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    let newest_first = [&unreadable, &dead, &parked, &event].map(|id| format!("0.{id}"));
    assert_eq!(found, newest_first);
    let two = cli.run(&["find", "bmc-7", "--limit=2"]).ok();
    assert!(
        two.contains(&unreadable) && two.contains(&dead) && !two.contains(&event),
        "{two}"
    );
    assert!(two.ends_with("raise --limit\n"), "{two}");

    cli.run(&["dead-letters", "purge", "--all", "--yes"]).ok();
    cli.run(&["subscriptions", "remove", &id, "--yes"]).ok();
    assert_eq!(places(&cli, &parked), of("gone"));
    assert_eq!(places(&cli, &dead), of("gone"));
    assert_eq!(places(&cli, &unreadable), [("gone".to_owned(), None)]);
}

#[tokio::test]
async fn an_event_that_a_worker_holds_names_it() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    store(&redis).await.partitions()[0].ensure_groups().await.unwrap();
    let event = cli
        .feed(&["publish", "-", "--source=1-0"], EVENT)
        .ok()
        .trim()
        .to_owned();
    redis.cli(&[
        "XREADGROUP",
        "GROUP",
        "workers",
        "pod-7",
        "STREAMS",
        "holdfast:{0}:events",
        ">",
    ]);
    assert_eq!(places(&cli, &event), [("held".to_owned(), None)]);
    let found = cli.json(&["find", "1-0", "--source", "--json"]);
    assert_eq!(
        (&found[0]["source"], &found[0]["places"][0]["worker"]),
        (&"1-0".into(), &"pod-7".into())
    );
    assert!(cli.run(&["find", &event]).ok().contains("worker pod-7 delivers it"));
}

#[tokio::test]
async fn while_publishing_is_off_nothing_is_said_to_be_under_way() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let store = store(&redis).await;
    let id = cli.add(&["http://127.0.0.1:9/"]);
    let event = || cli.feed(&["publish", "-"], EVENT).ok().trim().to_owned();
    let parked = event();
    settle(&store, &id, Verdict::Unavailable, None).await;
    let held = event();
    let read = [
        "XREADGROUP",
        "GROUP",
        "workers",
        "pod-7",
        "STREAMS",
        "holdfast:{0}:events",
        ">",
    ];
    redis.cli(&read);
    let waiting = event();
    let why = |event: &str| {
        let place = &cli.json(&["find", event, "--json"])[0]["places"][0];
        (
            place["why"].as_str().unwrap().to_owned(),
            place["next_attempt_in_ms"].clone(),
        )
    };
    let off = "publishing is switched off (ServiceEnabled is false)";

    publish(&store, false).await;
    for (event, words) in [
        (&parked, ""),
        (&held, "worker pod-7 keeps it"),
        (&waiting, "in the stream"),
    ] {
        let (why, next) = why(event);
        assert!(why.contains(off) && why.contains(words), "{why}");
        assert_eq!(next, Value::Null, "{why}");
    }
    publish(&store, true).await;
    for (event, words) in [
        (&parked, "unavailable"),
        (&held, "worker pod-7 delivers it"),
        (&waiting, "no worker has read it"),
    ] {
        let (why, _) = why(event);
        assert!(why.contains(words) && !why.contains(off), "{why}");
    }
}

#[tokio::test]
async fn what_is_nowhere_is_told_as_what_it_may_mean() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let said = cli.run(&["find", "5-0"]).ok();
    assert!(said.contains("5-0: nothing is waiting, parked or dead"), "{said}");
    assert!(said.contains("no settled events are remembered"), "{said}");
    let store = store(&redis).await;
    store.partitions()[0].recording.set(true);
    cli.feed(&["publish", "-"], EVENT).ok();
    settle(&store, "nobody", Verdict::Delivered, None).await;
    let said = cli.run(&["find", "5-0"]).ok();
    assert!(
        said.contains("settled events are remembered since") && said.contains("it was settled before that"),
        "{said}"
    );
    let said = cli.run(&["find", "9999999999999-0"]).ok();
    assert!(
        said.contains("by its id it arrived after that, so it was never accepted"),
        "{said}"
    );
    let said = cli.run(&["find", "bmc-\u{1b}9"]).ok();
    assert!(said.starts_with("events of bmc-\u{fffd}9: nothing"), "{said}");
    cli.run(&["find", "7.5-0"]).fails(&["no partition 7", "1 partition"]);
}

#[tokio::test]
async fn who_went_silent_is_listed() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    assert_eq!(cli.run(&["sources"]).ok(), "0 sources\n");
    let now: u64 = redis.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
    for (source, ago) in [("old", 90_000), ("\u{1b}[2Jolder", 180_000)] {
        let at = ((now - ago) * 1_000).to_string();
        redis.cli(&["ZADD", "holdfast:{0}:sources", &at, source]);
    }
    let store = store(&redis).await;
    cli.feed(&["publish", "-", "--source=fresh"], EVENT).ok();
    settle(&store, "a", Verdict::Delivered, None).await;

    let names = |arguments: &[&str]| {
        let all = cli.json(&[&["sources", "--json"], arguments].concat());
        let names = all.as_array().unwrap().iter();
        names
            .map(|one| one["source"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["\u{1b}[2Jolder", "old", "fresh"]);
    assert_eq!(names(&["--silent=24h"]), ["\u{1b}[2Jolder", "old"]);
    assert_eq!(names(&["--silent=2d"]), ["\u{1b}[2Jolder"]);
    let text = cli.run(&["sources", "--silent=24h"]).ok();
    assert!(text.contains("2 of 3 sources silent for 1d or more"), "{text}");
    assert!(text.contains("1d 1h") && !text.contains('\u{1b}'), "{text}");
}
