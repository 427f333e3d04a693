//! What all pods of the Redfish service share and may change at run time: its identity, its certificate, the
//! settings that clients PATCH. A name to a JSON text; who owns a setting knows its form.

use fred::prelude::*;

use super::Store;
use super::error::StoreError;
use super::keys;
use super::partition::measured;

impl Store {
    /// A setting; `None` where nobody has set it.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let client = self.connection.client();
        measured("HGET", client.hget(keys::redfish(&self.prefix, "settings"), name)).await
    }

    /// Changes a setting atomically: `edit` says what the present text becomes and what to answer; it is called
    /// again when somebody else wrote in between. Nothing is written when it fails.
    ///
    /// # Errors
    /// Those of `edit`; when Redis can't be reached.
    pub async fn change_setting<T, E: From<StoreError>>(
        &self,
        name: &str,
        edit: impl Fn(Option<&str>) -> Result<(String, T), E>,
    ) -> Result<T, E> {
        self.change_book(&keys::redfish(&self.prefix, "settings"), name, |entries| {
            let (text, result) = edit(entries.get(name).map(String::as_str))?;
            Ok((Some(text), result))
        })
        .await
    }

    /// A setting that is made once: what is stored, or `make`'s text where there is none yet.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn setting_or_make(&self, name: &str, make: impl Fn() -> String) -> Result<String, StoreError> {
        if let Some(text) = self.setting(name).await? {
            return Ok(text);
        }
        self.change_setting(name, |known| {
            let text = known.map_or_else(&make, str::to_owned);
            Ok((text.clone(), text))
        })
        .await
    }
}
