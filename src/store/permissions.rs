//! Tries every command that Holdfast uses, on scratch keys, before the first event is touched.
//!
//! The lists here are the one source of `config/holdfast.acl` too: a command that is added here is granted
//! there (a test writes the file anew), and a command that nothing sends any more may not stay.
//!
//! Called by `probe` at start. Nothing rolls back in a script: a command that is missing or forbidden
//! must be found now, not after an event was acknowledged. Each command is tried alone and inside Lua,
//! with the newest options that are used. Any answer but "unknown", "forbidden" or "bad syntax" will do:
//! a full or replaying server still starts.

use std::collections::BTreeSet;

use fred::prelude::{ClientLike, ClusterInterface};
use fred::types::{ClusterHash, CustomCommand, Value};

use super::connect::Connection;
use super::error::{StoreError, is_denied};
use super::keys::{slot, tag};

/// Commands and their arguments. `STREAM`, `ZSET`, `HASH`, `SET`, `TEXT` stand for scratch keys.
const COMMANDS: &[&str] = &[
    "TIME",
    "TYPE TEXT",
    "SET TEXT 1",
    "GET TEXT",
    "XADD STREAM * probe 1",
    "XLEN STREAM",
    "XRANGE STREAM - + COUNT 1",
    "XREVRANGE STREAM + - COUNT 1",
    "XTRIM STREAM MINID ~ 0 LIMIT 1",
    "XGROUP CREATE STREAM probe 0 MKSTREAM",
    "XREADGROUP GROUP probe probe COUNT 1 STREAMS STREAM >",
    "XPENDING STREAM probe - + 1 probe",
    "XCLAIM STREAM probe probe 0 0-1 RETRYCOUNT 1 JUSTID",
    "XINFO CONSUMERS STREAM probe",
    "XINFO GROUPS STREAM",
    "XINFO STREAM STREAM",
    "XACK STREAM probe 0-1",
    "XDEL STREAM 0-1",
    "XGROUP DELCONSUMER STREAM probe probe",
    "ZADD ZSET LT 1 probe",
    "ZADD ZSET NX 1 probe",
    "ZADD ZSET GT 1 probe",
    "ZSCORE ZSET probe",
    "ZCOUNT ZSET 0 1",
    "ZREMRANGEBYSCORE ZSET 0 1",
    "ZREMRANGEBYRANK ZSET 0 1",
    "ZCARD ZSET",
    "ZRANGE ZSET 0 0 WITHSCORES",
    "ZRANGEBYSCORE ZSET 0 1 LIMIT 0 1",
    "ZREM ZSET probe",
    "HSET HASH probe 1",
    "HSETNX HASH probe 1",
    "HINCRBY HASH probe 1",
    "HGET HASH probe",
    "HMGET HASH probe",
    "HGETALL HASH",
    "HSTRLEN HASH probe",
    "HLEN HASH",
    "HSCAN HASH 0 COUNT 1",
    "HDEL HASH probe",
    "SADD SET probe",
    "SISMEMBER SET probe",
    "SMEMBERS SET",
    "SCARD SET",
    "SREM SET probe",
    "UNLINK STREAM ZSET HASH SET TEXT",
];

/// Tried alone only: scripts cannot be nested.
const DIRECT: &[&str] = &[
    // Without its answer the client library does not tell which servers it is connected to, and the memory guard
    // would see none.
    "CLIENT ID",
    "PING",
    "INFO server",
    "SCRIPT LOAD return",
    "EVAL return 0",
    "EVALSHA 0000000000000000000000000000000000000000 0",
];

/// Needed where events must be on replicas; granted always, so that this can be switched on.
const CONFIRMING: &[&str] = &["WAIT 0 1", "CLIENT GETNAME"];

/// What the connection itself sends: its name for `CLIENT LIST`, and what finds the masters of a Sentinel deployment
/// or a Cluster. Granted, but not tried: a connection that stands has what it needs.
const CONNECTION: &[&str] = &["CLIENT SETNAME", "ROLE", "CLUSTER INFO", "CLUSTER SLOTS", "ASKING"];

/// Commands that are known by a subcommand, of which only that one is granted.
const WITH_SUBCOMMAND: &[&str] = &["client", "cluster", "memory", "script", "xgroup", "xinfo"];

/// What the scripts can do without: `trim` estimates what it may not measure. Granted, but not tried.
const OPTIONAL: &[&str] = &["MEMORY USAGE"];

/// So many hash tags fall on every node of any Cluster that is not absurdly uneven.
const CANDIDATES: u16 = 4_096;

/// Runs one command and answers its error's text, or an empty string.
const IN_LUA: &str = "local reply = redis.pcall(unpack(ARGV)); \
                      if type(reply) == 'table' and reply.err then return reply.err end return ''";

/// The ACL rules of a user who may do exactly what Holdfast needs with the keys behind a prefix.
#[must_use]
pub fn rules(prefix: &str) -> Vec<String> {
    let lines = [CONNECTION, OPTIONAL, CONFIRMING, DIRECT, COMMANDS].concat();
    let commands: BTreeSet<String> = lines.into_iter().map(rule).collect();
    let first = ["resetchannels".to_owned(), format!("~{prefix}:*"), "-@all".to_owned()];
    first.into_iter().chain(commands).collect()
}

/// Tries everything.
///
/// # Errors
/// [`StoreError::Setup`] naming each command that is missing or forbidden and the ACL rule that helps;
/// [`StoreError::Command`] when the server cannot be asked.
pub async fn check(connection: &Connection, prefix: &str) -> Result<(), StoreError> {
    let mut problems = Problems::default();
    for tag in tags(connection) {
        let scratch = Scratch {
            connection,
            tag: format!("{prefix}:{{{tag}}}:probe"),
        };
        scratch.try_all(&mut problems).await?;
    }
    problems.verdict(connection, prefix)
}

/// A hash tag on each server: the nodes of a Cluster have users each of their own.
fn tags(connection: &Connection) -> Vec<String> {
    let Some(routing) = connection.client().cached_cluster_state() else {
        return vec![tag(0)];
    };
    let mut served = Vec::new();
    let mut tags = Vec::new();
    for candidate in (0..CANDIDATES).map(|n| n.to_string()) {
        if let Some(server) = routing.get_server(slot(&candidate))
            && !served.contains(&server)
        {
            served.push(server);
            tags.push(candidate);
        }
    }
    tags
}

/// The keys that are made and removed here.
struct Scratch<'a> {
    connection: &'a Connection,
    tag: String,
}

impl Scratch<'_> {
    /// Tries everything on one server.
    async fn try_all(&self, problems: &mut Problems) -> Result<(), StoreError> {
        let mut scripts = true;
        let confirming = if self.connection.confirm().is_some() {
            CONFIRMING
        } else {
            &[]
        };
        for line in [DIRECT, confirming, COMMANDS].concat() {
            let reply = self.direct(line).await?;
            scripts &= !(line.starts_with("EVAL ") && is_denied(&reply));
            problems.note(line, &reply);
        }
        // Who may not run a script at all would be told that every command is forbidden.
        for line in COMMANDS.iter().filter(|_| scripts) {
            problems.note(line, &self.in_lua(line).await?);
        }
        Ok(())
    }

    /// The words of a line, with scratch keys in place.
    fn words(&self, line: &str) -> Vec<String> {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for (at, word) in words.iter_mut().enumerate() {
            // The subcommand `XINFO STREAM` and the keyword `STREAMS` are no keys.
            let is_key = matches!(word.as_str(), "STREAM" | "ZSET" | "HASH" | "SET" | "TEXT");
            if at > 0 && is_key && !(at == 1 && line.starts_with("XINFO ")) {
                *word = format!("{}:{}", self.tag, word.to_ascii_lowercase());
            }
        }
        words
    }

    async fn direct(&self, line: &str) -> Result<String, StoreError> {
        let mut words = self.words(line);
        let command = words.remove(0);
        self.send(&command, words).await
    }

    async fn in_lua(&self, line: &str) -> Result<String, StoreError> {
        // Every key goes in by name, as Cluster and ACL rules want it; the script itself uses ARGV.
        let keys = ["stream", "zset", "hash", "set", "text"].map(|kind| format!("{}:{kind}", self.tag));
        let mut arguments = vec![IN_LUA.to_owned(), keys.len().to_string()];
        arguments.extend(keys);
        arguments.extend(self.words(line));
        self.send("EVAL", arguments).await
    }

    /// The text of the error, or of the answer when it is a string, or nothing.
    async fn send(&self, command: &str, arguments: Vec<String>) -> Result<String, StoreError> {
        let slot = fred::util::redis_keyslot(self.tag.as_bytes());
        let command = CustomCommand::new(command.to_owned(), ClusterHash::Custom(slot), false);
        let answer: Result<Value, _> = self.connection.client().custom(command, arguments).await;
        match answer {
            Ok(value) => Ok(value.into_string().unwrap_or_default()),
            Err(source) => {
                let text = source.details().to_owned();
                let error = StoreError::Command { op: "probe", source };
                if error.is_disconnected() { Err(error) } else { Ok(text) }
            }
        }
    }
}

/// What was found, each command once.
#[derive(Default)]
struct Problems {
    forbidden: BTreeSet<String>,
    missing: BTreeSet<String>,
    keys: bool,
}

impl Problems {
    fn note(&mut self, line: &str, reply: &str) {
        let lower = reply.to_ascii_lowercase();
        let forbidden = is_denied(reply);
        if forbidden && lower.contains("key") {
            self.keys = true;
        } else if forbidden {
            self.forbidden.insert(rule(line));
        } else if [
            "unknown command",
            "unknown redis command",
            "unknown subcommand",
            "syntax error",
        ]
        .iter()
        .any(|text| lower.contains(text))
        {
            self.missing.insert(line.to_owned());
        }
    }

    fn verdict(&self, connection: &Connection, prefix: &str) -> Result<(), StoreError> {
        let (user, url) = (connection.username(), connection.url());
        if !self.missing.is_empty() {
            let missing: Vec<&str> = self.missing.iter().map(String::as_str).collect();
            return Err(StoreError::Setup(format!(
                "the Redis at {url} cannot run: {}. Holdfast needs Redis 6.2 or later, or Valkey, with no renamed commands",
                missing.join("; ")
            )));
        }
        let mut rules: Vec<String> = self.forbidden.iter().cloned().collect();
        if self.keys {
            rules.insert(0, format!("~{prefix}:*"));
        }
        if rules.is_empty() {
            return Ok(());
        }
        Err(StoreError::Setup(format!(
            "the user {user:?} may not do on Redis at {url} what Holdfast needs; run: ACL SETUSER {user} {}",
            rules.join(" ")
        )))
    }
}

/// The ACL rule that allows a line's command, with its subcommand where it has some.
fn rule(line: &str) -> String {
    let mut words = line.split(' ').map(str::to_ascii_lowercase);
    let command = words.next().unwrap_or_default();
    match (command.as_str(), words.next()) {
        (command, Some(sub)) if WITH_SUBCOMMAND.contains(&command) => format!("+{command}|{sub}"),
        _ => format!("+{command}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The texts of a directory's files, those below it too, but not of this one.
    fn texts(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| !path.ends_with(file!()))
            .flat_map(|path| {
                if path.is_dir() {
                    return texts(&path);
                }
                vec![std::fs::read_to_string(path).expect("text")]
            })
            .collect()
    }

    /// The rules of every command that a script calls or that the store sends, as the code names them.
    fn sent() -> BTreeSet<String> {
        let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        let mut sent = BTreeSet::new();
        for text in texts(&store) {
            for call in ["redis.call('", "redis.pcall('"] {
                let calls = text.split(call).skip(1);
                sent.extend(calls.map(|rest| {
                    let words: Vec<&str> = rest.split('\'').collect();
                    rule(&format!("{} {}", words[0], words.get(2).unwrap_or(&"")))
                }));
            }
            for call in ["measured(", "measured::<()>(", "StoreError::command("] {
                let calls = text.split(call).skip(1);
                let names = calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                sent.extend(names.filter(|name| is_command(name)).map(rule));
            }
            if text.contains(".evalsha_with_reload(") {
                sent.extend(["EVALSHA", "SCRIPT LOAD"].map(rule));
            }
            if text.contains("\"GETNAME\"") {
                sent.insert(rule("CLIENT GETNAME"));
            }
            if text.contains(".active_connections()") {
                sent.insert(rule("CLIENT ID"));
            }
        }
        // By the trial itself. `CONFIG GET` is not among these: `probe` does without where it is refused.
        sent.insert(rule("EVAL"));
        sent
    }

    fn is_command(name: &str) -> bool {
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ')
    }

    #[test]
    fn what_is_sent_is_what_is_tried_or_optional() {
        let tried: BTreeSet<String> = [OPTIONAL, CONFIRMING, DIRECT, COMMANDS]
            .concat()
            .into_iter()
            .map(rule)
            .collect();
        let sent = sent();
        let known: BTreeSet<String> = CONNECTION.iter().map(|line| rule(line)).collect();
        let untried: Vec<&String> = sent.difference(&tried).filter(|one| !known.contains(*one)).collect();
        assert_eq!(untried, Vec::<&String>::new(), "add these to COMMANDS");
        let unused: Vec<&String> = tried.difference(&sent).collect();
        assert_eq!(unused, Vec::<&String>::new(), "nothing needs these");
    }

    #[test]
    fn the_acl_file_grants_exactly_what_is_needed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/holdfast.acl");
        let right = format!("user holdfast on {}\n", rules("holdfast").join(" "));
        if std::fs::read_to_string(&path).is_ok_and(|text| text == right) {
            return;
        }
        std::fs::write(&path, right).expect("config/holdfast.acl can be written");
        panic!("config/holdfast.acl did not grant exactly what is needed; it was written anew: commit it");
    }

    #[test]
    fn answers_are_told_apart() {
        let mut problems = Problems::default();
        problems.note("XLEN STREAM", "OOM command not allowed");
        problems.note("XPENDING STREAM probe - + 1 probe", "NOGROUP No such key");
        assert!(problems.forbidden.is_empty() && problems.missing.is_empty() && !problems.keys);
        problems.note(
            "XLEN STREAM",
            "NOPERM this user has no permissions to run the 'xlen' command",
        );
        problems.note(
            "XINFO CONSUMERS STREAM probe",
            "ERR The user executing the script can't run this command or subcommand script",
        );
        problems.note(
            "TIME",
            "ERR ACL failure in script: User holdfast has no permissions to run the 'time' command script: on @user",
        );
        assert_eq!(problems.forbidden.len(), 3);
        assert!(problems.forbidden.contains("+xinfo|consumers"));
        problems.note(
            "GET TEXT",
            "NOPERM this user has no permissions to access one of the keys used as arguments",
        );
        assert!(problems.keys);
        problems.note("ZADD ZSET LT 1 probe", "ERR syntax error");
        assert!(problems.missing.contains("ZADD ZSET LT 1 probe"));
    }
}
