//! `HttpHeaders`: a list of objects, each with headers by name. Their values are never quoted, nor shown again.

use serde_json::Value;

use super::super::fields::list;
use super::super::wrong;
use crate::domain::subscription::Secret;
use crate::redfish::frame::Message;

const PROPERTY: &str = "HttpHeaders";

/// The headers in their order; null stands for none.
pub(super) fn headers(value: &Value) -> Result<Vec<(String, Secret)>, Message> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    if !value.is_array() {
        return Err(masked(PROPERTY));
    }
    let objects = list(PROPERTY, value, |place, value| {
        let names = value.as_object().ok_or_else(|| masked(place))?;
        let headers = names.iter().map(|(name, value)| {
            let value = value.as_str().ok_or_else(|| masked(place))?;
            Ok((name.clone(), Secret::new(value)))
        });
        headers.collect::<Result<Vec<_>, Message>>()
    })?;
    Ok(objects.into_iter().flatten().collect())
}

/// The wrong kind of value, which may be a secret all the same.
fn masked(place: &str) -> Message {
    wrong::kind_masked(place).advise("write [{\"Name\": \"value\"}]")
}
