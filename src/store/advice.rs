//! What a failure of Redis means and what to do about it, for the messages of `error.rs`.

use fred::error::{Error as RedisError, ErrorKind};

use super::error::is_denied;

/// An event that not enough replicas have.
pub(super) fn too_few(wanted: u32, found: u32, written: bool) -> String {
    let state = if written {
        "was written, but"
    } else {
        "was not written:"
    };
    format!(
        "the event {state} {found} of the {wanted} replicas it must be on keep up (redis.confirm_replicas). Look why \
         replicas are away or slow (INFO replication on the master), or ask for fewer with \
         HOLDFAST_REDIS__CONFIRM_REPLICAS"
    )
}

/// What the client reported, in words: without the client's own labels, the debug form of the system's errors, and
/// the place inside a script.
pub(super) fn cause(source: &RedisError) -> String {
    if *source.kind() == ErrorKind::Timeout {
        return "no answer in time".to_owned();
    }
    let details = source.details();
    let inner = details.strip_suffix(" }").and_then(|text| {
        // `Os { code: …, kind: …, message: "…" }` and `Custom { kind: …, error: … }`
        text.split_once("message: ").or_else(|| text.split_once(", error: "))
    });
    let text = inner.map_or(details, |(_, text)| text).trim_matches('"');
    if let Some(reason) = text.strip_prefix("InvalidCertificate(") {
        return format!("its certificate is not trusted ({reason}");
    }
    let text = text.split(" script: ").next().unwrap_or(text);
    text.trim_end_matches(['.', ' ']).to_owned()
}

/// What to do where there is no connection.
pub(super) fn connect_advice(source: &RedisError) -> &'static str {
    match source.kind() {
        ErrorKind::Auth => "Set HOLDFAST_REDIS__USERNAME and HOLDFAST_REDIS__PASSWORD to a user that may log in",
        ErrorKind::Sentinel => {
            "Check the sentinels' addresses and that sentinelServiceName in HOLDFAST_REDIS__URL names their master"
        }
        // A certificate that is not trusted comes as an IO error.
        _ if *source.kind() == ErrorKind::Tls || source.details().contains("Certificate") => {
            "Check HOLDFAST_REDIS__CA_FILE, and that the certificate names the host in the URL"
        }
        _ if source.details().contains("cluster support disabled") => {
            "This server is no Cluster: write redis:// in place of redis-cluster:// in HOLDFAST_REDIS__URL"
        }
        _ if source.details().contains("'select'") => {
            "Leave the database out of HOLDFAST_REDIS__URL (holdfast has a prefix of its own), or grant the user +select"
        }
        _ if source.details().contains("LOADING") => "It is loading its data: wait until it has done so",
        ErrorKind::Timeout => {
            "Check that a Redis listens there that can be reached from here, and that it speaks TLS where \
             HOLDFAST_REDIS__URL says rediss://, and none where it says redis://"
        }
        _ => "Check HOLDFAST_REDIS__URL, and that the server runs and can be reached from here",
    }
}

/// What to do about a command that was refused, as the end of a sentence; empty where nothing is known.
pub(super) fn command_advice(source: &RedisError) -> &'static str {
    let text = source.details();
    if text.contains("OOM") {
        return ". Redis is full: raise its maxmemory; nothing that is in was lost";
    }
    if is_denied(text) {
        return ". Grant the ACL user this command and the keys of the prefix; holdfast doctor names the rules";
    }
    if text.contains("MISCONF") {
        return ". Redis cannot write to its disk: look at its log and free space";
    }
    if text.contains("READONLY") {
        return ". This server is a replica: point HOLDFAST_REDIS__URL at its master or at the sentinels";
    }
    if text.contains("LOADING") {
        return ". Redis is loading its data: wait until it has done so";
    }
    if text.contains("WRONGTYPE") {
        return ". A key of Holdfast was replaced by something else: rename it out of the way, or set \
                HOLDFAST_REDIS__PREFIX to one that nobody else uses";
    }
    if text.contains("CROSSSLOT") {
        return ". The server is a Cluster: write redis-cluster:// in HOLDFAST_REDIS__URL";
    }
    ""
}
