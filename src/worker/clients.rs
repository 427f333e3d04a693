//! The HTTP clients: what a subscription trusts and shows, and where the guard lets its requests go.
//!
//! Clients are shared by all subscribers with the same TLS settings, since each costs memory and time to build.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity};

use super::destinations::{Inspection, Resolver};
use super::failure::chain;
use crate::config::Delivery;
use crate::domain::guard::Guard;
use crate::domain::subscription::Subscription;

/// More clients than this are not kept: they are made again as they are needed.
const MOST: usize = 256;

/// The clients made so far.
#[derive(Debug)]
pub(super) struct Clients {
    settings: Delivery,
    guard: Arc<Guard>,
    known: Mutex<HashMap<Tls, Client>>,
}

/// What makes a client different from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tls {
    ca_file: Option<PathBuf>,
    /// When the file was changed last: one that was renewed makes a new client.
    changed: Option<SystemTime>,
    verify: bool,
    /// What its trusted certificates are.
    trusted: Option<[u8; 32]>,
    /// What its client certificates are.
    shown: Option<[u8; 32]>,
}

impl Clients {
    pub(super) fn new(settings: Delivery, guard: Arc<Guard>) -> Self {
        Self {
            settings,
            guard,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// The client for a subscription's requests, made where none is known yet.
    ///
    /// # Errors
    /// Why none can be made, for the operator: a certificate, key or CA file that can't be used.
    pub(super) async fn of(&self, to: &Subscription) -> Result<Client, String> {
        let tls = Tls {
            ca_file: to.ca_file.clone(),
            changed: match &to.ca_file {
                Some(path) => tokio::fs::metadata(path).await.and_then(|file| file.modified()).ok(),
                None => None,
            },
            verify: to.verify_certificate,
            trusted: digest_of(to.certificates.iter().map(|trusted| trusted.pem.as_str())),
            shown: digest_of(to.client_certificates.iter().map(|shown| shown.pem.as_str())),
        };
        if let Some(client) = self.known().get(&tls) {
            return Ok(client.clone());
        }
        let client = self.build(&tls, to).await?;
        let mut clients = self.known();
        // Certificates are told apart by what they are: those that were replaced leave clients behind.
        if clients.len() >= MOST {
            let any = clients.keys().next().cloned();
            any.map(|any| clients.remove(&any));
        }
        clients.retain(|known, _| known.ca_file != tls.ca_file || known.changed == tls.changed);
        clients.insert(tls, client.clone());
        Ok(client)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Tls, Client>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn build(&self, tls: &Tls, to: &Subscription) -> Result<Client, String> {
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Resolver(Arc::clone(&self.guard)))
            .connector_layer(Inspection(Arc::clone(&self.guard)))
            .connect_timeout(self.settings.connect_timeout.0)
            .pool_idle_timeout(self.settings.idle_connection.0)
            .tcp_nodelay(true)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        let mut trusted = Vec::new();
        for certificate in &to.certificates {
            let certificates = Certificate::from_pem_bundle(certificate.pem.as_bytes());
            trusted.extend(certificates.map_err(|error| {
                format!(
                    "the trusted certificate {:?} is no PEM: {error}; replace it",
                    certificate.id
                )
            })?);
        }
        if let Some(path) = &tls.ca_file {
            let pem = tokio::fs::read(path)
                .await
                .map_err(|error| format!("CA file {} can't be read on this worker: {error}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("CA file {} is no PEM bundle: {error}", path.display()))?;
            trusted.extend(certificates);
        }
        if tls.ca_file.is_some() || tls.trusted.is_some() {
            builder = builder.tls_certs_only(trusted);
        }
        if let Some(identity) = identity(to)? {
            builder = builder.identity(identity);
        }
        if !tls.verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| {
            format!(
                "no TLS client could be made: {}; install the system's CA certificates or set a CA file, and look whether \
                 the keys of client certificates belong to them",
                chain(&error)
            )
        })
    }
}

/// What tells texts from others; `None` for none.
fn digest_of<'a>(texts: impl Iterator<Item = &'a str>) -> Option<[u8; 32]> {
    let all: Vec<&str> = texts.collect();
    if all.is_empty() {
        return None;
    }
    digest(&SHA256, all.join("\0").as_bytes()).as_ref().try_into().ok()
}

/// The first of its client certificates that can be used with its key.
fn identity(to: &Subscription) -> Result<Option<Identity>, String> {
    let mut problem = None;
    for certificate in &to.client_certificates {
        let key = certificate.key.reveal().map_err(|locked| locked.to_string());
        let identity = key.and_then(|key| {
            let both = format!("{}\n{key}\n", certificate.pem.trim_end());
            Identity::from_pem(both.as_bytes()).map_err(|error| chain(&error))
        });
        match identity {
            Ok(identity) => return Ok(Some(identity)),
            Err(error) => {
                problem = Some(format!(
                    "the client certificate {:?} can't be used: {error}",
                    certificate.id
                ))
            }
        }
    }
    problem.map_or(Ok(None), Err)
}
