//! A request as a handler gets it: who asks, for what, with what.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::fields::Fields;
use super::message;
use super::resource::Resource;
use crate::redfish::Service;
use crate::redfish::auth::Identity;

/// A request that has passed authentication, privileges and the reading of its body.
#[derive(Debug, Clone)]
pub struct Call {
    /// What all handlers share.
    pub service: Arc<Service>,
    /// The path without a slash at its end, decoded.
    pub uri: String,
    /// The path's parameters, in the order of the route.
    pub parameters: Vec<String>,
    /// Who asks; `None` only where the route needs nobody.
    pub identity: Option<Identity>,
    /// Where from.
    pub peer: SocketAddr,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The body of a POST, PATCH or PUT.
    pub body: Map<String, Value>,
}

impl Call {
    /// A parameter of the path; empty where the route has none.
    #[must_use]
    pub fn parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// Who asks.
    ///
    /// # Errors
    /// 401 when nobody has logged in.
    pub fn who(&self) -> Result<&Identity, Failure> {
        let nobody = || Failure::unauthorized(message::no_valid_session());
        self.identity.as_ref().ok_or_else(nobody)
    }

    /// The body, to be read strictly.
    ///
    /// # Errors
    /// 400 when it holds nothing but annotations.
    pub fn fields(&self) -> Result<Fields, Failure> {
        let fields = Fields::new(self.body.clone());
        if fields.is_empty() && !self.body.is_empty() {
            return Err(Failure::bad(message::no_operation()));
        }
        Ok(fields)
    }

    /// Compares the request's preconditions with the resource that it is about to change. To be asked inside the
    /// compare-and-set, with what was read there.
    ///
    /// # Errors
    /// 412 when `If-Match` names another ETag, or `If-None-Match` this one.
    pub fn check(&self, resource: &Resource) -> Result<(), Failure> {
        let etag = resource.etag();
        let unmet = named(&self.headers, header::IF_MATCH).is_some_and(|tags| !is_among(&etag, &tags))
            || named(&self.headers, header::IF_NONE_MATCH).is_some_and(|tags| is_among(&etag, &tags));
        if unmet {
            return Err(Failure::new(
                StatusCode::PRECONDITION_FAILED,
                message::precondition_failed(),
            ));
        }
        Ok(())
    }
}

/// Whether a client that reads has this ETag already.
pub(super) fn has(headers: &HeaderMap, etag: &str) -> bool {
    named(headers, header::IF_NONE_MATCH).is_some_and(|tags| is_among(etag, &tags))
}

/// All values of a header as one list.
fn named(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Whether a list of ETags, or `*`, names this one. A weak one counts as the same: ours are digests.
fn is_among(etag: &str, list: &str) -> bool {
    let mut tags = list.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_compared_whole() {
        for list in ["\"a\"", "*", "\"b\", \"a\"", "W/\"a\""] {
            assert!(is_among("\"a\"", list), "{list}");
        }
        for list in ["", "a", "\"a\"foobar", "\"b\"", "\"ab\""] {
            assert!(!is_among("\"a\"", list), "{list}");
        }
    }
}
