//! Turns the Redis settings into the client's configuration: which servers, with whose name, over what.
//!
//! Called by `connect` once for each connection. Keeps: a URL that makes no sense stops the start with
//! a message that never shows a password.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fred::types::config::{Config, ServerConfig};
use secrecy::ExposeSecret;
use url::Url;

use super::authorities::{self, Authorities};
use super::error::{StoreError, masked};
use crate::config;

const SCHEMES: &str = "redis://, rediss://, redis-sentinel://, rediss-sentinel://, redis-cluster://, \
                       rediss-cluster:// or redis+unix://, or an absolute path of a unix socket";

/// Where a client connects to, and whom it trusts there.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) config: Config,
    /// Those of the file, where there is one and it is needed.
    pub(super) authorities: Option<Arc<Authorities>>,
}

impl From<Config> for Target {
    fn from(config: Config) -> Self {
        Self {
            config,
            authorities: None,
        }
    }
}

/// The target of `url`, with the user, password and authorities of the settings.
pub(super) fn target(settings: &config::Redis, url: &str) -> Result<Target, StoreError> {
    let mut parsed = parse(settings, url)?;
    let target = &mut parsed.config;
    if let Some(username) = &settings.username {
        target.username = Some(username.clone());
    }
    if let Some(password) = &settings.password {
        target.password = Some(password.expose_secret().to_owned());
    }
    if target.username.is_some() && target.password.is_none() {
        return Err(StoreError::Setup(format!(
            "HOLDFAST_REDIS__URL={} names a user without a password; set HOLDFAST_REDIS__PASSWORD",
            masked(url)
        )));
    }
    Ok(parsed)
}

fn parse(settings: &config::Redis, url: &str) -> Result<Target, StoreError> {
    let refused = |why: &str| {
        StoreError::Setup(format!(
            "HOLDFAST_REDIS__URL={} is no Redis URL ({why}); write {SCHEMES}",
            masked(url)
        ))
    };
    if url.starts_with('/') {
        return Ok(unix(PathBuf::from(url)).into());
    }
    let parsed = Url::parse(url).map_err(|why| refused(&why.to_string()))?;
    let plain = parsed.scheme().replace("valkey", "redis");
    if matches!(plain.as_str(), "redis+unix" | "unix") {
        let mut target = unix(socket_path(&parsed).ok_or_else(|| refused("it needs the path of a socket"))?);
        target.username = Some(parsed.username().to_owned()).filter(|name| !name.is_empty());
        target.password = parsed.password().map(str::to_owned);
        return Ok(target.into());
    }
    let secure = plain.starts_with("rediss");
    let kind = plain
        .strip_prefix(if secure { "rediss" } else { "redis" })
        .filter(|kind| matches!(*kind, "" | "-sentinel" | "-cluster"))
        .ok_or_else(|| refused("unknown scheme"))?;
    // The client would load the system's authorities for rediss:// even where others are configured.
    let rest = url.split_once(':').map_or("", |(_, rest)| rest);
    let mut config = Config::from_url(&format!("redis{kind}:{rest}")).map_err(|why| refused(why.details()))?;
    // A connection begins there, and asking for it takes a permission that Holdfast's user has no need of.
    config.database = config.database.filter(|number| *number != 0);
    let mut target = Target::from(config);
    if secure {
        target.authorities = settings.ca_file.clone().map(authorities::read).transpose()?;
        target.config.tls = Some(authorities::tls(target.authorities.as_ref())?);
    }
    Ok(target)
}

fn unix(path: PathBuf) -> Config {
    Config {
        server: ServerConfig::Unix { path },
        ..Config::default()
    }
}

/// The decoded path of a `redis+unix://` URL.
fn socket_path(url: &Url) -> Option<PathBuf> {
    if url.path().len() < 2 {
        return None;
    }
    Url::parse(&format!("file://{}", url.path())).ok()?.to_file_path().ok()
}

/// The `redis+unix://` URL of a socket, for any absolute path.
pub(super) fn unix_url(socket: &Path) -> Option<String> {
    let file = Url::from_file_path(socket).ok()?;
    Some(format!("redis+unix://{}", file.path()))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn settings() -> config::Redis {
        config::Redis::default()
    }

    #[test]
    fn every_kind_of_url_is_understood() {
        let server = |url: &str| target(&settings(), url).map(|target| target.config.server);
        assert!(matches!(
            server("redis://host:1").unwrap(),
            ServerConfig::Centralized { .. }
        ));
        assert!(matches!(
            server("valkey://host").unwrap(),
            ServerConfig::Centralized { .. }
        ));
        assert!(matches!(
            server("redis-cluster://host:1?node=other:2").unwrap(),
            ServerConfig::Clustered { .. }
        ));
        assert!(matches!(
            server("redis-sentinel://host?sentinelServiceName=main").unwrap(),
            ServerConfig::Sentinel { .. }
        ));
        for url in [
            "/run/a b/r.sock",
            "redis+unix:///run/a%20b/r.sock",
            "unix:///run/a%20b/r.sock",
        ] {
            let ServerConfig::Unix { path } = server(url).unwrap() else {
                panic!("{url} is a socket")
            };
            assert_eq!(path, Path::new("/run/a b/r.sock"), "{url}");
        }
        assert_eq!(
            unix_url(Path::new("/run/a b/r.sock")).unwrap(),
            "redis+unix:///run/a%20b/r.sock"
        );
    }

    #[test]
    fn nonsense_is_refused_without_its_password() {
        for url in [
            "http://u:s3cret@host",
            "host:6379",
            "",
            "redis+unix://",
            "redis://u:s3cret@host:port",
        ] {
            let StoreError::Setup(message) = target(&settings(), url).unwrap_err() else {
                panic!("{url} is a matter of settings")
            };
            assert!(message.contains("HOLDFAST_REDIS__URL"), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
        assert!(
            target(&settings(), "redis-sentinel://host").is_err(),
            "needs a service name"
        );
    }

    #[test]
    fn settings_override_the_url() {
        let settings = config::Redis {
            username: Some("writer".to_owned()),
            password: Some(SecretString::from("new")),
            ..settings()
        };
        let target = target(&settings, "redis://old:old@host").unwrap().config;
        assert_eq!(target.username.as_deref(), Some("writer"));
        assert_eq!(target.password.as_deref(), Some("new"));
    }

    #[test]
    fn a_bad_authority_file_is_named() {
        let settings = config::Redis {
            ca_file: Some(PathBuf::from("/nonexistent/ca.pem")),
            ..settings()
        };
        let message = target(&settings, "rediss://host").unwrap_err().to_string();
        assert!(message.contains("/nonexistent/ca.pem"), "{message}");
        assert!(target(&settings, "redis://host").is_ok(), "only TLS needs it");
    }
}
