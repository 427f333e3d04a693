//! Which message registries and schemas are in use, and where DMTF publishes them.

use serde_json::json;

use super::frame::{Answer, Call, Failure, Needs, Outcome, Resource, Route};

const REGISTRIES: &str = "/redfish/v1/Registries";
const SCHEMAS: &str = "/redfish/v1/JsonSchemas";

/// Message registries: prefix and version.
const REGISTRY_FILES: &[(&str, &str)] = &[
    ("Base", "1.22.1"),
    ("HeartbeatEvent", "1.1.1"),
    ("ResourceEvent", "1.4.3"),
    ("TaskEvent", "1.0.5"),
];

/// Schemas: name and version.
const SCHEMA_FILES: &[(&str, &str)] = &[
    ("AccountService", "v1_18_1"),
    ("Event", "v1_13_0"),
    ("EventDestination", "v1_16_0"),
    ("EventService", "v1_12_0"),
    ("ManagerAccount", "v1_14_1"),
    ("Role", "v1_3_3"),
    ("ServiceRoot", "v1_20_0"),
    ("Session", "v1_8_0"),
    ("SessionService", "v1_2_0"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at(REGISTRIES).get(Needs::LOGIN, registries),
        Route::at("/redfish/v1/Registries/{registry}").get(Needs::LOGIN, registry),
        Route::at(SCHEMAS).get(Needs::LOGIN, schemas),
        Route::at("/redfish/v1/JsonSchemas/{schema}").get(Needs::LOGIN, schema),
    ]
}

async fn registries(_: Call) -> Outcome {
    let members = REGISTRY_FILES
        .iter()
        .map(|(prefix, _)| format!("{REGISTRIES}/{prefix}"));
    let collection = Resource::collection(
        REGISTRIES,
        "MessageRegistryFileCollection",
        "Message registries",
        members,
    );
    Ok(Answer::Resource(collection))
}

async fn registry(call: Call) -> Outcome {
    let known = REGISTRY_FILES.iter().find(|(prefix, _)| *prefix == call.parameter(0));
    let (prefix, version) = known.ok_or_else(|| Failure::missing(&call.uri))?;
    let short = version.rsplit_once('.').map_or(*version, |(short, _)| short);
    let uri = format!("https://redfish.dmtf.org/registries/{prefix}.{version}.json");
    let resource = Resource::new(&call.uri, "MessageRegistryFile.v1_1_5.MessageRegistryFile", prefix)
        .with("Registry", format!("{prefix}.{short}"))
        .with("Languages", json!(["en"]))
        .with("Location", json!([{ "Language": "en", "PublicationUri": uri }]));
    Ok(Answer::Resource(resource))
}

async fn schemas(_: Call) -> Outcome {
    let members = SCHEMA_FILES
        .iter()
        .map(|(name, version)| format!("{SCHEMAS}/{name}.{version}"));
    let collection = Resource::collection(SCHEMAS, "JsonSchemaFileCollection", "Schemas", members);
    Ok(Answer::Resource(collection))
}

async fn schema(call: Call) -> Outcome {
    let known = SCHEMA_FILES
        .iter()
        .find(|(name, version)| call.parameter(0) == format!("{name}.{version}"));
    let (name, version) = known.ok_or_else(|| Failure::missing(&call.uri))?;
    let uri = format!("https://redfish.dmtf.org/schemas/v1/{name}.{version}.json");
    let resource = Resource::new(&call.uri, "JsonSchemaFile.v1_1_5.JsonSchemaFile", name)
        .with("Schema", format!("#{name}.{version}.{name}"))
        .with("Languages", json!(["en"]))
        .with("Location", json!([{ "Language": "en", "PublicationUri": uri }]));
    Ok(Answer::Resource(resource))
}
