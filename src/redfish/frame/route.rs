//! The table of resources: which path has which methods, what each needs, and who handles it.

use std::fmt;

use axum::http::Method;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::answer::Outcome;
use super::call::Call;
use crate::domain::account::Privilege;
use crate::redfish::auth::Identity;

type Handler = Box<dyn Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// What an operation asks of who calls it (DSP0266, "Operation-to-privilege mapping").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Not even a login.
    Nothing,
    /// One of these privileges. `ConfigureSelf` lets in everybody: the handler looks whether it is their own.
    Any(&'static [Privilege]),
}

/// A resource, or all resources of a kind.
pub struct Route {
    /// Its URI; a segment `{…}` stands for any one.
    pub path: &'static str,
    operations: Vec<Operation>,
    streams: bool,
}

/// One method of a resource.
pub(super) struct Operation {
    method: Method,
    pub(super) needs: Needs,
    pub(super) handler: Handler,
}

/// All resources.
#[derive(Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
}

impl Needs {
    /// Any account may.
    pub const LOGIN: Self = Self::Any(&[Privilege::Login]);

    /// Whether this account may.
    #[must_use]
    pub fn are_met_by(self, identity: &Identity) -> bool {
        match self {
            Self::Nothing => true,
            Self::Any(privileges) => privileges.iter().any(|privilege| identity.may(*privilege)),
        }
    }
}

impl Route {
    /// A resource without methods.
    #[must_use]
    pub fn at(path: &'static str) -> Self {
        Self {
            path,
            operations: Vec::new(),
            streams: false,
        }
    }

    /// Reads it. HEAD comes with it.
    #[must_use]
    pub fn get<F>(self, needs: Needs, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.on(Method::GET, needs, handler)
    }

    /// Reads it as a stream that ends only with the client: its query is its own, and there is no HEAD of it.
    #[must_use]
    pub fn streams<F>(self, needs: Needs, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut route = self.on(Method::GET, needs, handler);
        route.streams = true;
        route
    }

    /// Whether its query is its own.
    pub(super) fn is_stream(&self) -> bool {
        self.streams
    }

    /// Creates below it, or runs an action.
    #[must_use]
    pub fn post<F>(self, needs: Needs, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.on(Method::POST, needs, handler)
    }

    /// Changes it.
    #[must_use]
    pub fn patch<F>(self, needs: Needs, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.on(Method::PATCH, needs, handler)
    }

    /// Removes it.
    #[must_use]
    pub fn delete<F>(self, needs: Needs, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.on(Method::DELETE, needs, handler)
    }

    fn on<F>(mut self, method: Method, needs: Needs, handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.operations.push(Operation {
            method,
            needs,
            handler: Box::new(move |call| handler(call).boxed()),
        });
        self
    }

    /// The operation of a method; HEAD is that of GET.
    pub(super) fn operation(&self, method: &Method) -> Option<&Operation> {
        let method = if *method == Method::HEAD && !self.streams {
            &Method::GET
        } else {
            method
        };
        self.operations.iter().find(|operation| operation.method == method)
    }

    /// Whether anything of it is open to those who have not logged in.
    pub(super) fn is_open(&self) -> bool {
        self.operations
            .iter()
            .any(|operation| operation.needs == Needs::Nothing)
    }

    /// The header `Allow`.
    pub(super) fn allow(&self) -> String {
        let methods = self.operations.iter().flat_map(|operation| match operation.method {
            Method::GET if !self.streams => vec!["GET", "HEAD"],
            ref method => vec![method.as_str()],
        });
        methods.collect::<Vec<_>>().join(", ")
    }

    /// The parameters of a path that this route is for.
    fn matches(&self, segments: &[&str]) -> Option<Vec<String>> {
        let own: Vec<&str> = self.path.split('/').skip(1).collect();
        if own.len() != segments.len() {
            return None;
        }
        let mut parameters = Vec::new();
        for (own, segment) in own.into_iter().zip(segments) {
            if own.starts_with('{') && !segment.is_empty() {
                parameters.push((*segment).to_owned());
            } else if own != *segment {
                return None;
            }
        }
        Some(parameters)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.allow())
    }
}

impl Table {
    /// Of these resources.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    /// Every path with its methods.
    #[must_use]
    pub fn resources(&self) -> Vec<(&'static str, String)> {
        self.routes.iter().map(|route| (route.path, route.allow())).collect()
    }

    /// The resource at a path (without a slash at its end), with the path's parameters. A route that names the
    /// path goes before one that has a parameter there.
    pub(super) fn find(&self, path: &str) -> Option<(&Route, Vec<String>)> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let matching = self
            .routes
            .iter()
            .filter_map(|route| Some((route, route.matches(&segments)?)));
        matching.min_by_key(|(_, parameters)| parameters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&'static str]) -> Table {
        Table::new(paths.iter().map(|path| Route::at(path)).collect())
    }

    #[test]
    fn a_name_goes_before_a_parameter() {
        let table = table(&["/a/{id}", "/a/Members", "/a", "/a/{id}/b"]);
        let found = |path: &str| {
            table
                .find(path)
                .map(|(route, parameters)| (route.path, parameters.join(",")))
        };
        assert_eq!(found("/a"), Some(("/a", String::new())));
        assert_eq!(found("/a/Members"), Some(("/a/Members", String::new())));
        assert_eq!(found("/a/7"), Some(("/a/{id}", "7".to_owned())));
        assert_eq!(found("/a/7/b"), Some(("/a/{id}/b", "7".to_owned())));
        for nowhere in ["/", "/b", "/a//b", "/a/7/c", "a"] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
    }
}
