//! The checks of `doctor` about the Redfish service: whether it listens here and what it shows, and its accounts.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::certificates::{RENEW, standing};
use super::check::{Check, Level};
use crate::cli::health::near;
use crate::cli::text::count;
use crate::cli::tls;
use crate::config::{Config, Role};
use crate::store::{Store, StoreError};

/// How long the service may take to be connected to, and to show its certificate.
const PATIENCE: Duration = Duration::from_secs(4);

/// The listener on this machine, where there is one, and the accounts of all pods; at a time of Redis' clock.
pub(super) async fn check(store: &Store, config: &Config, now_ms: u64) -> Vec<Check> {
    if !config.redfish.enabled {
        return vec![Check::ok("redfish", "not served: redfish.enabled is false")];
    }
    let accounts = accounts(store, config, now_ms).await;
    let accounts = accounts.unwrap_or_else(|error| Check::unknown("accounts", &error));
    vec![listener(config).await, accounts]
}

async fn listener(config: &Config) -> Check {
    if config.serve.role == Role::Worker {
        return Check::ok("redfish", "not served by a process with the role worker");
    }
    let addr = near(config.redfish.listen);
    let Some(connection) = connect(addr).await else {
        return silent(config, addr).await;
    };
    let host = addr.ip().to_string();
    let shown = match timeout(PATIENCE, tls::look(&host, connection)).await {
        Ok(Ok(seen)) => seen.certificate,
        Ok(Err(error)) => return strange(addr, &error.to_string()),
        Err(_) => return strange(addr, "no answer in time"),
    };
    let Some(shown) = shown else {
        return strange(addr, "its certificate can't be read");
    };
    let by = if shown.issuer == shown.subject {
        " (self-signed)"
    } else {
        ""
    };
    let (level, text) = standing("certificate", shown.ends);
    let found = format!("https://{addr} answers; {text}{by}");
    match level {
        Level::Ok => Check::ok("redfish", found),
        Level::Warn => Check::warn("redfish", found, RENEW),
        Level::Fail => Check::fail("redfish", found, RENEW),
    }
}

async fn connect(addr: SocketAddr) -> Option<TcpStream> {
    timeout(PATIENCE, TcpStream::connect(addr)).await.ok()?.ok()
}

/// Nothing listens: wrong only where a process runs that should.
async fn silent(config: &Config, addr: SocketAddr) -> Check {
    let admin = near(config.admin.listen);
    if connect(admin).await.is_none() {
        return Check::ok("redfish", format!("nothing serves it on this machine (asked {addr})"));
    }
    Check::warn(
        "redfish",
        format!("nothing listens on {addr}, though a process does on {admin}"),
        "is it still starting? Else look at its log, and whether HOLDFAST_REDFISH__LISTEN is the same for both",
    )
}

fn strange(addr: SocketAddr, problem: &str) -> Check {
    Check::warn(
        "redfish",
        format!("{addr} does not speak TLS as it should: {problem}"),
        "another program may listen there: see HOLDFAST_REDFISH__LISTEN and the log of holdfast serve",
    )
}

async fn accounts(store: &Store, config: &Config, now_ms: u64) -> Result<Check, StoreError> {
    let accounts = store.accounts().await?;
    let sessions = store.session_count(config.redfish.session_timeout.0, now_ms).await?;
    let (known, locked) = (accounts.len(), store.locked_accounts(now_ms).await?);
    let mut found = format!(
        "{}, {}",
        count(u64::try_from(known).unwrap_or(u64::MAX), "account"),
        count(sessions.into(), "open session")
    );
    let mut advice = Vec::new();
    if !locked.is_empty() {
        found.push_str(&format!("\nlocked after wrong passwords: {}", locked.join(", ")));
        advice.push(
            "the log says where they came from; a lock ends by itself, or with a PATCH of the account ({\"Locked\": false})",
        );
    }
    let generated = accounts.values().find(|account| account.password_generated);
    if let Some(account) = generated {
        found.push_str(&format!(
            "\n{} has the password that was generated and printed at the first start",
            account.name
        ));
        advice.push("it stands in a log: give the account another with a PATCH ({\"Password\": \"…\"})");
    }
    if advice.is_empty() {
        return Ok(Check::ok("accounts", found));
    }
    Ok(Check::warn("accounts", found, advice.join("; ")))
}
