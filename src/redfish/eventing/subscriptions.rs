//! The subscriptions: the collection and its members. They are those of the command line, by the same calls.

use axum::http::StatusCode;
use serde_json::Value;
use tracing::info;

use super::destination::{COLLECTION, RESTLESS, Showing, create, patch, show};
use super::refused;
use crate::domain::account::Privilege;
use crate::domain::ids::SubscriptionId;
use crate::domain::retention::Overflow;
use crate::domain::subscription::Subscription;
use crate::redfish::frame::{Answer, Call, Failure, Needs, Outcome, Resource, Route, message};
use crate::store::StoreError;
use crate::store::census::Census;
use crate::store::registry::new_id;

/// Who may make subscriptions, after Redfish's registry of privileges.
const SUBSCRIBER: Needs = Needs::Any(&[Privilege::ConfigureManager, Privilege::ConfigureComponents]);
/// Whoever manages the service, or whose subscription it is.
pub(super) const OWN: Needs = Needs::Any(&[Privilege::ConfigureManager, Privilege::ConfigureSelf]);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at(COLLECTION).get(Needs::LOGIN, list).post(SUBSCRIBER, add),
        Route::at("/redfish/v1/EventService/Subscriptions/Members").post(SUBSCRIBER, add),
        Route::at("/redfish/v1/EventService/Subscriptions/{subscription}")
            .get(Needs::LOGIN, read)
            .patch(OWN, change)
            .delete(OWN, remove),
    ]
}

async fn list(call: Call) -> Outcome {
    let mut registry = call.service.store.registry().await?;
    if registry.subscriptions.iter().any(|of| of.is_stream()) {
        // A pod that died could not take its streams out.
        let known = &registry.subscriptions;
        call.service.eventing.hub.sweep(&call.service.store, known).await?;
        registry = call.service.store.registry().await?;
    }
    let members = registry
        .subscriptions
        .iter()
        .map(|of| format!("{COLLECTION}/{}", of.id));
    let kind = "EventDestinationCollection";
    Ok(Answer::Resource(Resource::collection(
        COLLECTION,
        kind,
        "Subscriptions",
        members,
    )))
}

async fn add(call: Call) -> Outcome {
    let now = jiff::Timestamp::now().to_string();
    let mut wish = create(&call.body, new_id(), now, &call.service.eventing.guard).map_err(refused)?;
    wish.owner = Some(call.who()?.account.clone());
    may_overflow(&call, Overflow::default(), &wish)?;
    let most = call.service.settings.max_subscriptions;
    let added = loop {
        match call.service.store.add_subscription_within(most, wish.clone()).await {
            Err(StoreError::Taken(_)) => wish.id = new_id(),
            Err(StoreError::Full) => return Err(full()),
            result => break result?,
        }
    };
    info!(subscription = %added.id, account = wish.owner, "subscribed over Redfish");
    let resource = resource(&added, &Census::default(), 0);
    Ok(Answer::Created(resource, Vec::new()))
}

async fn read(call: Call) -> Outcome {
    let subscription = found(&call).await?;
    Ok(Answer::Resource(present(&call, &subscription).await?))
}

async fn change(call: Call) -> Outcome {
    let before = own(&call).await?;
    let (now_ms, census) = census(&call, &before.id).await?;
    let changed = call
        .service
        .store
        .try_update_subscription(&before.id, |subscription| {
            call.check(&resource(subscription, &census, now_ms))?;
            let before = subscription.limits.overflow;
            patch(&call.body, subscription, &call.service.eventing.guard).map_err(refused)?;
            may_overflow(&call, before, subscription)
        })
        .await?;
    Ok(Answer::Resource(resource(&changed, &census, now_ms)))
}

async fn remove(call: Call) -> Outcome {
    let subscription = own(&call).await?;
    let (now_ms, census) = census(&call, &subscription.id).await?;
    let check = |known: &Subscription| call.check(&resource(known, &census, now_ms));
    let removed = call.service.store.try_remove_subscription(&subscription.id, check);
    if !removed.await? {
        return Err(Failure::missing(&call.uri));
    }
    info!(subscription = %subscription.id, account = call.who()?.account, "unsubscribed over Redfish");
    Ok(Answer::Done)
}

/// There are as many subscriptions as may be.
pub(super) fn full() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, message::subscription_limit())
}

/// Only who manages the service may have what overflows written to its files.
fn may_overflow(call: &Call, before: Overflow, wish: &Subscription) -> Result<(), Failure> {
    let wants_a_file = wish.limits.overflow == Overflow::File && before != Overflow::File;
    if wants_a_file && !call.who()?.may(Privilege::ConfigureManager) {
        return Err(Failure::forbidden());
    }
    Ok(())
}

/// The subscription that the path names.
pub(super) async fn found(call: &Call) -> Result<Subscription, Failure> {
    let missing = || Failure::missing(&call.uri);
    let id = SubscriptionId::new(call.parameter(0)).map_err(|_| missing())?;
    call.service.store.subscription(&id).await?.ok_or_else(missing)
}

/// The same where this client may change it.
pub(super) async fn own(call: &Call) -> Result<Subscription, Failure> {
    let subscription = found(call).await?;
    let who = call.who()?;
    let owns = subscription.owner.as_deref() == Some(who.account.as_str());
    if owns || who.may(Privilege::ConfigureManager) {
        return Ok(subscription);
    }
    Err(Failure::forbidden())
}

/// The same where requests are sent to it at all: a stream has no actions and no certificates.
pub(super) fn sent_to(call: &Call, subscription: Subscription) -> Result<Subscription, Failure> {
    if subscription.is_stream() {
        return Err(Failure::missing(&call.uri));
    }
    Ok(subscription)
}

/// The resource as it is now.
pub(super) async fn present(call: &Call, subscription: &Subscription) -> Result<Resource, Failure> {
    let (now_ms, census) = census(call, &subscription.id).await?;
    Ok(resource(subscription, &census, now_ms))
}

async fn census(call: &Call, id: &SubscriptionId) -> Result<(u64, Census), StoreError> {
    let (now_ms, rows) = call.service.store.census(&[id.as_str()]).await?;
    Ok((now_ms, rows.into_iter().next().unwrap_or_default()))
}

fn resource(subscription: &Subscription, census: &Census, now_ms: u64) -> Resource {
    let shown = show(Showing {
        subscription,
        census,
        now_ms,
    });
    let Value::Object(properties) = shown else {
        return Resource::of(Default::default());
    };
    // What is set and can't be seen, such as a header, changes the version.
    Resource::of(properties)
        .revised(subscription.version)
        .restless(RESTLESS)
}
