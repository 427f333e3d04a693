//! What can go wrong with Redis, in words an operator can act on.
//!
//! Every message says what failed, on what, and what to do. No URL is shown with its password. The
//! predicates are how the loops decide between trying again, recreating a group and refusing intake.

use std::path::PathBuf;

use fred::error::{Error as RedisError, ErrorKind};
use url::Url;

use super::advice::{cause, command_advice, connect_advice, too_few};
use crate::domain::ids::SubscriptionId;
use crate::telemetry::labels::RedisErrorKind;

/// A failure to reach, prepare or use Redis.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection could be made.
    #[error("cannot reach Redis at {url}: {}. {}", cause(source), connect_advice(source))]
    Connect {
        /// The server, password masked.
        url: String,
        /// What the client reported.
        source: RedisError,
    },
    /// One command or script failed.
    #[error("{op} failed on Redis: {}{}", cause(source), command_advice(source))]
    Command {
        /// The operation as the code names it, for example `settle`.
        op: &'static str,
        /// What the server or client reported.
        source: RedisError,
    },
    /// An event was not written: the connection that it must go over could not be made.
    #[error("the event was not written: {0}")]
    Unsent(Box<StoreError>),
    /// An event is not on as many replicas as it must be.
    #[error("{}", too_few(*wanted, *found, *written))]
    Replicas {
        /// `redis.confirm_replicas`.
        wanted: u32,
        /// How many have it, or follow closely enough to be asked.
        found: u32,
        /// Whether the master has it.
        written: bool,
    },
    /// An event was written, and its replicas could not be asked for it.
    #[error("the event was written, but not confirmed by a replica: {0}")]
    Unconfirmed(Box<StoreError>),
    /// The settings or the server make it impossible to start; the text says what to change.
    #[error("{0}")]
    Setup(String),
    /// Redis answered something that no version of Holdfast writes.
    #[error("Redis answered {found}, where {wanted} was expected; is the prefix shared with another program?")]
    Answer {
        /// What was expected.
        wanted: &'static str,
        /// What came.
        found: String,
    },
    /// The id of a new subscription is in use.
    #[error("there is a subscription {0} already")]
    Taken(SubscriptionId),
    /// There may be no further subscription.
    #[error("there are as many subscriptions as redfish.max_subscriptions allows")]
    Full,
    /// No such subscription.
    #[error("there is no subscription {0}; see `holdfast subscriptions list`")]
    Unknown(SubscriptionId),
    /// A stored subscription can't be read.
    #[error("the stored subscription {id} can't be read: {problem}; remove it, or mend its JSON in Redis")]
    Subscription {
        /// Which one.
        id: SubscriptionId,
        /// Where the JSON is wrong.
        problem: String,
    },
    /// The hash of the subscriptions is not in Redis, though there were some.
    #[error(
        "the subscriptions are gone from Redis: {key} is empty, and nobody removed them. Before you add any, restore the \
         key from a replica or a backup: who is not in it after that counts as removed"
    )]
    RegistryLost {
        /// The hash.
        key: String,
    },
    /// The private server could not be started, reached or stopped.
    #[error("the embedded Redis server in {}: {problem}", dir.display())]
    Embedded {
        /// Its data directory.
        dir: PathBuf,
        /// What happened and what to do.
        problem: String,
    },
}

impl StoreError {
    /// Names the operation that failed, for `map_err(StoreError::command("settle"))`.
    pub fn command(op: &'static str) -> impl Fn(RedisError) -> Self + Copy {
        move |source| Self::Command { op, source }
    }

    /// An answer that is not of the form expected.
    pub(super) fn answer(wanted: &'static str, found: &impl std::fmt::Display) -> Self {
        Self::Answer {
            wanted,
            found: found.to_string(),
        }
    }

    /// The kind of failure, as a metric label.
    #[must_use]
    pub fn label(&self) -> RedisErrorKind {
        if self.is_memory_limit() {
            return RedisErrorKind::OutOfMemory;
        }
        if self.is_no_group() {
            return RedisErrorKind::NoGroup;
        }
        if self.is_permission() {
            return RedisErrorKind::Permission;
        }
        match self {
            Self::Command { source, .. } if *source.kind() == ErrorKind::Timeout => RedisErrorKind::Timeout,
            Self::Unsent(source) => source.label(),
            _ if self.is_disconnected() => RedisErrorKind::Connection,
            _ if self.is_transient() => RedisErrorKind::Topology,
            _ => RedisErrorKind::Other,
        }
    }

    /// Redis has reached `maxmemory` and refused a write. Matches inside script errors too, where
    /// 6.2 hides the code: `ERR Error running script … -OOM …`.
    #[must_use]
    pub fn is_memory_limit(&self) -> bool {
        self.reply().is_some_and(|text| text.contains("OOM"))
    }

    /// The stream or its consumer group is gone (FLUSHALL, an empty failover).
    #[must_use]
    pub fn is_no_group(&self) -> bool {
        self.reply().is_some_and(|text| text.contains("NOGROUP"))
    }

    /// The ACL user may not run the command or touch the key.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        self.reply()
            .is_some_and(|text| is_denied(text) || ["NOAUTH", "WRONGPASS"].iter().any(|code| text.contains(code)))
    }

    /// The connection broke or the answer did not come in time: the command may or may not have run.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Command { source, .. } => {
                // The last one is what is left of a command whose connection was dropped for its silence.
                matches!(
                    source.kind(),
                    ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Routing | ErrorKind::Sentinel
                ) || source.details() == "channel closed"
            }
            _ => false,
        }
    }

    /// Waiting is the right answer, and what failed was not done unless [`Self::is_disconnected`]: a broken connection, a server that loads, fails over or migrates a
    /// slot, or a full local command buffer.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        const CODES: [&str; 8] = [
            "LOADING",
            "READONLY",
            "MASTERDOWN",
            "CLUSTERDOWN",
            "TRYAGAIN",
            "NOREPLICAS",
            "BUSY",
            "Too many redirections",
        ];
        if self.is_disconnected() {
            return true;
        }
        let source = match self {
            Self::Command { source, .. } => source,
            Self::Unsent(_) => return true,
            Self::Replicas { written, .. } => return !written,
            _ => return false,
        };
        matches!(source.kind(), ErrorKind::Backpressure | ErrorKind::Cluster)
            || [
                "Failed to route command",
                "Failed to send command",
                "Client is not initialized",
            ]
            .iter()
            .any(|start| source.details().starts_with(start))
            || CODES.iter().any(|code| source.details().contains(code))
    }

    /// The text of the client's or server's error.
    fn reply(&self) -> Option<&str> {
        match self {
            Self::Connect { source, .. } | Self::Command { source, .. } => Some(source.details()),
            Self::Unsent(source) | Self::Unconfirmed(source) => source.reply(),
            _ => None,
        }
    }
}

/// The URL with every password replaced by `***`, for messages and logs.
#[must_use]
pub fn masked(url: &str) -> String {
    let Some(mut parsed) = Url::parse(url).ok().filter(|url| !url.cannot_be_a_base()) else {
        return match url.rsplit_once('@') {
            Some((_, rest)) => format!("***@{rest}"),
            None => url.to_owned(),
        };
    };
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
        return format!("{}://***", parsed.scheme());
    }
    let secret = |name: &str| name.to_ascii_lowercase().contains("password");
    if parsed.query_pairs().any(|(name, _)| secret(&name)) {
        let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
        parsed
            .query_pairs_mut()
            .clear()
            .extend_pairs(pairs.iter().map(|(name, value)| {
                let shown = if secret(name) { "***" } else { value.as_str() };
                (name.as_str(), shown)
            }));
    }
    parsed.to_string()
}

/// Whether an answer means that the user may not do this. Servers word it differently for a command on its own,
/// within a script (before and since Redis 7.2) and for a key.
pub(super) fn is_denied(text: &str) -> bool {
    [
        "NOPERM",
        "can't run this command",
        "can't access at least one",
        "ACL failure in script",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(kind: ErrorKind, text: &'static str) -> StoreError {
        StoreError::command("settle")(RedisError::new(kind, text))
    }

    #[test]
    fn codes_are_found_inside_script_errors() {
        let hidden = "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed";
        assert!(command(ErrorKind::Unknown, hidden).is_memory_limit());
        assert!(!command(ErrorKind::Unknown, "ERR no such key").is_memory_limit());
        assert!(command(ErrorKind::Unknown, "NOGROUP No such key 'x'").is_no_group());
        for denied in [
            "NOPERM this user",
            "ERR The user executing the script can't run this command or subcommand script",
            "ERR ACL failure in script: User holdfast has no permissions to run the 'xlen' command script",
        ] {
            assert!(command(ErrorKind::Unknown, denied).is_permission(), "{denied}");
        }
    }

    #[test]
    fn only_waiting_helps_with_transient_errors() {
        assert!(command(ErrorKind::IO, "Connection closed.").is_disconnected());
        assert!(command(ErrorKind::Unknown, "channel closed").is_disconnected());
        let unsent = command(ErrorKind::Unknown, "Failed to send command to router.");
        assert!(unsent.is_transient() && !unsent.is_disconnected());
        assert!(command(ErrorKind::Unknown, "READONLY You can't write").is_transient());
        assert!(command(ErrorKind::Unknown, "TRYAGAIN Multiple keys").is_transient());
        assert!(command(ErrorKind::Backpressure, "Max in-flight").is_transient());
        assert!(!command(ErrorKind::InvalidArgument, "WRONGTYPE Operation").is_transient());
    }

    #[test]
    fn causes_are_said_in_words() {
        for (kind, details, said) in [
            (
                ErrorKind::IO,
                r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#,
                "Connection refused",
            ),
            (
                ErrorKind::IO,
                "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }",
                "its certificate is not trusted (UnknownIssuer)",
            ),
            (
                ErrorKind::Unknown,
                "READONLY You can't write against a read only replica. script: 46f4, on @user_script:9.",
                "READONLY You can't write against a read only replica",
            ),
            (ErrorKind::Timeout, "Request timed out.", "no answer in time"),
        ] {
            assert_eq!(cause(&RedisError::new(kind, details)), said);
        }
    }

    #[test]
    fn no_password_is_shown() {
        for url in [
            "redis://user:s3cret@host:6379/1",
            "rediss://:s3cret@host",
            "redis-sentinel://u:s3cret@h:26379?sentinelServiceName=m&sentinelPassword=s3cret",
            "redis://user:s3cret@host:notaport",
            "u:s3cret@host",
        ] {
            let shown = masked(url);
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains('h'), "{shown}");
        }
        assert_eq!(masked("/run/redis.sock"), "/run/redis.sock");
    }
}
