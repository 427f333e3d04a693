//! Who may do what over Redfish: roles, privileges, accounts (DSP0266, "Privilege model").
//!
//! Pure: passwords are hashed and checked by `redfish`, accounts are kept by `store`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The fewest characters of a password.
pub const PASSWORD_LEAST: usize = 8;
/// The most bytes of a password; more would only cost time.
pub const PASSWORD_MOST: usize = 256;

/// What an operation may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Privilege {
    /// Log in and read.
    Login,
    /// Change what belongs to the service itself.
    ConfigureManager,
    /// Change accounts.
    ConfigureUsers,
    /// Change what the service manages.
    ConfigureComponents,
    /// Change one's own password, session and subscriptions.
    ConfigureSelf,
}

/// The predefined roles; no others can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// May do everything.
    Administrator,
    /// May subscribe, and read everything.
    Operator,
    /// May read everything, and change its own password.
    ReadOnly,
}

/// An account, as it is kept. Its `Debug` form never shows the password's hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name, which is its id as well.
    pub name: String,
    /// Argon2id's PHC string of its password.
    pub password: String,
    /// Its one role.
    pub role: Role,
    /// Whether it may log in.
    pub enabled: bool,
    /// Whether its password must be changed before it may do anything else.
    #[serde(default)]
    pub password_change_required: bool,
    /// Whether its password is still the one that was generated, and printed, with the first account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub password_generated: bool,
    /// Changes with the password, with the account itself, and when it is disabled: sessions of another generation are
    /// void.
    pub generation: String,
    /// Grows with every change.
    pub revision: u64,
}

impl Privilege {
    /// Its name in Redfish.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "Login",
            Self::ConfigureManager => "ConfigureManager",
            Self::ConfigureUsers => "ConfigureUsers",
            Self::ConfigureComponents => "ConfigureComponents",
            Self::ConfigureSelf => "ConfigureSelf",
        }
    }
}

impl Role {
    /// Every role, the mightiest first.
    pub const ALL: [Self; 3] = [Self::Administrator, Self::Operator, Self::ReadOnly];

    /// Its name and id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::Operator => "Operator",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// What it may do: exactly what DSP0266 assigns to it.
    #[must_use]
    pub const fn privileges(self) -> &'static [Privilege] {
        use Privilege::{ConfigureComponents, ConfigureManager, ConfigureSelf, ConfigureUsers, Login};
        match self {
            Self::Administrator => &[
                Login,
                ConfigureManager,
                ConfigureUsers,
                ConfigureComponents,
                ConfigureSelf,
            ],
            Self::Operator => &[Login, ConfigureComponents, ConfigureSelf],
            Self::ReadOnly => &[Login, ConfigureSelf],
        }
    }

    /// Whether it has a privilege.
    #[must_use]
    pub fn may(self, privilege: Privilege) -> bool {
        self.privileges().contains(&privilege)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("enabled", &self.enabled)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Whether an account may be called so: what fits in a URI and in Basic authentication as it is.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    first && name.len() <= 64 && name.bytes().all(rest)
}

/// Whether a password is neither too short nor too long.
#[must_use]
pub fn is_password(password: &str) -> bool {
    password.chars().count() >= PASSWORD_LEAST && password.len() <= PASSWORD_MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_a_uri() {
        for name in ["admin", "a", "bob.smith", "rack-7_x@lab", "7"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "..", ".x", "a/b", "a:b", "a b", "é", "%41", "-x", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn only_administrators_configure_users() {
        let users: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| role.may(Privilege::ConfigureUsers))
            .collect();
        assert_eq!(users, [Role::Administrator]);
        assert!(Role::ALL.into_iter().all(|role| role.may(Privilege::Login)));
        assert_eq!(Role::named("administrator"), None);
    }

    #[test]
    fn debug_shows_no_hash() {
        let account = Account {
            name: "a".to_owned(),
            password: "$argon2id$canary".to_owned(),
            role: Role::ReadOnly,
            enabled: true,
            password_change_required: false,
            password_generated: false,
            generation: "canary".to_owned(),
            revision: 1,
        };
        assert!(!format!("{account:?}").contains("canary"));
    }
}
