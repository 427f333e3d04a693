//! Session tokens: `<session id>.<secret>`. Only a digest of the secret is kept.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::RngCore;

/// Random bytes in the secret of a token.
const BYTES: usize = 32;

/// What a client shows to prove its session. It has no `Debug`: the secret is shown to its client only.
pub(in crate::redfish) struct Token {
    /// The session's id.
    pub(in crate::redfish) session: String,
    secret: String,
}

impl Token {
    /// A new one for a new session.
    pub(in crate::redfish) fn new() -> Self {
        Self {
            session: random_text(9),
            secret: random_text(BYTES),
        }
    }

    /// Of a header.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (session, secret) = text.split_once('.')?;
        let well_formed = !session.is_empty() && session.len() <= 64 && secret.len() <= 128;
        well_formed.then(|| Self {
            session: session.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// For the header.
    pub(in crate::redfish) fn text(&self) -> String {
        format!("{}.{}", self.session, self.secret)
    }

    /// What is kept of the secret.
    pub(in crate::redfish) fn hash(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.secret.as_bytes()))
    }
}

/// Random text of letters, digits, `-` and `_` made of so many random bytes.
pub(in crate::redfish) fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    BASE64_URL_SAFE_NO_PAD.encode(random)
}
