//! What is set for the whole service at run time: one field of the registry, so that it shares its version.

use fred::prelude::*;

use super::{Terms, written};
use crate::domain::service::ServiceSettings;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::keys::SETTINGS_FIELD;
use crate::store::partition::measured;

impl Store {
    /// What was set for the whole service at run time.
    ///
    /// # Errors
    /// When Redis can't be reached or what is stored can't be read.
    pub async fn settings(&self) -> Result<ServiceSettings, StoreError> {
        let client = self.connection.client();
        let json: Option<String> = measured("HGET", client.hget(self.registry_key(), SETTINGS_FIELD)).await?;
        Ok(json.map(|json| read_settings(&json)).transpose()?.unwrap_or_default())
    }

    /// Changes what is set for the whole service; in force on every pod as soon as a changed subscription is. The
    /// edit may refuse, in the step that would store it.
    ///
    /// # Errors
    /// What the edit answers; when Redis can't be reached.
    pub async fn try_update_settings<E: From<StoreError>>(
        &self,
        edit: impl Fn(&mut ServiceSettings) -> Result<(), E>,
    ) -> Result<ServiceSettings, E> {
        self.change_field(Terms::default(), SETTINGS_FIELD, |_, json| {
            // What can't be read is set anew: nobody else could mend it.
            let mut settings = json.and_then(|json| read_settings(&json).ok()).unwrap_or_default();
            edit(&mut settings)?;
            Ok((written(&settings)?, settings))
        })
        .await
    }
}

fn read_settings(json: &str) -> Result<ServiceSettings, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::answer("the service's settings", &error))
}
