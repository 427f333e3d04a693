//! The schema of the OEM properties, for clients that check what they are told.

use axum::http::header;
use axum::response::IntoResponse;

use crate::redfish::frame::{Answer, Call, Needs, Outcome, Route};

/// Where `$metadata` says it is.
pub(in crate::redfish) const URI: &str = "/redfish/v1/Schemas/HoldfastEventDestination_v1.xml";
/// The namespaces in it.
pub(in crate::redfish) const NAMESPACES: [&str; 2] = ["HoldfastEventDestination", "HoldfastEventDestination.v1_0_0"];

const DOCUMENT: &str = include_str!("HoldfastEventDestination_v1.xml");

pub(super) fn routes() -> Vec<Route> {
    vec![Route::at(URI).get(Needs::Nothing, document)]
}

async fn document(_: Call) -> Outcome {
    let response = ([(header::CONTENT_TYPE, "application/xml;charset=utf-8")], DOCUMENT).into_response();
    Ok(Answer::Raw(response))
}
