//! Where a missing event was last seen: where it is now, and what Redis' append-only file says was done to it.

use std::fs;
use std::path::Path;

use crate::producer::mark;
use crate::stage::Stage;

/// Commands of the append-only file that are shown for one event, at most.
const MOST: usize = 12;

/// What is known about an event that did not reach a subscriber, in lines.
pub(crate) fn trail(stage: &Stage, subscriber: usize, number: u64) -> Vec<String> {
    let subscriber = stage.subscribers().nth(subscriber).unwrap();
    let mark = mark(stage.seed, number);
    let mut lines = vec![
        format!("event {number} for {} ({})", subscriber.name, subscriber.id),
        format!("  its sender was told: {}", stage.producer.told(number)),
        format!("  it is now: {}", place(stage, &subscriber.id, &mark)),
    ];
    for node in &stage.servers.nodes {
        lines.extend(history(node.dir(), &mark).into_iter().map(|done| format!("  {done}")));
    }
    lines
}

/// Where Redis holds it now.
fn place(stage: &Stage, subscription: &str, mark: &str) -> &'static str {
    for partition in stage.store.partitions() {
        let keys = partition.keys();
        let cli = |words: &[&str]| stage.servers.cli(words);
        let stream = cli(&["XRANGE", &keys.events, "-", "+"]);
        if let Some((before, _)) = stream.split_once(mark) {
            let mut ids = before.lines().filter(|line| is_stream_id(line));
            let id = ids.next_back().unwrap_or("0-0");
            let pending = cli(&["XPENDING", &keys.events, "workers", id, id, "1"]);
            return if pending.is_empty() {
                "in the stream"
            } else {
                "in the pending list"
            };
        }
        let bodies = format!("{}bodies", keys.events.trim_end_matches("events"));
        for member in cli(&["ZRANGE", &keys.retry(subscription), "0", "-1"]).lines() {
            if cli(&["HGET", &bodies, member]).contains(mark) {
                return "in its retry queue";
            }
        }
        if cli(&["XRANGE", &keys.dead(), "-", "+"]).contains(mark) {
            return "a dead letter, perhaps of another subscription";
        }
    }
    "nowhere"
}

/// Whether a line of a reply is a stream id of our time.
pub(crate) fn is_stream_id(line: &str) -> bool {
    line.split_once('-').is_some_and(|(millis, sequence)| {
        millis.len() == 13 && [millis, sequence].concat().bytes().all(|b| b.is_ascii_digit())
    })
}

/// What was done to the event on one server, oldest first.
fn history(dir: &Path, mark: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for file in append_only_files(dir) {
        commands.extend(parse(&fs::read(file).unwrap_or_default()));
    }
    let written = commands
        .iter()
        .find(|words| words[0] == "XADD" && words.iter().any(|word| word.contains(mark)));
    let Some(id) = written.and_then(|words| words.get(2)) else {
        return Vec::new();
    };
    let about = commands
        .iter()
        .filter(|words| words.iter().any(|word| names(word, id) || word.contains(mark)));
    about
        .take(MOST)
        .map(|words| {
            let shown: Vec<&str> = words
                .iter()
                .map(|word| if word.len() > 60 { "…" } else { word })
                .collect();
            shown.join(" ")
        })
        .collect()
}

/// Whether a word is the stream id, or the member made of it: `1700000000000-12`, `m1700000000000-b12`.
fn names(word: &str, id: &str) -> bool {
    let parts = |text: &str| {
        let (millis, sequence) = text.split_once('-')?;
        let digits = |text: &str| {
            text.trim_start_matches(|first: char| first.is_ascii_lowercase())
                .to_owned()
        };
        Some((digits(millis), digits(sequence)))
    };
    parts(word).is_some_and(|word| Some(word) == parts(id))
}

fn append_only_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let inside = |dir: &Path| -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut files = inside(&dir.join("appendonlydir"));
    files.extend(inside(dir));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "aof"));
    files.sort();
    files
}

/// The commands of an append-only file; what is no command, or cut off, is passed over.
fn parse(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == b'*') {
        rest = &rest[start..];
        match command(rest) {
            Some((words, length)) if !words.is_empty() => {
                commands.push(words);
                rest = &rest[length..];
            }
            _ => rest = &rest[1..],
        }
    }
    commands
}

/// The first command and how many bytes it takes.
fn command(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let (count, mut at) = number(bytes, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, header) = number(&bytes[at..], b'$')?;
        let word = bytes.get(at + header..at + header + length)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        at += header + length + 2;
    }
    Some((words, at.min(bytes.len())))
}

/// `<sign><number>\r\n`, and how many bytes that is.
fn number(bytes: &[u8], sign: u8) -> Option<(usize, usize)> {
    let line = bytes.strip_prefix(&[sign])?;
    let end = line.windows(2).position(|two| two == b"\r\n")?;
    let number = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    Some((number, end + 3))
}
