//! A hash of JSON texts that is changed as a whole by compare-and-set: accounts and settings of the Redfish service.
//!
//! Small and seldom written. A change reads everything with the version, decides, and writes if nobody else wrote in
//! between; so rules that span entries (the last administrator, a name that is taken) hold under any race.

use std::collections::BTreeMap;

use fred::prelude::*;

use super::Store;
use super::error::StoreError;
use super::keys::VERSION_FIELD;
use super::partition::measured;
use super::scripts::REGISTER;

/// The entries of a book at one version: name to JSON.
pub(super) type Entries = BTreeMap<String, String>;

impl Store {
    /// Everything in a book.
    pub(super) async fn book(&self, key: &str) -> Result<Entries, StoreError> {
        Ok(self.versioned(key).await?.1)
    }

    /// Changes one entry: `edit` sees all of them and says what it becomes, `None` to remove it; called again when
    /// somebody else wrote in between.
    pub(super) async fn change_book<T, E: From<StoreError>>(
        &self,
        key: &str,
        name: &str,
        edit: impl Fn(&Entries) -> Result<(Option<String>, T), E>,
    ) -> Result<T, E> {
        loop {
            let (version, entries) = self.versioned(key).await?;
            let (text, result) = edit(&entries)?;
            let args: Vec<Value> = vec![
                version.try_into().unwrap_or(Value::Null),
                name.into(),
                text.unwrap_or_default().into(),
                version.saturating_add(1).try_into().unwrap_or(Value::Null),
            ];
            let client = self.connection.client();
            let written: i64 = measured("register", REGISTER.evalsha_with_reload(client, vec![key], args)).await?;
            if written >= 0 {
                return Ok(result);
            }
        }
    }

    async fn versioned(&self, key: &str) -> Result<(u64, Entries), StoreError> {
        let client = self.connection.client();
        let mut entries: Entries = measured("HGETALL", client.hgetall(key)).await?;
        let version = entries.remove(VERSION_FIELD).and_then(|text| text.parse().ok());
        Ok((version.unwrap_or(0), entries))
    }
}
