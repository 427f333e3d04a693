//! The predefined roles; none can be made, changed or removed.

use serde_json::json;

use super::frame::{Answer, Call, Failure, Needs, Outcome, Resource, Route};
use crate::domain::account::Role;

const ROLES: &str = "/redfish/v1/AccountService/Roles";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at(ROLES).get(Needs::LOGIN, list),
        Route::at("/redfish/v1/AccountService/Roles/{role}").get(Needs::LOGIN, read),
    ]
}

/// The URI of a role.
pub(super) fn uri(role: Role) -> String {
    format!("{ROLES}/{}", role.as_str())
}

async fn list(_: Call) -> Outcome {
    let roles = Role::ALL.map(uri);
    Ok(Answer::Resource(Resource::collection(
        ROLES,
        "RoleCollection",
        "Roles",
        roles,
    )))
}

async fn read(call: Call) -> Outcome {
    let role = Role::named(call.parameter(0)).ok_or_else(|| Failure::missing(&call.uri))?;
    let privileges: Vec<&str> = role.privileges().iter().map(|privilege| privilege.as_str()).collect();
    let resource = Resource::new(&uri(role), "Role.v1_3_3.Role", &format!("{} role", role.as_str()))
        .with("RoleId", role.as_str())
        .with("IsPredefined", true)
        .with("AssignedPrivileges", json!(privileges));
    Ok(Answer::Resource(resource))
}
