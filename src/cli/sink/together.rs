//! What a receiver makes of events that travel together: the deliveries in one message, each with its own records.

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::{Value, json};

/// The deliveries in a message and what each would have carried alone, in order; empty when it is a message of one.
#[must_use]
pub fn unpack(headers: &HeaderMap, body: &[u8]) -> Vec<(String, Bytes)> {
    if !headers.contains_key("holdfast-events") {
        return Vec::new();
    }
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    let (Some(deliveries), Some(records)) = (
        message["Oem"]["Holdfast"]["Deliveries"].as_array(),
        message["Events"].as_array(),
    ) else {
        return Vec::new();
    };
    let mut records = records.iter();
    let unpacked = deliveries.iter().map(|delivery| {
        let count = delivery["Records"]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok());
        let own: Vec<&Value> = records.by_ref().take(count.unwrap_or(0)).collect();
        let id = delivery["Id"].as_str().unwrap_or_default().to_owned();
        (id, Bytes::from(json!({ "Events": own }).to_string()))
    });
    unpacked.collect()
}
