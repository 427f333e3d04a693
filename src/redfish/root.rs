//! `/redfish` and the service root: where every client begins, open to all.

use serde_json::json;

use super::frame::{Answer, Call, Needs, Outcome, Resource, Route, respond};

/// The service root's URI; the only one with a slash at its end.
const ROOT: &str = "/redfish/v1/";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/redfish").get(Needs::Nothing, versions),
        Route::at("/redfish/v1").get(Needs::Nothing, root),
    ]
}

/// The protocol versions, and nothing else (DSP0266, "Protocol version").
async fn versions(_: Call) -> Outcome {
    Ok(Answer::Raw(respond(&json!({ "v1": ROOT }))))
}

async fn root(call: Call) -> Outcome {
    let mut root = Resource::new(ROOT, "ServiceRoot.v1_20_0.ServiceRoot", "Holdfast");
    root.put("Id", "RootService");
    let root = root
        .with("RedfishVersion", "1.20.0")
        .with("UUID", call.service.uuid.as_str())
        .with("Vendor", "Holdfast")
        .with("Product", "Holdfast")
        .with(
            "ProtocolFeaturesSupported",
            json!({
                "DeepOperations": { "DeepPATCH": false, "DeepPOST": false },
                "ExcerptQuery": false,
                "ExpandQuery": {
                    "ExpandAll": true, "Levels": true, "Links": true, "MaxLevels": super::frame::MAX_LEVELS,
                    "NoLinks": true,
                },
                "FilterQuery": true,
                "OnlyMemberQuery": true,
                "SelectQuery": true,
                "TopSkipQuery": true,
            }),
        )
        .link("SessionService", "/redfish/v1/SessionService")
        .link("AccountService", "/redfish/v1/AccountService")
        .link("EventService", "/redfish/v1/EventService")
        .link("Registries", "/redfish/v1/Registries")
        .link("JsonSchemas", "/redfish/v1/JsonSchemas")
        .with(
            "Links",
            json!({ "Sessions": { "@odata.id": "/redfish/v1/SessionService/Sessions" } }),
        );
    Ok(Answer::Resource(root))
}
