//! The accounts of the Redfish service, and the wrong passwords that lock them; the same for every pod.

use std::collections::BTreeMap;
use std::time::Duration;

use fred::prelude::*;

use super::Store;
use super::book::Entries;
use super::error::StoreError;
use super::keys;
use super::partition::measured;
use super::scripts::{LOGIN, LOGIN_FAILED};
use crate::domain::account::Account;

/// All accounts by their name.
pub type Accounts = BTreeMap<String, Account>;

/// What is known of who tries to log in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account; `None` where there is none of that name.
    pub account: Option<Account>,
    /// How long it stays locked; `None` when it is not.
    pub locked: Option<Duration>,
    /// Whether wrong passwords are noted of it, to be forgotten with the right one.
    pub blemished: bool,
}

/// When wrong passwords lock an account.
#[derive(Debug, Clone, Copy)]
pub struct Lockout {
    /// So many in a row do; 0 never does.
    pub threshold: u32,
    /// For how long.
    pub duration: Duration,
    /// They are forgotten when none came for so long.
    pub reset: Duration,
}

impl Store {
    /// All accounts.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn accounts(&self) -> Result<Accounts, StoreError> {
        read_all(&self.book(&self.accounts_key()).await?)
    }

    /// Changes one account atomically: `edit` sees all of them and says what it becomes, `None` to remove it, and
    /// what to answer. It is called again when somebody else wrote in between; nothing is written when it fails.
    ///
    /// # Errors
    /// Those of `edit`; when Redis can't be reached.
    pub async fn change_account<T, E: From<StoreError>>(
        &self,
        name: &str,
        edit: impl Fn(&Accounts) -> Result<(Option<Account>, T), E>,
    ) -> Result<T, E> {
        self.change_book(&self.accounts_key(), name, |entries| {
            let (account, result) = edit(&read_all(entries)?)?;
            let text = account.map(|account| serde_json::to_string(&account)).transpose();
            let text = text.map_err(|error| StoreError::answer("an account that can be written", &error))?;
            Ok((text, result))
        })
        .await
    }

    /// What is known of an account that somebody wants to log in to.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn login(&self, name: &str) -> Result<Login, StoreError> {
        let keys = vec![self.accounts_key(), self.lockout_key()];
        let client = self.connection.client();
        let (json, locked_ms, noted): (String, u64, u64) =
            measured("login", LOGIN.evalsha_with_reload(client, keys, vec![name])).await?;
        Ok(Login {
            account: (!json.is_empty()).then(|| read(&json)).transpose()?,
            locked: (locked_ms > 0).then(|| Duration::from_millis(locked_ms)),
            blemished: noted > 0,
        })
    }

    /// Counts a wrong password against an account; true when that has locked it just now.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn login_failed(&self, name: &str, policy: Lockout) -> Result<bool, StoreError> {
        let args = vec![
            name.to_owned(),
            policy.threshold.to_string(),
            policy.duration.as_millis().to_string(),
            policy.reset.as_millis().to_string(),
        ];
        let client = self.connection.client();
        let keys = vec![self.lockout_key()];
        measured("login failed", LOGIN_FAILED.evalsha_with_reload(client, keys, args)).await
    }

    /// Whether an account is locked now.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn is_locked(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.login(name).await?.locked.is_some())
    }

    /// The accounts that are locked at a time of Redis' clock, in ms since the epoch.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn locked_accounts(&self, now_ms: u64) -> Result<Vec<String>, StoreError> {
        let client = self.connection.client();
        // Count, last failure, locked until: as the script writes them.
        let noted: Entries = measured("HGETALL", client.hgetall(self.lockout_key())).await?;
        let is_locked = |noted: &str| {
            let until = noted.split(' ').nth(2).and_then(|until| until.parse::<u64>().ok());
            until.is_some_and(|until| until > now_ms)
        };
        let locked = noted.into_iter().filter(|(_, noted)| is_locked(noted));
        Ok(locked.map(|(name, _)| name).collect())
    }

    /// Forgets the wrong passwords of an account, and unlocks it.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn unlock(&self, name: &str) -> Result<(), StoreError> {
        let client = self.connection.client();
        measured::<()>("HDEL", client.hdel(self.lockout_key(), name)).await
    }

    pub(super) fn accounts_key(&self) -> String {
        keys::redfish(&self.prefix, "accounts")
    }

    fn lockout_key(&self) -> String {
        keys::redfish(&self.prefix, "lockout")
    }
}

fn read_all(entries: &Entries) -> Result<Accounts, StoreError> {
    let accounts = entries.iter().map(|(name, json)| Ok((name.clone(), read(json)?)));
    accounts.collect()
}

pub(super) fn read(json: &str) -> Result<Account, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::answer("a stored account", &error))
}
