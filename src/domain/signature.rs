//! Signatures of deliveries by the Standard Webhooks specification (standardwebhooks.com, "Signature scheme").
//!
//! A subscriber with a shared secret can tell that a delivery comes from here and was not changed: the text
//! `<id>.<timestamp>.<body>` under HMAC-SHA256, in the header `webhook-signature`.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Secrets are read with or without padding, since generators differ.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const PREFIX: &str = "whsec_";
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// Signs deliveries with one subscription's secret. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Signer(hmac::Key);

/// A secret that can't sign. The secret itself is never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It does not start with `whsec_`.
    #[error(
        "the signing secret does not start with {PREFIX}; write {PREFIX} and the base64 of {SHORTEST} to {LONGEST} random bytes"
    )]
    NoPrefix,
    /// What follows the prefix is no base64.
    #[error(
        "the signing secret is not base64 after {PREFIX}; write {PREFIX} and the base64 of {SHORTEST} to {LONGEST} random bytes"
    )]
    NotBase64,
    /// The key is too short to be safe, or longer than the specification allows.
    #[error("the signing secret holds a key of {found} bytes; Standard Webhooks asks for {SHORTEST} to {LONGEST}")]
    Length {
        /// Length of the key in bytes.
        found: usize,
    },
}

impl Signer {
    /// Reads a secret as Standard Webhooks writes it: `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// [`SecretError`] when it is written otherwise.
    pub fn new(secret: &str) -> Result<Self, SecretError> {
        let encoded = secret.trim().strip_prefix(PREFIX).ok_or(SecretError::NoPrefix)?;
        let key = LENIENT.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        if !(SHORTEST..=LONGEST).contains(&key.len()) {
            return Err(SecretError::Length { found: key.len() });
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The value of `webhook-signature` for one delivery: `v1,<base64>`. `id` is sent as `webhook-id` and
    /// `timestamp_secs`, seconds since the epoch, as `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_secs: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp_secs}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(••••••)")
    }
}

#[cfg(test)]
mod tests;
