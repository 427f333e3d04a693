//! Keeps passwords out of everything that is printed: settings, messages, `Debug`.
//!
//! Used by the settings structs when they are shown and by the messages about bad values. When in doubt
//! which part of a URL is the password, all of it is masked.

use std::fmt;

use secrecy::SecretString;
use serde::Serializer;

use super::Redis;

/// Stands for a secret wherever one would be shown.
pub(super) const MASK: &str = "••••••";

/// Serialises whether a password is set, never the password.
pub(super) fn serialize_masked<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_str(MASK),
        None => serializer.serialize_none(),
    }
}

/// Serialises a URL without its password.
pub(super) fn serialize_url<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask_url(url))
}

/// The text of a setting's value as it may be shown.
pub(super) fn mask(path: &str, text: &str) -> String {
    match path {
        "redis.password" | "secrets.key" | "secrets.previous_keys" | "redfish.admin_password" => MASK.to_owned(),
        "redis.url" => mask_url(text),
        _ => text.to_owned(),
    }
}

/// A URL with the password of its user part, and every query value named like one, masked.
pub(super) fn mask_url(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // An `@` after the authority: the password itself may hold an unescaped `/`, `?` or `#`.
    if tail.contains('@') || (scheme.is_empty() && rest.contains('@')) {
        return format!("{scheme}{MASK}");
    }
    format!("{scheme}{}{}", mask_authority(authority), mask_query(tail))
}

/// `user:password@host` with the password masked; a user part without a colon is masked whole.
fn mask_authority(authority: &str) -> String {
    let Some((user_part, host)) = authority.rsplit_once('@') else {
        return authority.to_owned();
    };
    match user_part.split_once(':') {
        Some((user, _)) => format!("{user}:{MASK}@{host}"),
        None => format!("{MASK}@{host}"),
    }
}

/// The path and query with values such as `sentinelPassword=…` masked.
fn mask_query(tail: &str) -> String {
    let Some((path, query)) = tail.split_once('?') else {
        return tail.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={MASK}"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("url", &mask_url(&self.url))
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| MASK))
            .field("ca_file", &self.ca_file)
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("command_timeout", &self.command_timeout)
            .field("pool", &self.pool)
            .field("allow_embedded", &self.allow_embedded)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_url_shows_its_password() {
        for (url, shown) in [
            ("embedded", "embedded"),
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://bob:hunter2@host:6379/0", "redis://bob:••••••@host:6379/0"),
            ("redis://:hunter2@host", "redis://:••••••@host"),
            ("redis://hunter2@host", "redis://••••••@host"),
            ("redis://bob:hun@ter2@host", "redis://bob:••••••@host"),
            ("redis://bob:hun/ter2@host", "redis://••••••"),
            ("redis://bob:hun?ter2@host", "redis://••••••"),
            ("bob:hunter2@host", "••••••"),
            (
                "redis-sentinel://h:26379/0?sentinelServiceName=main&sentinelPassword=hunter2",
                "redis-sentinel://h:26379/0?sentinelServiceName=main&sentinelPassword=••••••",
            ),
            (
                "redis-sentinel://h?sentinelPassword=hun@ter2",
                "redis-sentinel://••••••",
            ),
        ] {
            assert_eq!(mask_url(url), shown, "{url}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let redis = Redis {
            url: "redis://bob:hunter2@host".to_owned(),
            password: Some("hunter2".to_owned().into()),
            ..Redis::default()
        };
        let shown = format!("{redis:?}");
        assert!(shown.contains("bob") && !shown.contains("hunter2"), "{shown}");
    }
}
