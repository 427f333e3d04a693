//! AccountService: its settings and the accounts. An account's name is its id and never changes.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tracing::info;

use super::auth::random_hex;
use super::frame::{Answer, Call, Failure, Fields, Needs, Outcome, Resource, Route, message};
use super::roles;
use crate::domain::account::{self, Account, PASSWORD_LEAST, PASSWORD_MOST, Privilege, Role};
use crate::store::accounts::Accounts;

const SERVICE: &str = "/redfish/v1/AccountService";
const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
/// How many accounts there may be.
const MOST: usize = 256;
/// Whoever manages accounts.
const USERS: Needs = Needs::Any(&[Privilege::ConfigureUsers]);
/// They, or whose account it is.
const OWN: Needs = Needs::Any(&[Privilege::ConfigureUsers, Privilege::ConfigureSelf]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at(SERVICE).get(Needs::LOGIN, service),
        Route::at(ACCOUNTS).get(Needs::LOGIN, list).post(USERS, create),
        Route::at("/redfish/v1/AccountService/Accounts/Members").post(USERS, create),
        Route::at("/redfish/v1/AccountService/Accounts/{account}")
            .get(OWN, read)
            .patch(OWN, change)
            .delete(USERS, remove),
    ]
}

async fn service(call: Call) -> Outcome {
    let lockout = call.service.lockout();
    let service = Resource::new(SERVICE, "AccountService.v1_18_1.AccountService", "Account service")
        .with("ServiceEnabled", true)
        .with("Status", json!({ "State": "Enabled", "Health": "OK" }))
        .with("MinPasswordLength", PASSWORD_LEAST)
        .with("MaxPasswordLength", PASSWORD_MOST)
        .with("AccountLockoutThreshold", lockout.threshold)
        .with("AccountLockoutDuration", lockout.duration.as_secs())
        .with("AccountLockoutCounterResetAfter", lockout.reset.as_secs())
        .with("AccountLockoutCounterResetEnabled", true)
        .with("HTTPBasicAuth", "Enabled")
        .link("Accounts", ACCOUNTS)
        .link("Roles", "/redfish/v1/AccountService/Roles");
    Ok(Answer::Resource(service))
}

/// All of them for those who manage accounts, their own for the others.
async fn list(call: Call) -> Outcome {
    let who = call.who()?;
    let accounts = call.service.store.accounts().await?;
    let visible = accounts
        .keys()
        .filter(|name| who.may(Privilege::ConfigureUsers) || **name == who.account);
    let members = visible.map(|name| uri(name));
    Ok(Answer::Resource(Resource::collection(
        ACCOUNTS,
        "ManagerAccountCollection",
        "Accounts",
        members,
    )))
}

async fn read(call: Call) -> Outcome {
    let name = own(&call)?;
    let login = call.service.store.login(name).await?;
    let account = login.account.ok_or_else(|| Failure::missing(&call.uri))?;
    Ok(Answer::Resource(resource(&account, login.locked.is_some())))
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields()?;
    let name = fields.text("UserName");
    let name = fields.require("UserName", name);
    let password = fields.secret("Password");
    let password = fields.require("Password", password);
    let role = role(&mut fields);
    let role = fields.require("RoleId", role);
    let enabled = fields.flag("Enabled").unwrap_or(true);
    let password_change_required = fields.flag("PasswordChangeRequired").unwrap_or(false);
    account_types(&mut fields);
    if let Some(name) = name.as_deref().filter(|name| !account::is_name(name)) {
        fields.refuse("UserName", message::property_value_format(name, "UserName"));
    }
    refuse_length(&mut fields, password.as_deref());
    fields.finish()?;
    let (Some(name), Some(password), Some(role)) = (name, password, role) else {
        return Err(Failure::bad(message::malformed_json()));
    };
    let account = Account {
        password: call.service.passwords.hash(&password).await?,
        generation: random_hex(8),
        revision: 1,
        name: name.clone(),
        role,
        enabled,
        password_change_required,
        password_generated: false,
    };
    let added = call.service.store.change_account(&name, |accounts| {
        if accounts.contains_key(&name) {
            let message = message::already_exists("ManagerAccount", "UserName", &name);
            return Err(Failure::bad(message.about("#/UserName")));
        }
        if accounts.len() >= MOST {
            return Err(Failure::bad(message::create_limit()));
        }
        Ok((Some(account.clone()), ()))
    });
    added.await?;
    info!(
        account = name,
        role = role.as_str(),
        by = call.who()?.account,
        "an account was made"
    );
    Ok(Answer::Created(resource(&account, false), Vec::new()))
}

/// What a PATCH asks for.
#[derive(Default)]
struct Wish {
    password: Option<String>,
    role: Option<Role>,
    enabled: Option<bool>,
    must_change: Option<bool>,
    unlock: bool,
}

async fn change(call: Call) -> Outcome {
    let name = own(&call)?;
    let wish = wish(&call).await?;
    let locked = call.service.store.is_locked(name).await?;
    let changed = call.service.store.change_account(name, |accounts| {
        let known = accounts.get(name).ok_or_else(|| Failure::missing(&call.uri))?;
        call.check(&resource(known, locked))?;
        let mut account = known.clone();
        account.role = wish.role.unwrap_or(account.role);
        account.enabled = wish.enabled.unwrap_or(account.enabled);
        if let Some(password) = &wish.password {
            account.password.clone_from(password);
            account.password_change_required = false;
            account.password_generated = false;
        }
        // Enabling it again brings no session back.
        if wish.password.is_some() || (known.enabled && !account.enabled) {
            account.generation = random_hex(8);
        }
        account.password_change_required = wish.must_change.unwrap_or(account.password_change_required);
        account.revision += 1;
        keep_one(accounts, name, Some(&account))?;
        Ok::<_, Failure>((Some(account.clone()), account))
    });
    let account = changed.await?;
    call.service
        .store
        .close_void_sessions(name, Some(&account.generation))
        .await?;
    if wish.unlock {
        call.service.store.unlock(name).await?;
    }
    info!(account = name, by = call.who()?.account, "an account was changed");
    Ok(Answer::Resource(resource(&account, locked && !wish.unlock)))
}

/// Reads the body of a PATCH. Who does not manage accounts may change their own password, and nothing else.
async fn wish(call: &Call) -> Result<Wish, Failure> {
    let who = call.who()?;
    let manages = who.may(Privilege::ConfigureUsers) && !who.must_change_password;
    let mut fields = call.fields()?;
    let managed = ["RoleId", "Enabled", "Locked", "PasswordChangeRequired"];
    if !manages && managed.iter().any(|name| fields.has(name)) {
        return Err(Failure::forbidden());
    }
    let role = role(&mut fields);
    let enabled = fields.flag("Enabled");
    let locked = fields.flag("Locked");
    let must_change = fields.flag("PasswordChangeRequired");
    if locked == Some(true) {
        fields.refuse("Locked", message::property_value_not_in_list(true, "Locked"));
    }
    let password = fields.secret("Password");
    refuse_length(&mut fields, password.as_deref());
    account_types(&mut fields);
    fields.read_only(&["UserName", "Id", "Name", "Links", "Description"]);
    fields.finish()?;
    let password = match password {
        Some(password) => Some(call.service.passwords.hash(&password).await?),
        None => None,
    };
    Ok(Wish {
        password,
        role,
        enabled,
        must_change,
        unlock: locked == Some(false),
    })
}

async fn remove(call: Call) -> Outcome {
    let name = named(&call)?;
    let locked = call.service.store.is_locked(name).await?;
    let removed = call.service.store.change_account(name, |accounts| {
        let known = accounts.get(name).ok_or_else(|| Failure::missing(&call.uri))?;
        call.check(&resource(known, locked))?;
        keep_one(accounts, name, None)?;
        Ok::<_, Failure>((None, ()))
    });
    removed.await?;
    call.service.store.close_void_sessions(name, None).await?;
    call.service.store.unlock(name).await?;
    info!(account = name, by = call.who()?.account, "an account was removed");
    Ok(Answer::Done)
}

/// The name in the path, where an account can be called so.
fn named(call: &Call) -> Result<&str, Failure> {
    let name = call.parameter(0);
    let known = account::is_name(name).then_some(name);
    known.ok_or_else(|| Failure::missing(&call.uri))
}

/// The account in the path, where it is the client's own or the client manages accounts.
fn own(call: &Call) -> Result<&str, Failure> {
    let (who, name) = (call.who()?, call.parameter(0));
    let may = who.may(Privilege::ConfigureUsers) || who.account == name;
    if !may {
        return Err(Failure::forbidden());
    }
    named(call)
}

/// Refuses a change after which nobody could manage accounts any more.
fn keep_one(accounts: &Accounts, name: &str, becomes: Option<&Account>) -> Result<(), Failure> {
    let manages = |account: &Account| account.enabled && account.role.may(Privilege::ConfigureUsers);
    let others = accounts
        .iter()
        .any(|(other, account)| other != name && manages(account));
    let was = accounts.get(name).is_some_and(manages);
    if others || !was || becomes.is_some_and(manages) {
        return Ok(());
    }
    let message = message::cannot_be_deleted().advise("Make another enabled administrator first.");
    Err(Failure::new(StatusCode::BAD_REQUEST, message))
}

fn role(fields: &mut Fields) -> Option<Role> {
    let name = fields.text("RoleId")?;
    let role = Role::named(&name);
    if role.is_none() {
        fields.refuse("RoleId", message::property_value_not_in_list(name, "RoleId"));
    }
    role
}

/// The only type of account there is.
fn account_types(fields: &mut Fields) {
    let types = fields.take("AccountTypes");
    if let Some(types) = types.filter(|types| *types != json!(["Redfish"])) {
        fields.refuse(
            "AccountTypes",
            message::property_value_not_in_list(types, "AccountTypes"),
        );
    }
}

fn refuse_length(fields: &mut Fields, password: Option<&str>) {
    if password.is_some_and(|password| !account::is_password(password)) {
        fields.refuse("Password", message::password_length());
    }
}

/// The URI of an account.
pub(super) fn uri(name: &str) -> String {
    format!("{ACCOUNTS}/{name}")
}

fn resource(account: &Account, locked: bool) -> Resource {
    Resource::new(&uri(&account.name), "ManagerAccount.v1_14_1.ManagerAccount", "Account")
        .with("UserName", account.name.as_str())
        .with("Password", Value::Null)
        .with("RoleId", account.role.as_str())
        .with("Enabled", account.enabled)
        .with("Locked", locked)
        .with("PasswordChangeRequired", account.password_change_required)
        .with("AccountTypes", json!(["Redfish"]))
        .with("Links", json!({ "Role": { "@odata.id": roles::uri(account.role) } }))
        .revised(account.revision)
}
