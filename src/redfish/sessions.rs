//! SessionService: logging in, and the sessions there are.

use axum::http::header::HeaderName;
use axum::http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use tracing::info;

use super::accounts;
use super::auth::{self, Identity, Token};
use super::frame::{Answer, Call, Failure, Needs, Outcome, Resource, Route, message};
use crate::domain::account::Privilege;
use crate::store::sessions::Session;

const SERVICE: &str = "/redfish/v1/SessionService";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
/// How many sessions there may be at once, of all accounts.
const MOST: usize = 256;
/// Whoever manages the service, or whose session it is.
const OWN: Needs = Needs::Any(&[Privilege::ConfigureManager, Privilege::ConfigureSelf]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at(SERVICE).get(Needs::LOGIN, service),
        Route::at(SESSIONS).get(Needs::LOGIN, list).post(Needs::Nothing, create),
        Route::at("/redfish/v1/SessionService/Sessions/Members").post(Needs::Nothing, create),
        Route::at("/redfish/v1/SessionService/Sessions/{session}")
            .get(OWN, read)
            .delete(OWN, remove),
    ]
}

async fn service(call: Call) -> Outcome {
    let service = Resource::new(SERVICE, "SessionService.v1_2_0.SessionService", "Session service")
        .with("ServiceEnabled", true)
        .with("SessionTimeout", call.service.settings.session_timeout.0.as_secs())
        .with("Status", json!({ "State": "Enabled", "Health": "OK" }))
        .link("Sessions", SESSIONS);
    Ok(Answer::Resource(service))
}

async fn list(call: Call) -> Outcome {
    let who = call.who()?;
    let sessions = live(&call).await?;
    let visible = sessions
        .iter()
        .filter(|session| is_visible(session, who))
        .map(|session| uri(&session.id));
    Ok(Answer::Resource(Resource::collection(
        SESSIONS,
        "SessionCollection",
        "Sessions",
        visible,
    )))
}

async fn read(call: Call) -> Outcome {
    Ok(Answer::Resource(resource(&found(&call).await?)))
}

async fn create(call: Call) -> Outcome {
    let mut fields = call.fields()?;
    let name = fields.text("UserName");
    let password = fields.secret("Password");
    let name = fields.require("UserName", name);
    let password = fields.require("Password", password);
    fields.finish()?;
    let (Some(name), Some(password)) = (name, password) else {
        return Err(Failure::bad(message::malformed_json()));
    };
    let account = auth::by_password(&call.service, &name, &password, call.peer).await?;
    let must_change = account.password_change_required;
    let token = Token::new();
    let session = Session {
        id: token.session.clone(),
        account: account.name,
        generation: account.generation,
        token: token.hash(),
        created: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        origin: call.peer.ip().to_canonical().to_string(),
    };
    let timeout = call.service.settings.session_timeout.0;
    if !call.service.store.open_session(&session, timeout, MOST).await? {
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message::session_limit()));
    }
    let mut value = HeaderValue::from_str(&token.text()).map_err(|_| Failure::internal())?;
    value.set_sensitive(true);
    let mut resource = resource(&session);
    if must_change {
        let notice = message::password_change_required(accounts::uri(&session.account));
        resource.put("@Message.ExtendedInfo", json!([notice.json()]));
    }
    Ok(Answer::Created(
        resource,
        vec![(HeaderName::from_static("x-auth-token"), value)],
    ))
}

async fn remove(call: Call) -> Outcome {
    let session = found(&call).await?;
    call.check(&resource(&session))?;
    if !call.service.store.close_session(&session.id).await? {
        return Err(Failure::missing(&call.uri));
    }
    info!(account = session.account, session = session.id, "a session was ended");
    Ok(Answer::Done)
}

/// The session that the path names, where this client may see it.
async fn found(call: &Call) -> Result<Session, Failure> {
    let who = call.who()?;
    let sessions = live(call).await?;
    let session = sessions.into_iter().find(|session| session.id == call.parameter(0));
    let session = session.ok_or_else(|| Failure::missing(&call.uri))?;
    if is_visible(&session, who) {
        Ok(session)
    } else {
        Err(Failure::forbidden())
    }
}

/// Those that would let their client in.
async fn live(call: &Call) -> Result<Vec<Session>, Failure> {
    let timeout = call.service.settings.session_timeout.0;
    let mut sessions = call.service.store.sessions(timeout).await?;
    let accounts = call.service.store.accounts().await?;
    sessions.retain(|session| {
        let account = accounts.get(&session.account);
        account.is_some_and(|account| account.enabled && account.generation == session.generation)
    });
    Ok(sessions)
}

fn is_visible(session: &Session, who: &Identity) -> bool {
    who.may(Privilege::ConfigureManager) || session.account == who.account
}

/// The URI of a session.
pub(super) fn uri(id: &str) -> String {
    format!("{SESSIONS}/{id}")
}

fn resource(session: &Session) -> Resource {
    Resource::new(&uri(&session.id), "Session.v1_8_0.Session", "Session")
        .with("UserName", session.account.as_str())
        .with("SessionType", "Redfish")
        .with("CreatedTime", session.created.as_str())
        .with("ClientOriginIPAddress", session.origin.as_str())
}
