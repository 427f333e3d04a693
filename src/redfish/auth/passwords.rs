//! Hashing and checking passwords with Argon2id, off the async threads and a few at once.
//!
//! A check costs tens of milliseconds and 19 MiB: so many clients may ask at once, but only so many are worked on,
//! and who asked rightly before (Basic authentication repeats itself) is recognised by a digest under a key of this
//! process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::SaltString;
use argon2::password_hash::rand_core::OsRng;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use aws_lc_rs::hmac;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::tokens::random_hex;
use crate::domain::account::Account;
use crate::redfish::frame::Failure;

/// Passwords that are worked on at once.
const AT_ONCE: usize = 2;
/// Passwords that may wait; further ones are answered 503.
const WAITING: usize = 64;
/// Passwords that are recognised.
const KNOWN: usize = 1024;

/// The right to work on a password.
pub(in crate::redfish) struct Turn {
    _working: OwnedSemaphorePermit,
}

/// Everything about passwords.
pub(in crate::redfish) struct Passwords {
    working: Arc<Semaphore>,
    waiting: Semaphore,
    key: hmac::Key,
    /// Digest of name and password to the generation of the account that they were right for.
    known: Mutex<HashMap<[u8; 32], String>>,
    /// Checked in place of an account that is not there, so that both take equally long.
    nobody: String,
}

impl Passwords {
    /// Knows none.
    pub(in crate::redfish) fn new() -> Self {
        Self {
            working: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING),
            key: hmac::Key::new(hmac::HMAC_SHA256, random_hex(32).as_bytes()),
            known: Mutex::new(HashMap::new()),
            nobody: hash(&random_hex(16)),
        }
    }

    /// Waits until a password may be worked on.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub(in crate::redfish) async fn turn(&self) -> Result<Turn, Failure> {
        let _place = self.waiting.try_acquire().map_err(|_| Failure::unavailable())?;
        let working = Arc::clone(&self.working).acquire_owned().await;
        Ok(Turn {
            _working: working.map_err(|_| Failure::unavailable())?,
        })
    }

    /// Whether this password was right for this account before, and neither has changed.
    pub(in crate::redfish) fn knows(&self, account: &Account, password: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&self.digest(&account.name, password)) == Some(&account.generation)
    }

    /// Whether the password is right.
    ///
    /// # Errors
    /// 503 when the check could not be made.
    pub(super) async fn check(&self, account: Option<&Account>, password: &str, turn: Turn) -> Result<bool, Failure> {
        let hash = account.map_or(&self.nobody, |account| &account.password).clone();
        let given = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            is_right(&hash, &given)
        });
        let right = checked.await.map_err(|_| Failure::unavailable())?;
        if let Some(account) = account.filter(|_| right) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KNOWN {
                known.clear();
            }
            known.insert(self.digest(&account.name, password), account.generation.clone());
        }
        Ok(right && account.is_some())
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub(in crate::redfish) async fn hash(&self, password: &str) -> Result<String, Failure> {
        let turn = self.turn().await?;
        let given = password.to_owned();
        let hashed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            hash(&given)
        });
        let hashed = hashed.await.map_err(|_| Failure::unavailable())?;
        if hashed.is_empty() {
            Err(Failure::internal())
        } else {
            Ok(hashed)
        }
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(name.as_bytes());
        context.update(b":");
        context.update(password.as_bytes());
        context.sign().as_ref().try_into().unwrap_or_default()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

/// Argon2id with the crate's default cost (19 MiB, two passes), as OWASP recommends. Empty when it can't be made,
/// which no password is right for.
fn hash(password: &str) -> String {
    let salt = SaltString::generate(&mut OsRng);
    let hashed = Argon2::default().hash_password(password.as_bytes(), &salt);
    hashed.map(|hashed| hashed.to_string()).unwrap_or_default()
}

fn is_right(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::Role;

    #[tokio::test]
    async fn a_password_is_known_until_the_account_changes() {
        let passwords = Passwords::new();
        let mut account = Account {
            name: "bob".to_owned(),
            password: passwords.hash("right enough").await.expect("hashed"),
            role: Role::Operator,
            enabled: true,
            password_change_required: false,
            password_generated: false,
            generation: "1".to_owned(),
            revision: 1,
        };
        assert!(account.password.starts_with("$argon2id$"), "{}", account.password);
        let check = async |account: Option<&Account>, password: &str| {
            let turn = passwords.turn().await.expect("a turn");
            passwords.check(account, password, turn).await.expect("checked")
        };
        assert!(!check(Some(&account), "wrong").await);
        assert!(!passwords.knows(&account, "right enough"));
        assert!(check(Some(&account), "right enough").await);
        assert!(passwords.knows(&account, "right enough"));
        assert!(!passwords.knows(&account, "wrong"));
        account.generation = "2".to_owned();
        assert!(!passwords.knows(&account, "right enough"));
        assert!(!check(None, "right enough").await);
    }
}
