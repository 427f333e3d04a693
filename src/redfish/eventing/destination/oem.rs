//! `Oem.Holdfast` of an EventDestination: what Redfish has no property for.
//!
//! Its schema is `HoldfastEventDestination_v1.xml`, served with the others.

use serde_json::{Map, Value, json};

use super::super::fields::{number_or_null, object, properties, text, truth, word};
use super::super::wrong;
use crate::domain::retention::Overflow;
use crate::domain::subscription::{PayloadFormat, Secret, Subscription};
use crate::domain::units::Period;
use crate::redfish::frame::Message;

const TYPE: &str = "#HoldfastEventDestination.v1_0_0.EventDestination";
const VENDOR: &str = "Holdfast";

const PAYLOADS: [(&str, PayloadFormat); 2] = [("Event", PayloadFormat::Event), ("Raw", PayloadFormat::Raw)];
const OVERFLOWS: [(&str, Overflow); 2] = [("DeadLetters", Overflow::DeadLetters), ("File", Overflow::File)];

/// What only the service sets.
const READ_ONLY: [&str; 7] = [
    "SigningSecretSet",
    "Delivery",
    "Parked",
    "OldestParkedSeconds",
    "NextAttempt",
    "LastError",
    "SuspendedBecause",
];

/// The path of one of its properties.
pub(super) fn place(property: &str) -> String {
    format!("Oem/{VENDOR}/{property}")
}

/// Sets what is given.
pub(super) fn set(value: &Value, to: &mut Subscription) -> Result<(), Vec<Message>> {
    let one = |wrong| vec![wrong];
    let mut wrong = Vec::new();
    for (vendor, value) in properties(object("Oem", value).map_err(one)?) {
        let place_of_vendor = format!("Oem/{vendor}");
        if vendor != VENDOR {
            wrong.push(wrong::unknown(&place_of_vendor));
            continue;
        }
        for (property, value) in properties(object(&place_of_vendor, value).map_err(one)?) {
            wrong.extend(set_one(property, value, to).err());
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn set_one(property: &str, value: &Value, to: &mut Subscription) -> Result<(), Message> {
    let place = &place(property);
    let most = u64::MAX;
    match property {
        "SigningSecret" => secret(place, value).map(|secret| to.secret = secret),
        "Payload" => word(place, value, &PAYLOADS).map(|payload| to.payload = payload),
        "Coalesce" => truth(place, value).map(|coalesce| to.coalesce = coalesce),
        "MaxParked" => number_or_null(place, value, 1, most).map(|parked| to.limits.max_parked = parked),
        "MaxAgeSeconds" => {
            number_or_null(place, value, 1, most / 1_000).map(|age| to.limits.max_age = age.map(Period::from_secs))
        }
        "Overflow" => word(place, value, &OVERFLOWS).map(|overflow| to.limits.overflow = overflow),
        "MaxInFlight" => number_or_null(place, value, 1, u32::MAX.into())
            .map(|many| to.max_in_flight = many.and_then(|many| u32::try_from(many).ok())),
        property if READ_ONLY.contains(&property) => Err(wrong::not_writable(place)),
        _ => Err(wrong::unknown(place)),
    }
}

/// A new key takes the place of the old one at once; null removes it.
fn secret(place: &str, value: &Value) -> Result<Option<Secret>, Message> {
    if value.is_null() {
        return Ok(None);
    }
    // A wrong one is not quoted.
    let masked = |_| wrong::kind_masked(place);
    text(place, value).map_err(masked).map(|text| Some(Secret::new(text)))
}

/// What stands under `Oem`: the settings, then what is added of the deliveries' state.
pub(super) fn show(of: &Subscription, state: Map<String, Value>) -> Value {
    let word_of = |payload| PAYLOADS.iter().find(|(_, of)| *of == payload).map(|(word, _)| *word);
    let overflow = OVERFLOWS.iter().find(|(_, way)| *way == of.limits.overflow);
    let mut shown = json!({
        "@odata.type": TYPE,
        "SigningSecret": null,
        "SigningSecretSet": of.secret.is_some(),
        "Payload": word_of(of.payload),
        "Coalesce": of.coalesce,
        "MaxParked": of.limits.max_parked,
        "MaxAgeSeconds": of.limits.max_age.map(|age| age.0.as_secs()),
        "Overflow": overflow.map(|(word, _)| *word),
        "MaxInFlight": of.max_in_flight,
    });
    if let Value::Object(shown) = &mut shown {
        shown.extend(state);
    }
    json!({ VENDOR: shown })
}
