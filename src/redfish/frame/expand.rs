//! `$expand`: puts resources in place of the links to them, as far as the client may read them.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::dispatch;
use super::resource::Resource;
use crate::redfish::Service;
use crate::redfish::auth::Identity;

/// How deep a client may ask for.
pub const MAX_LEVELS: usize = 3;
/// How many further resources one request may read: those beyond stay links.
const RESOURCES: usize = 10_000;

/// Which links, and how deep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expand {
    /// Those below `Links`.
    pub(super) links: bool,
    /// All others.
    pub(super) others: bool,
    /// 1 for the resource's own links only.
    pub(super) levels: usize,
}

/// What one request may read besides the resource that it names.
pub(super) struct Budget<'a> {
    service: &'a Arc<Service>,
    identity: Option<&'a Identity>,
    left: usize,
}

impl<'a> Budget<'a> {
    pub(super) fn new(service: &'a Arc<Service>, identity: Option<&'a Identity>) -> Self {
        Self {
            service,
            identity,
            left: RESOURCES,
        }
    }

    /// Another resource, as the same client would read it; `None` where it may not, or too much was read already.
    pub(super) async fn read(&mut self, uri: &str) -> Option<Resource> {
        self.left = self.left.checked_sub(1)?;
        match dispatch::read(self.service, uri, self.identity).await {
            Ok(Answer::Resource(resource)) => Some(resource),
            _ => None,
        }
    }

    /// Replaces the links of a resource.
    pub(super) async fn expand(&mut self, properties: &mut Map<String, Value>, how: Expand) {
        for (name, value) in properties {
            let wanted = if name == "Links" { how.links } else { how.others };
            if wanted {
                self.replace(value, how).await;
            }
        }
    }

    /// Replaces a link, or those inside a value.
    fn replace<'b>(&'b mut self, value: &'b mut Value, how: Expand) -> BoxFuture<'b, ()> {
        async move {
            match value {
                Value::Object(object) => {
                    if let Some(uri) = link(object) {
                        let uri = uri.to_owned();
                        if let Some(resource) = self.expanded(&uri, how).await {
                            *value = resource;
                        }
                        return;
                    }
                    for inner in object.values_mut() {
                        self.replace(inner, how).await;
                    }
                }
                Value::Array(items) => {
                    for item in items {
                        self.replace(item, how).await;
                    }
                }
                _ => {}
            }
        }
        .boxed()
    }

    async fn expanded(&mut self, uri: &str, how: Expand) -> Option<Value> {
        let mut resource = self.read(uri).await?;
        let etag = resource.etag();
        if how.levels > 1 {
            let levels = how.levels - 1;
            self.expand(&mut resource.properties, Expand { levels, ..how }).await;
        }
        resource.put("@odata.etag", etag);
        Some(Value::Object(resource.properties))
    }
}

/// The URI of an object that is nothing but a link.
fn link(object: &Map<String, Value>) -> Option<&str> {
    let uri = object.get("@odata.id")?.as_str()?;
    (object.len() == 1).then_some(uri)
}
