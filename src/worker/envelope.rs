//! The headers of a request: the subscription's own, made ready once, and ours, made for each request.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::sender::Parcel;
use crate::domain::secret::Secret;
use crate::domain::signature::Signer;
use crate::domain::subscription::Subscription;

/// What all requests to one subscription have in common.
#[derive(Debug)]
pub struct Envelope {
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The present key, then the one before it with the time until which it signs, seconds since the epoch.
    signers: Vec<(Signer, u64)>,
}

impl Envelope {
    /// Makes a subscription's headers and keys ready.
    ///
    /// # Errors
    /// Which header or key can't be used and why, for the operator; no value of theirs.
    pub fn new(to: &Subscription) -> Result<Self, String> {
        if let Some(locked) = to.locked() {
            return Err(locked.to_string());
        }
        let present = to.secret.iter().map(|key| (key, u64::MAX));
        let previous = to.previous_secret.iter().filter(|old| old.secret.reveal().is_ok());
        let previous = previous.map(|old| (&old.secret, old.until));
        let signers = present.chain(previous).map(|(key, until)| Ok((signer(key)?, until)));
        Ok(Self {
            headers: to.headers.iter().map(header).collect::<Result<_, String>>()?,
            signers: signers.collect::<Result<_, String>>()?,
        })
    }

    /// The headers of one request made at `now`, seconds since the epoch. Ours win over the subscription's own: they
    /// are what the receiver relies on.
    ///
    /// # Errors
    /// When the id has a character that headers can't carry.
    pub fn headers(&self, parcel: &Parcel, now: u64) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(7 + self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        if let Some(signature) = self.signature(parcel, now) {
            headers.insert("webhook-signature", value(&signature)?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", value(&parcel.id)?);
        headers.insert("webhook-timestamp", HeaderValue::from(now));
        headers.insert("holdfast-attempt", HeaderValue::from(parcel.attempt));
        if parcel.events > 1 {
            headers.insert("holdfast-events", HeaderValue::from(parcel.events));
        }
        Ok(headers)
    }

    /// The signature with the subscription's key and, after a rotation, also with the key before it for as long as
    /// receivers were given to change over: Standard Webhooks separates several with a space.
    fn signature(&self, parcel: &Parcel, now: u64) -> Option<String> {
        let valid = self.signers.iter().filter(|(_, until)| now < *until);
        valid
            .map(|(signer, _)| signer.sign(&parcel.id, now, &parcel.body))
            .reduce(|one, other| one + " " + &other)
    }
}

fn header((name, value): &(String, Secret)) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))?;
    let mut value = HeaderValue::from_str(value.reveal().map_err(|locked| locked.to_string())?)
        .map_err(|_| format!("the value of header {name} has a character that headers can't carry"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn signer(key: &Secret) -> Result<Signer, String> {
    let key = key.reveal().map_err(|locked| locked.to_string())?;
    Signer::new(key).map_err(|error| error.to_string())
}

fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|error| error.to_string())
}
