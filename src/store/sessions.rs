//! The sessions of the Redfish service: one hash, and when each was used last; the same for every pod.

use std::time::Duration;

use fred::prelude::*;
use serde::{Deserialize, Serialize};

use super::Store;
use super::accounts::read as read_account;
use super::error::StoreError;
use super::keys;
use super::partition::measured;
use super::scripts::{SESSION_CLOSE, SESSION_LIST, SESSION_OPEN, SESSION_USE};
use super::streams::score;
use crate::domain::account::Account;

/// Longer than any session lasts.
const EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A session, as it is kept. The token itself is known to its client only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The account that logged in.
    pub account: String,
    /// The generation of the account then; the session is void when that changes.
    pub generation: String,
    /// SHA-256 of the token's secret part, in hexadecimal.
    pub token: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Where from.
    pub origin: String,
}

impl Store {
    /// Stores a new session after those that are over were swept; false when there are `most` already.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn open_session(&self, session: &Session, timeout: Duration, most: usize) -> Result<bool, StoreError> {
        let json = serde_json::to_string(session)
            .map_err(|error| StoreError::answer("a session that can be written", &error))?;
        let args = vec![session.id.clone(), json, millis(timeout), most.to_string()];
        let client = self.connection.client();
        let script = SESSION_OPEN.evalsha_with_reload(client, self.session_keys(), args);
        measured("session open", script).await
    }

    /// Looks a session up by its id and its token's hash, with its account, and notes that it was used; `None` where
    /// there is none, it is over, or its account is gone.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn use_session(
        &self,
        id: &str,
        token: &str,
        timeout: Duration,
    ) -> Result<Option<(Session, Account)>, StoreError> {
        let mut keys = self.session_keys();
        keys.push(self.accounts_key());
        let args = vec![id.to_owned(), token.to_owned(), millis(timeout)];
        let client = self.connection.client();
        let script = SESSION_USE.evalsha_with_reload(client, keys, args);
        let (session, account): (String, String) = measured("session use", script).await?;
        if session.is_empty() || account.is_empty() {
            return Ok(None);
        }
        Ok(Some((read(&session)?, read_account(&account)?)))
    }

    /// Ends a session; false when there was none.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn close_session(&self, id: &str) -> Result<bool, StoreError> {
        let client = self.connection.client();
        let script = SESSION_CLOSE.evalsha_with_reload(client, self.session_keys(), vec![id]);
        measured("session close", script).await
    }

    /// All sessions that are not over, oldest first.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn sessions(&self, timeout: Duration) -> Result<Vec<Session>, StoreError> {
        let client = self.connection.client();
        let script = SESSION_LIST.evalsha_with_reload(client, self.session_keys(), vec![millis(timeout)]);
        let stored: Vec<String> = measured("session list", script).await?;
        let mut sessions = stored
            .iter()
            .map(|json| read(json))
            .collect::<Result<Vec<Session>, _>>()?;
        sessions.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        Ok(sessions)
    }

    /// Ends the sessions of an account that are not of its generation; all of them where it is gone. They let nobody in
    /// any more: this gives their places back.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read. Safe to repeat.
    pub async fn close_void_sessions(&self, account: &str, generation: Option<&str>) -> Result<(), StoreError> {
        let all = self.sessions(EVER).await?;
        let of = all.iter().filter(|session| session.account == account);
        for session in of.filter(|session| Some(session.generation.as_str()) != generation) {
            self.close_session(&session.id).await?;
        }
        Ok(())
    }

    /// How many sessions were used within `timeout` before a time of Redis' clock, in ms since the epoch.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn session_count(&self, timeout: Duration, now_ms: u64) -> Result<u32, StoreError> {
        let oldest = now_ms.saturating_sub(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let (client, key) = (self.connection.client(), keys::redfish(&self.prefix, "used"));
        measured("ZCOUNT", client.zcount(key, score(oldest), f64::INFINITY)).await
    }

    fn session_keys(&self) -> Vec<String> {
        ["sessions", "used"]
            .map(|name| keys::redfish(&self.prefix, name))
            .to_vec()
    }
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

fn read(json: &str) -> Result<Session, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::answer("a stored session", &error))
}
