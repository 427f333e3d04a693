//! A resource as it is answered: its properties in order, and its ETag.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// A Redfish resource or collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its properties, `@odata.id` and `@odata.type` first, without `@odata.etag`.
    pub properties: Map<String, Value>,
    revision: u64,
    restless: &'static [&'static str],
}

impl Resource {
    /// A resource of the type `kind` (`Role.v1_3_3.Role`). Its `Id` is the last segment of its URI.
    #[must_use]
    pub fn new(uri: &str, kind: &str, name: &str) -> Self {
        let id = uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let mut resource = Self::bare(uri, kind);
        resource.put("Id", id);
        resource.put("Name", name);
        resource
    }

    /// A collection of the type `kind` (`RoleCollection`) with the URIs of its members.
    #[must_use]
    pub fn collection(uri: &str, kind: &str, name: &str, members: impl IntoIterator<Item = String>) -> Self {
        let members: Vec<Value> = members.into_iter().map(|uri| json!({ "@odata.id": uri })).collect();
        let mut collection = Self::bare(uri, &format!("{kind}.{kind}"));
        collection.put("Name", name);
        collection.put("Members@odata.count", members.len());
        collection.put("Members", members);
        collection
    }

    /// A resource with these properties, `@odata.id` and `@odata.type` among them.
    #[must_use]
    pub fn of(properties: Map<String, Value>) -> Self {
        Self {
            properties,
            ..Self::bare("", "")
        }
    }

    fn bare(uri: &str, kind: &str) -> Self {
        let mut resource = Self {
            properties: Map::new(),
            revision: 0,
            restless: &[],
        };
        resource.put("@odata.id", uri);
        resource.put("@odata.type", format!("#{kind}"));
        resource
    }

    /// Sets a property.
    pub fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.properties.insert(name.to_owned(), value.into());
    }

    /// With a property.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.put(name, value);
        self
    }

    /// With a link to another resource.
    #[must_use]
    pub fn link(self, name: &str, uri: &str) -> Self {
        self.with(name, json!({ "@odata.id": uri }))
    }

    /// With a number that changes the ETag where a change can't be seen, as that of a password.
    #[must_use]
    pub fn revised(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// With properties, as JSON pointers, that change by themselves and leave the ETag as it is: what is counted or
    /// timed would else fail every `If-Match`.
    #[must_use]
    pub fn restless(mut self, pointers: &'static [&'static str]) -> Self {
        self.restless = pointers;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.text("@odata.id")
    }

    /// Its type without the `#`: `Role.v1_3_3.Role`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("@odata.type").trim_start_matches('#')
    }

    /// The URIs of its members; `None` where it is no collection.
    #[must_use]
    pub fn members(&self) -> Option<Vec<String>> {
        let members = self.properties.get("Members")?.as_array()?.iter();
        let uri = |member: &Value| Some(member.get("@odata.id")?.as_str()?.to_owned());
        Some(members.filter_map(uri).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.properties.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A strong ETag with its quotes: a digest of all properties and the revision, so that equal resources have
    /// equal ones, whoever renders them.
    #[must_use]
    pub fn etag(&self) -> String {
        let mut seen = Value::Object(self.properties.clone());
        for pointer in self.restless {
            if let Some(value) = seen.pointer_mut(pointer) {
                *value = Value::Null;
            }
        }
        let text = format!("{} {seen}", self.revision);
        let digest = digest(&SHA256, text.as_bytes());
        format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_changes_with_what_is_seen_and_with_what_is_not() {
        let role = || Resource::new("/redfish/v1/AccountService/Roles/ReadOnly", "Role.v1_3_3.Role", "Role");
        assert_eq!(role().etag(), role().etag());
        assert_ne!(role().etag(), role().with("IsPredefined", true).etag());
        assert_ne!(role().etag(), role().revised(2).etag());
        let count = |n: u64| {
            role()
                .with("Oem", json!({ "Count": n, "More": 1 }))
                .restless(&["/Oem/Count"])
        };
        assert_eq!(count(1).etag(), count(2).etag());
        assert_ne!(count(1).etag(), count(1).with("Name", "x").etag());
        assert_eq!(role().properties["Id"], "ReadOnly");
        assert_eq!(role().kind(), "Role.v1_3_3.Role");
    }
}
