//! Who asks: Basic authentication and sessions, checked against the accounts in Redis.

mod passwords;
mod tokens;

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tracing::{info, warn};

pub(super) use self::passwords::Passwords;
pub(super) use self::tokens::{Token, random_hex, random_password};
use super::Service;
use super::frame::{Failure, message};
use crate::domain::account::{self, Account, Privilege, Role};
use crate::telemetry::labels::FailedLogin;
use crate::telemetry::service as metrics;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account's name.
    pub account: String,
    /// Its role at this moment.
    pub role: Role,
    /// The session that it came by; `None` with Basic authentication.
    pub session: Option<String>,
    /// It may change its password, and nothing else.
    pub must_change_password: bool,
}

impl Identity {
    /// Whether it has a privilege.
    #[must_use]
    pub fn may(&self, privilege: Privilege) -> bool {
        self.role.may(privilege)
    }
}

/// Finds out who asks. A token goes before a password.
///
/// # Errors
/// 401 when nobody says who they are, or nobody believes it.
pub(super) async fn identify(service: &Service, headers: &HeaderMap, peer: SocketAddr) -> Result<Identity, Failure> {
    if let Some(token) = headers.get("x-auth-token") {
        return by_token(service, token.to_str().unwrap_or_default()).await;
    }
    let credentials = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| basic(value.to_str().ok()?));
    let Some((name, password)) = credentials else {
        return Err(Failure::unauthorized(message::no_valid_session()));
    };
    let account = by_password(service, &name, &password, peer).await?;
    Ok(Identity {
        account: account.name,
        role: account.role,
        session: None,
        must_change_password: account.password_change_required,
    })
}

async fn by_token(service: &Service, text: &str) -> Result<Identity, Failure> {
    let refused = || Failure::unauthorized(message::no_valid_session());
    let token = Token::read(text).ok_or_else(refused)?;
    let timeout = service.settings.session_timeout.0;
    let found = service
        .store
        .use_session(&token.session, &token.hash(), timeout)
        .await?;
    let (session, account) = found.ok_or_else(refused)?;
    if !account.enabled || account.generation != session.generation {
        return Err(refused());
    }
    Ok(Identity {
        account: account.name,
        role: account.role,
        session: Some(session.id),
        must_change_password: account.password_change_required,
    })
}

/// The account of that name, when the password is right, the account enabled and not locked. What is wrong of
/// these is not told.
///
/// # Errors
/// 401; 503 when too many passwords wait to be checked.
pub(super) async fn by_password(
    service: &Service,
    name: &str,
    password: &str,
    peer: SocketAddr,
) -> Result<Account, Failure> {
    let refused = |reason| {
        metrics::failed_login(reason);
        Failure::unauthorized(message::access_unauthorized())
    };
    // What no account can be called is not looked for: Redis keeps more than accounts in that place.
    if !account::is_name(name) {
        return Err(refused(FailedLogin::Unknown));
    }
    let login = service.store.login(name).await?;
    if let Some(account) = &login.account
        && login.locked.is_none()
        && account.enabled
        && service.passwords.knows(account, password)
    {
        if login.blemished {
            service.store.unlock(name).await?;
        }
        return Ok(account.clone());
    }
    let turn = service.passwords.turn().await?;
    // Looked up again: while this waited for its turn, others may have locked the account.
    let login = service.store.login(name).await?;
    let right = service.passwords.check(login.account.as_ref(), password, turn).await?;
    let Some(account) = login.account else {
        return Err(refused(FailedLogin::Unknown));
    };
    if login.locked.is_some() {
        return Err(refused(FailedLogin::Locked));
    }
    if !account.enabled {
        return Err(refused(FailedLogin::Disabled));
    }
    if right {
        if login.blemished {
            service.store.unlock(name).await?;
        }
        return Ok(account);
    }
    if service.store.login_failed(name, service.lockout()).await? {
        metrics::lockout();
        warn!(account = name, %peer, "an account is locked: too many wrong passwords");
    } else {
        info!(account = name, %peer, "a wrong password");
    }
    Err(refused(FailedLogin::Password))
}

/// Name and password of a `Basic` header.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_read() {
        let of = |text: &str| basic(&format!("Basic {}", BASE64_STANDARD.encode(text)));
        assert_eq!(of("bob:a:b"), Some(("bob".to_owned(), "a:b".to_owned())));
        assert_eq!(of("bob:"), Some(("bob".to_owned(), String::new())));
        assert_eq!(of("bob"), None);
        assert_eq!(basic("Bearer x"), None);
        assert_eq!(basic("Basic !"), None);
    }
}
