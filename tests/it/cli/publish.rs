//! `holdfast publish`: all or nothing, byte for byte.

use super::EVENT;
use super::run::Cli;
use crate::support::TestRedis;

#[test]
fn published_events_are_in_the_stream_byte_for_byte() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    let odd = "{\"Id\" :  1.0,\n \"Events\":[{\"Message\":\"\\u00e9\"}]}\n";
    cli.write("a.json", EVENT);
    cli.write("b.json", odd);
    let ids = cli.run(&["publish", "a.json", "b.json", "--source=bmc-7"]).ok();
    assert_eq!(ids.lines().count(), 2);
    let lines = cli.feed(&["publish", "-"], &format!("{EVENT}\n\n{EVENT}\r\n")).ok();
    assert_eq!(lines.lines().count(), 2);
    cli.feed(&["publish", "-"], odd).ok();
    let stream = redis.cli(&["XRANGE", "holdfast:{0}:events", "-", "+"]);
    assert_eq!(stream.matches(EVENT).count(), 3, "{stream}");
    assert_eq!(stream.matches(odd).count(), 2, "{stream}");
    assert_eq!(stream.matches("bmc-7").count(), 2, "{stream}");
    for id in ids.lines().chain(lines.lines()) {
        assert!(stream.contains(id));
    }
}

#[test]
fn nothing_is_published_when_one_event_is_bad() {
    let redis = TestRedis::start();
    let cli = Cli::of(&redis);
    cli.write("good.json", EVENT);
    cli.write("bad.json", "{\n \"Events\": [}");
    cli.write("large.json", &format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)));
    for (files, words) in [
        (
            &["good.json", "bad.json"][..],
            &["bad.json", "line 2 column 13", "nothing was published"][..],
        ),
        (
            &["good.json", "large.json"],
            &["large.json", "intake.max_body", "nothing was published"],
        ),
        (&["good.json", "absent.json"], &["absent.json"]),
    ] {
        cli.run(&[&["publish"], files].concat()).fails(words);
    }
    cli.feed(&["publish", "-"], "{}\n[]\n")
        .fails(&["standard input, line 2", "an array"]);
    assert_eq!(redis.cli(&["XLEN", "holdfast:{0}:events"]), "0");
    let full = TestRedis::with(&["--maxmemory", "1mb"]);
    Cli { url: full.url(), ..cli }.run(&["publish", "good.json"]).fails(&[
        "0 of 1 event published",
        "nearly full",
        "maxmemory",
    ]);
}
