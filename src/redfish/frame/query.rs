//! The query parameters of a GET: `only`, `$select`, `$expand`, `$filter`, `$top`, `$skip` (DSP0266, "Query
//! parameters").
//!
//! Read before the handler is called, applied to the resource that it answers. Others that begin with `$` are
//! refused with 501, the rest is passed over.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::expand::{Budget, Expand, MAX_LEVELS};
use super::failure::Failure;
use super::filter::{self, Expression};
use super::message;
use super::resource::Resource;
use crate::redfish::Service;
use crate::redfish::auth::Identity;

/// What a client wants to see of a resource.
#[derive(Debug, Default)]
pub(super) struct Query {
    only: bool,
    select: Option<Vec<String>>,
    expand: Option<Expand>,
    filter: Option<Expression>,
    skip: usize,
    top: Option<usize>,
}

impl Query {
    /// Reads the parameters of a GET.
    ///
    /// # Errors
    /// 400 for a bad value or combination, 501 for a parameter that is not supported.
    pub(super) fn read(pairs: &[(String, String)]) -> Result<Self, Failure> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let bad = || Failure::bad(message::query_value_format(value, name));
            match name.as_str() {
                "only" if value.is_empty() => query.only = true,
                "only" => return Err(bad()),
                "$select" => query.select = Some(names(value).ok_or_else(bad)?),
                "$expand" => query.expand = Some(expand(value)?),
                "$filter" => query.filter = Some(filter::parse(value).ok_or_else(bad)?),
                "$skip" => query.skip = value.parse().map_err(|_| bad())?,
                "$top" => query.top = Some(value.parse().map_err(|_| bad())?),
                "excerpt" => return Err(Failure::bad(message::query_unsupported(name))),
                name if name.starts_with('$') => {
                    return Err(Failure::new(
                        StatusCode::NOT_IMPLEMENTED,
                        message::query_unsupported(name),
                    ));
                }
                _ => {}
            }
        }
        if query.only && (query.narrows() || query.select.is_some() || query.expand.is_some()) {
            return Err(Failure::bad(message::query_combination_invalid()));
        }
        Ok(query)
    }

    /// Refuses query parameters that only a GET may have.
    ///
    /// # Errors
    /// 400 where there is one.
    pub(super) fn refuse(pairs: &[(String, String)]) -> Result<(), Failure> {
        if pairs.iter().any(|(name, _)| name.starts_with('$') || name == "only") {
            return Err(Failure::bad(message::query_not_supported_on_operation()));
        }
        Ok(())
    }

    /// Whether other resources are read for it. Who asks must be known then, even where the resource is open to all;
    /// and its ETag does not tell whether what they show has changed.
    pub(super) fn looks_further(&self) -> bool {
        self.only || self.expand.is_some() || self.filter.is_some()
    }

    fn narrows(&self) -> bool {
        self.filter.is_some() || self.skip > 0 || self.top.is_some()
    }

    /// What is left of a resource.
    ///
    /// # Errors
    /// 400 where a parameter is for collections only and this is none.
    pub(super) async fn apply(
        self,
        service: &Arc<Service>,
        identity: Option<&Identity>,
        mut resource: Resource,
    ) -> Result<Resource, Failure> {
        let members = resource.members();
        if members.is_none() && (self.only || self.narrows()) {
            return Err(Failure::bad(message::query_not_supported_on_resource()));
        }
        let mut budget = Budget::new(service, identity);
        if let (true, Some([member])) = (self.only, members.as_deref()) {
            return budget.read(member).await.ok_or_else(|| Failure::missing(member));
        }
        if self.narrows() {
            self.narrow(&mut budget, &mut resource).await;
        }
        if let Some(expand) = self.expand {
            budget.expand(&mut resource.properties, expand).await;
        }
        if let Some(select) = &self.select {
            match resource.properties.get_mut("Members").filter(|_| self.expand.is_some()) {
                Some(Value::Array(members)) => {
                    for member in members.iter_mut().filter_map(Value::as_object_mut) {
                        keep(member, select);
                    }
                }
                _ => keep(&mut resource.properties, select),
            }
        }
        Ok(resource)
    }

    /// Leaves the members that match, and of these the asked-for stretch.
    async fn narrow(&self, budget: &mut Budget<'_>, collection: &mut Resource) {
        let mut members = Vec::new();
        for uri in collection.members().unwrap_or_default() {
            let matches = match &self.filter {
                None => true,
                Some(filter) => match budget.read(&uri).await {
                    Some(member) => filter.matches(&Value::Object(member.properties)),
                    None => false,
                },
            };
            if matches {
                members.push(serde_json::json!({ "@odata.id": uri }));
            }
        }
        collection.put("Members@odata.count", members.len());
        let top = self.top.unwrap_or(usize::MAX);
        let stretch: Vec<Value> = members.into_iter().skip(self.skip).take(top).collect();
        collection.put("Members", stretch);
    }
}

fn names(value: &str) -> Option<Vec<String>> {
    let names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

fn expand(value: &str) -> Result<Expand, Failure> {
    let bad = || Failure::bad(message::query_value_format(value, "$expand"));
    let (kind, rest) = value.split_at_checked(1).ok_or_else(bad)?;
    let levels = match rest {
        "" => 1,
        rest => {
            let levels = rest.strip_prefix("($levels=").and_then(|rest| rest.strip_suffix(')'));
            levels.and_then(|levels| levels.parse().ok()).ok_or_else(bad)?
        }
    };
    if !(1..=MAX_LEVELS).contains(&levels) {
        let range = format!("1-{MAX_LEVELS}");
        return Err(Failure::bad(message::query_out_of_range(levels, "$expand", range)));
    }
    let (links, others) = match kind {
        "*" => (true, true),
        "." => (false, true),
        "~" => (true, false),
        _ => return Err(bad()),
    };
    Ok(Expand { links, others, levels })
}

/// Keeps the named properties (`Links/Role` names one inside another), and what identifies the resource.
fn keep(object: &mut Map<String, Value>, names: &[String]) {
    object.retain(|name, value| {
        if name.starts_with("@odata.") {
            return true;
        }
        let inside: Vec<String> = names
            .iter()
            .filter_map(|path| Some(path.strip_prefix(name.as_str())?.strip_prefix('/')?.to_owned()))
            .collect();
        if names.iter().any(|path| path == name) {
            return true;
        }
        if let (false, Value::Object(inner)) = (inside.is_empty(), value) {
            keep(inner, &inside);
            return true;
        }
        false
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(query: &str) -> Result<Query, u16> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Query::read(&pairs).map_err(|failure| failure.status.as_u16())
    }

    #[test]
    fn bad_values_are_refused_and_strangers_passed_over() {
        for (query, status) in [
            ("only=1", 400),
            ("$select=", 400),
            ("$expand=", 400),
            ("$expand=x", 400),
            ("$expand=.($levels=0)", 400),
            ("$expand=*($levels=99)", 400),
            ("$expand=é", 400),
            ("$filter=Id", 400),
            ("$top=-1", 400),
            ("only&$select=Id", 400),
            ("excerpt", 400),
            ("$orderby=Id", 501),
            ("$skiptoken=x", 501),
        ] {
            assert_eq!(read(query).err(), Some(status), "{query}");
        }
        for query in [
            "",
            "only",
            "only=",
            "unknown=1",
            "$expand=*",
            "$expand=.($levels=2)&$select=Id",
            "$top=0&$skip=2",
        ] {
            assert!(read(query).is_ok(), "{query}");
        }
    }

    #[test]
    fn selected_properties_are_kept_with_what_identifies_the_resource() {
        let Value::Object(mut role) = json!({
            "@odata.id": "/x", "Id": "x", "Name": "X", "Links": {"Role": 1, "Other": 2}, "LinksMore": 1
        }) else {
            unreachable!()
        };
        keep(
            &mut role,
            &["Name".to_owned(), "Links/Role".to_owned(), "Bogus".to_owned()],
        );
        assert_eq!(
            Value::Object(role),
            json!({"@odata.id": "/x", "Name": "X", "Links": {"Role": 1}})
        );
    }
}
