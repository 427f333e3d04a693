//! Session tokens: the session's id and a secret, together one hexadecimal number. Only a digest of the secret is
//! kept.

use aws_lc_rs::digest::{SHA256, digest};
use rand::RngCore;
use rand::distr::{Alphanumeric, SampleString};

/// Random bytes in the id of a session.
const ID: usize = 8;
/// Random bytes in the secret of a token.
const SECRET: usize = 32;

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
            session: random_hex(ID),
            secret: random_hex(SECRET),
        }
    }

    /// Of a header.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (session, secret) = text.split_at_checked(2 * ID)?;
        (secret.len() == 2 * SECRET).then(|| Self {
            session: session.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// For the header.
    pub(in crate::redfish) fn text(&self) -> String {
        format!("{}{}", self.session, self.secret)
    }

    /// What is kept of the secret.
    pub(in crate::redfish) fn hash(&self) -> String {
        hex(digest(&SHA256, self.secret.as_bytes()).as_ref())
    }
}

/// So many random bytes in hexadecimal.
pub(in crate::redfish) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    hex(&random)
}

/// Random letters and digits: a password that every shell takes as it is.
pub(in crate::redfish) fn random_password(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_as_it_was_written() {
        let token = Token::new();
        let read = Token::read(&token.text()).expect("a token");
        assert_eq!((&read.session, read.hash()), (&token.session, token.hash()));
        assert_eq!(token.text().len(), 80);
        for wrong in [
            "",
            "é",
            &token.text()[1..],
            &format!("{}0", token.text()),
            &"é".repeat(40),
        ] {
            assert!(
                Token::read(wrong).is_none_or(|read| read.hash() != token.hash()),
                "{wrong}"
            );
        }
    }
}
