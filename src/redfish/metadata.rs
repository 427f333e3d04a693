//! `$metadata` and `/redfish/v1/odata`: what generic OData clients read; open to all.

use std::fmt::Write as _;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::eventing;
use super::frame::{Answer, Call, Needs, Outcome, Route, respond};

/// The schemas in use: name, and version where it has one.
const SCHEMAS: &[(&str, &str)] = &[
    ("AccountService", "v1_18_1"),
    ("Certificate", "v1_8_0"),
    ("CertificateCollection", ""),
    ("EventDestination", "v1_16_0"),
    ("EventDestinationCollection", ""),
    ("EventService", "v1_12_0"),
    ("JsonSchemaFile", "v1_1_5"),
    ("JsonSchemaFileCollection", ""),
    ("ManagerAccount", "v1_14_1"),
    ("ManagerAccountCollection", ""),
    ("Message", "v1_3_0"),
    ("MessageRegistryFile", "v1_1_5"),
    ("MessageRegistryFileCollection", ""),
    ("Resource", "v1_0_0"),
    ("Role", "v1_3_3"),
    ("RoleCollection", ""),
    ("ServiceRoot", "v1_20_0"),
    ("Session", "v1_8_0"),
    ("SessionCollection", ""),
    ("SessionService", "v1_2_0"),
];

/// What hangs directly below the service root, besides itself.
const SINGLETONS: &[(&str, &str)] = &[
    ("Service", "/redfish/v1/"),
    ("SessionService", "/redfish/v1/SessionService"),
    ("AccountService", "/redfish/v1/AccountService"),
    ("EventService", "/redfish/v1/EventService"),
    ("Registries", "/redfish/v1/Registries"),
    ("JsonSchemas", "/redfish/v1/JsonSchemas"),
    ("Sessions", "/redfish/v1/SessionService/Sessions"),
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/redfish/v1/$metadata").get(Needs::Nothing, metadata),
        Route::at("/redfish/v1/odata").get(Needs::Nothing, odata),
    ]
}

async fn metadata(_: Call) -> Outcome {
    let response = ([(header::CONTENT_TYPE, "application/xml;charset=utf-8")], document()).into_response();
    Ok(Answer::Raw(response))
}

fn document() -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <edmx:Edmx xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\" Version=\"4.0\">\n",
    );
    for (schema, version) in SCHEMAS {
        let _infallible = writeln!(
            xml,
            "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/{schema}_v1.xml\">\n    \
             <edmx:Include Namespace=\"{schema}\"/>"
        );
        if !version.is_empty() {
            let _infallible = writeln!(xml, "    <edmx:Include Namespace=\"{schema}.{version}\"/>");
        }
        xml.push_str("  </edmx:Reference>\n");
    }
    let _infallible = writeln!(xml, "  <edmx:Reference Uri=\"{}\">", eventing::SCHEMA_URI);
    for namespace in eventing::SCHEMA_NAMESPACES {
        let _infallible = writeln!(xml, "    <edmx:Include Namespace=\"{namespace}\"/>");
    }
    xml.push_str("  </edmx:Reference>\n");
    xml.push_str(
        "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml\">\n    \
         <edmx:Include Namespace=\"RedfishExtensions.v1_0_0\" Alias=\"Redfish\"/>\n  </edmx:Reference>\n  \
         <edmx:DataServices>\n    \
         <Schema xmlns=\"http://docs.oasis-open.org/odata/ns/edm\" Namespace=\"Service\">\n      \
         <EntityContainer Name=\"Service\" Extends=\"ServiceRoot.v1_20_0.ServiceContainer\"/>\n    \
         </Schema>\n  </edmx:DataServices>\n</edmx:Edmx>\n",
    );
    xml
}

async fn odata(_: Call) -> Outcome {
    let singletons: Vec<Value> = SINGLETONS
        .iter()
        .map(|(name, url)| json!({ "name": name, "kind": "Singleton", "url": url }))
        .collect();
    Ok(Answer::Raw(respond(&json!({
        "@odata.context": "/redfish/v1/$metadata",
        "value": singletons,
    }))))
}
