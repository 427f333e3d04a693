//! Seals values before they are written to Redis, so that a dump or a copy of it gives nothing away.
//!
//! AES-256-GCM with a random nonce. What a value belongs to (a subscription and a field, say) is bound into it, so
//! that nobody who can write to Redis can move it elsewhere. The first key seals, all of them open; the id of the
//! key stands before the sealed bytes: `sealed:v1:<key id>:<base64 of nonce, ciphertext and tag>`.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use super::error::StoreError;
use crate::config::Secrets;
use crate::domain::secret::{KEY_BYTES, Locked, Secret, key_bytes};
use crate::domain::subscription::Subscription;

const MARK: &str = "sealed:v1:";
/// What a key's id is made from, besides the key.
const ID_OF: &[u8] = b"holdfast sealing key id";

/// Seals with the newest key and opens with every key. Without keys values are kept as they are.
#[derive(Default)]
pub struct Sealer {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    key: RandomizedNonceKey,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Sealer {
    /// The keys of the settings, newest first: `key`, the lines of `key_file`, `previous_keys`.
    ///
    /// # Errors
    /// When the file can't be read or a key is none. The key itself is not shown.
    pub fn load(settings: &Secrets) -> Result<Self, StoreError> {
        let mut sealer = Self::default();
        if let Some(key) = &settings.key {
            sealer.add(key.expose_secret(), "secrets.key")?;
        }
        if let Some(path) = &settings.key_file {
            sealer.add_file(path)?;
        }
        if let Some(keys) = &settings.previous_keys {
            for key in keys.expose_secret().split(',') {
                sealer.add(key, "secrets.previous_keys")?;
            }
        }
        Ok(sealer)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), StoreError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            StoreError::Setup(format!(
                "secrets.key_file: {} can't be read: {error}; put a key there (openssl rand -base64 32)",
                path.display()
            ))
        })?;
        let lines = text.lines().map(str::trim);
        let before = self.keys.len();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.add(line, &format!("secrets.key_file {}", path.display()))?;
        }
        if self.keys.len() == before {
            return Err(StoreError::Setup(format!(
                "secrets.key_file: {} holds no key; put one there (openssl rand -base64 32)",
                path.display()
            )));
        }
        Ok(())
    }

    fn add(&mut self, text: &str, origin: &str) -> Result<(), StoreError> {
        let wrong = || {
            StoreError::Setup(format!(
                "{origin} is no sealing key: write {KEY_BYTES} random bytes in base64 (openssl rand -base64 32)"
            ))
        };
        let bytes = key_bytes(text).ok_or_else(wrong)?;
        let id = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), ID_OF);
        let id = id.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| wrong())?;
        self.keys.push(Key { id, key });
        Ok(())
    }

    /// The id of the key that seals; `None` where values are kept as they are.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.keys.first().map(|key| key.id.as_str())
    }

    /// A value as it is written to Redis; without a key as it is. `belongs_to` must be given again to open it.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, belongs_to: &str, value: &str) -> Result<String, StoreError> {
        let Some(Key { id, key }) = self.keys.first() else {
            return Ok(value.to_owned());
        };
        let mut bytes = value.as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(belongs_to), &mut bytes)
            .map_err(|_| StoreError::Setup("a secret can't be sealed: the system gives no random bytes".to_owned()))?;
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(format!("{MARK}{id}:{}", STANDARD.encode(sealed)))
    }

    /// The value of what [`Sealer::seal`] wrote; what is not sealed is answered as it is.
    ///
    /// # Errors
    /// When its key is missing, or it was changed or belongs elsewhere.
    pub fn open(&self, belongs_to: &str, stored: &str) -> Result<String, Locked> {
        let Some(sealed) = stored.strip_prefix(MARK) else {
            return Ok(stored.to_owned());
        };
        let (id, text) = sealed.split_once(':').unwrap_or((sealed, ""));
        let mut known = self.keys.iter().filter(|key| key.id == id).peekable();
        if known.peek().is_none() {
            let key = id.chars().take(16).collect();
            return Err(Locked::UnknownKey { key });
        }
        let bytes = STANDARD.decode(text).unwrap_or_default();
        known
            .find_map(|key| opened(&key.key, belongs_to, &bytes))
            .ok_or_else(|| Locked::Damaged { key: id.to_owned() })
    }

    /// Whether a stored value is as it would be written now: sealed with the newest key, or plain without one.
    #[must_use]
    pub fn is_current(&self, stored: &str) -> bool {
        let id = stored.strip_prefix(MARK).and_then(|sealed| sealed.split_once(':'));
        id.map(|(id, _)| id) == self.key_id()
    }

    /// A subscription with every secret as it is to be written. One that could not be opened stays as it is.
    pub(super) fn seal_all(&self, subscription: &Subscription) -> Result<Subscription, StoreError> {
        let mut sealed = subscription.clone();
        if self.keys.is_empty() {
            return Ok(sealed);
        }
        let id = subscription.id.clone();
        for (field, secret) in sealed.secrets_mut() {
            let Ok(value) = secret.reveal() else { continue };
            *secret = Secret::sealed(self.seal(&place(id.as_str(), &field), value)?);
        }
        Ok(sealed)
    }

    /// Opens every secret of a subscription as it was read; what does not open stays locked, with the reason.
    pub(super) fn open_all(&self, subscription: &mut Subscription) {
        let id = subscription.id.clone();
        for (field, secret) in subscription.secrets_mut() {
            let Some(sealed) = secret.closed() else { continue };
            match self.open(&place(id.as_str(), &field), sealed) {
                Ok(value) => *secret = Secret::new(value),
                Err(locked) => secret.lock(locked),
            }
        }
    }
}

/// Which subscription and field a value belongs to.
fn place(subscription: &str, field: &str) -> String {
    format!("subscription {subscription} {field}")
}

fn opened(key: &RandomizedNonceKey, belongs_to: &str, bytes: &[u8]) -> Option<String> {
    let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let value = key.open_in_place(nonce, Aad::from(belongs_to), &mut rest).ok()?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests;
