//! Asks the guard at every step to a subscriber: each address of its name, then the address that was connected to.
//!
//! The resolver hands out only addresses that are allowed, so a name that changes its mind between two looks gains
//! nothing. An address that stands in a URL meets no resolver: the sender judges the URL before each request. The
//! connector is the last to look, before the first byte of a request: whatever way led there.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower_layer::Layer;
use tower_service::Service;

use crate::domain::guard::{Blocked, Guard};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Answers only addresses that may be connected to.
#[derive(Debug, Clone)]
pub(super) struct Resolver(pub(super) Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let allowed = resolve(&guard, name.as_str(), 0).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name that may be connected to, at least one.
///
/// # Errors
/// What the system's resolver says, or [`Blocked`] when the name has only addresses that are not allowed.
pub async fn resolve(guard: &Guard, name: &str, port: u16) -> Result<Vec<SocketAddr>, AnyError> {
    let found = tokio::net::lookup_host((name, port)).await?;
    let mut allowed = Vec::new();
    let mut blocked = None;
    for address in found {
        match guard.judge_address(Some(name), address.ip()) {
            Ok(()) => allowed.push(address),
            Err(why) => blocked = Some(why),
        }
    }
    match blocked {
        Some(why) if allowed.is_empty() => Err(why.into()),
        _ => Ok(allowed),
    }
}

/// Gives up a connection to an address that is not allowed.
#[derive(Debug, Clone)]
pub(super) struct Inspection(pub(super) Arc<Guard>);

impl<S> Layer<S> for Inspection {
    type Service = Inspected<S>;

    fn layer(&self, connector: S) -> Inspected<S> {
        Inspected {
            connector,
            guard: Arc::clone(&self.0),
        }
    }
}

/// A connector whose connections are looked at.
#[derive(Debug, Clone)]
pub(super) struct Inspected<S> {
    connector: S,
    guard: Arc<Guard>,
}

impl<S, R> Service<R> for Inspected<S>
where
    S: Service<R, Error = AnyError>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.connector.call(request);
        let guard = Arc::clone(&self.guard);
        Box::pin(async move {
            let connection = connecting.await?;
            inspect(&guard, &connection)?;
            Ok(connection)
        })
    }
}

fn inspect(guard: &Guard, connection: &impl Connection) -> Result<(), AnyError> {
    let mut extras = hyper::http::Extensions::new();
    connection.connected().get_extras(&mut extras);
    let info = extras
        .get::<HttpInfo>()
        .ok_or("the connection does not tell where it leads, so it is not used")?;
    Ok(guard.judge_connection(info.local_addr(), info.remote_addr())?)
}

/// The guard's refusal among the causes of an error.
pub(super) fn blocked<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Blocked> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(blocked) = error.downcast_ref() {
            return Some(blocked);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// What reqwest is told by hand goes past the resolver, as a flaw in it would.
    async fn sent(guard: Guard) -> Result<(), reqwest::Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("it listens");
        let guard = Arc::new(guard);
        let client = reqwest::Client::builder()
            .no_proxy()
            .resolve("past.the.resolver", addr)
            .dns_resolver(Resolver(Arc::clone(&guard)))
            .connector_layer(Inspection(guard))
            .build()
            .expect("a client");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let read = stream.read(&mut [0; 16]).await.unwrap_or(0);
            assert_eq!(read, 0, "no byte of a request may arrive");
        };
        let request = client
            .post(format!("http://past.the.resolver:{}/", addr.port()))
            .body("secret")
            .send();
        tokio::select! {
            answer = request => answer.map(|_| ()),
            () = async { serve.await; std::future::pending().await } => unreachable!(),
        }
    }

    #[tokio::test]
    async fn the_connection_itself_is_looked_at_before_anything_is_sent() {
        let error = sent(Guard::default()).await.expect_err("blocked");
        let why = blocked(&error).expect("the guard's own error").to_string();
        assert!(why.starts_with("127.0.0.1 is a loopback address"), "{why}");
    }

    #[tokio::test]
    async fn a_name_with_only_refused_addresses_has_none() {
        let error = resolve(&Guard::default(), "localhost", 80).await.expect_err("blocked");
        assert!(error.downcast_ref::<Blocked>().is_some(), "{error}");
        let allow = "127.0.0.0/8,::1".parse().expect("a list");
        let guard = Guard::new(allow, Default::default(), Vec::new());
        assert!(!resolve(&guard, "localhost", 80).await.expect("addresses").is_empty());
    }
}
