//! A subscription's `Certificates` (who its destination may be) and `ClientCertificates` (what it is shown).

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value};
use x509_cert::der::Decode;

use super::destination::COLLECTION;
use super::fields::{properties, text, word};
use super::subscriptions::{found, sent_to};
use super::{refused, wrong};
use crate::domain::account::Privilege;
use crate::domain::subscription::{ClientCertificate, Secret, Subscription, TrustedCertificate};
use crate::redfish::frame::{Answer, Call, Failure, Message, Needs, Outcome, Resource, Route, message};
use crate::store::registry::new_id;

const MANAGER: Needs = Needs::Any(&[Privilege::ConfigureManager]);
/// Members of one collection.
const MOST: usize = 16;
/// Forms of `CertificateString`; the keys of client certificates come in the same text.
const TYPES: [(&str, &str); 2] = [("PEM", "PEM"), ("PEMchain", "PEMchain")];

/// Which of the two collections.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Trusted,
    Client,
}

pub(super) fn routes() -> Vec<Route> {
    let at = |path, member, kind: Kind| {
        [
            Route::at(path)
                .get(MANAGER, move |call| list(call, kind))
                .post(MANAGER, move |call| add(call, kind)),
            Route::at(member)
                .get(MANAGER, move |call| read(call, kind))
                .delete(MANAGER, move |call| remove(call, kind)),
        ]
    };
    let trusted = at(
        "/redfish/v1/EventService/Subscriptions/{subscription}/Certificates",
        "/redfish/v1/EventService/Subscriptions/{subscription}/Certificates/{certificate}",
        Kind::Trusted,
    );
    let client = at(
        "/redfish/v1/EventService/Subscriptions/{subscription}/ClientCertificates",
        "/redfish/v1/EventService/Subscriptions/{subscription}/ClientCertificates/{certificate}",
        Kind::Client,
    );
    trusted.into_iter().chain(client).collect()
}

async fn list(call: Call, kind: Kind) -> Outcome {
    let subscription = sent_to(&call, found(&call).await?)?;
    let uri = kind.collection(&subscription);
    let members = kind.members(&subscription);
    let members = members.into_iter().map(|(id, _)| format!("{uri}/{id}"));
    let name = match kind {
        Kind::Trusted => "Certificates",
        Kind::Client => "Client certificates",
    };
    Ok(Answer::Resource(Resource::collection(
        &uri,
        "CertificateCollection",
        name,
        members,
    )))
}

async fn read(call: Call, kind: Kind) -> Outcome {
    let subscription = sent_to(&call, found(&call).await?)?;
    Ok(Answer::Resource(
        kind.resource(&subscription, call.parameter(1))
            .ok_or_else(|| Failure::missing(&call.uri))?,
    ))
}

async fn add(call: Call, kind: Kind) -> Outcome {
    let before = sent_to(&call, found(&call).await?)?;
    let pem = certificate_of(&call.body).map_err(refused)?;
    let id = new_id().to_string();
    let key = match kind {
        Kind::Trusted => None,
        Kind::Client => Some(private_key(&pem)?),
    };
    let public = certificates_only(&pem)?;
    let changed = call
        .service
        .store
        .try_update_subscription(&before.id, |of| {
            if kind.members(of).len() >= MOST {
                return Err(Failure::bad(message::create_limit()));
            }
            let (id, pem) = (id.clone(), public.clone());
            match &key {
                None => of.certificates.push(TrustedCertificate { id, pem }),
                Some(key) => of.client_certificates.push(ClientCertificate {
                    id,
                    pem,
                    key: key.clone(),
                }),
            }
            Ok(())
        })
        .await?;
    let resource = kind.resource(&changed, &id).ok_or_else(Failure::internal)?;
    Ok(Answer::Created(resource, Vec::new()))
}

async fn remove(call: Call, kind: Kind) -> Outcome {
    let before = sent_to(&call, found(&call).await?)?;
    let id = call.parameter(1);
    call.service
        .store
        .try_update_subscription(&before.id, |of| {
            let resource = kind.resource(of, id).ok_or_else(|| Failure::missing(&call.uri))?;
            call.check(&resource)?;
            of.certificates
                .retain(|known| matches!(kind, Kind::Client) || known.id != id);
            of.client_certificates
                .retain(|known| matches!(kind, Kind::Trusted) || known.id != id);
            Ok::<_, Failure>(())
        })
        .await?;
    Ok(Answer::Done)
}

impl Kind {
    fn collection(self, of: &Subscription) -> String {
        let name = match self {
            Self::Trusted => "Certificates",
            Self::Client => "ClientCertificates",
        };
        format!("{COLLECTION}/{}/{name}", of.id)
    }

    /// Ids and certificates, without any key.
    fn members(self, of: &Subscription) -> Vec<(&str, &str)> {
        let trusted = of.certificates.iter().map(|of| (of.id.as_str(), of.pem.as_str()));
        let client = of
            .client_certificates
            .iter()
            .map(|of| (of.id.as_str(), of.pem.as_str()));
        match self {
            Self::Trusted => trusted.collect(),
            Self::Client => client.collect(),
        }
    }

    fn resource(self, of: &Subscription, id: &str) -> Option<Resource> {
        let (id, pem) = self.members(of).into_iter().find(|(known, _)| *known == id)?;
        let uri = format!("{}/{id}", self.collection(of));
        let count = CertificateDer::pem_slice_iter(pem.as_bytes()).count();
        let kind = if count > 1 { "PEMchain" } else { "PEM" };
        let mut resource = Resource::new(&uri, "Certificate.v1_8_0.Certificate", "Certificate")
            .with("CertificateString", pem)
            .with("CertificateType", kind);
        if let Some((from, until)) = validity(pem) {
            resource.put("ValidNotBefore", from.to_string());
            resource.put("ValidNotAfter", until.to_string());
        }
        Some(resource)
    }
}

/// When the first certificate of a text begins and ends to be valid.
fn validity(pem: &str) -> Option<(Timestamp, Timestamp)> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let certificate = x509_cert::Certificate::from_der(&der).ok()?;
    let validity = certificate.tbs_certificate.validity;
    let time = |time: x509_cert::time::Time| Timestamp::try_from(time.to_system_time()).ok();
    Some((time(validity.not_before)?, time(validity.not_after)?))
}

/// The text of the request's certificate, once the rest of the request is right.
fn certificate_of(body: &Map<String, Value>) -> Result<String, Vec<Message>> {
    let mut pem = None;
    let mut kind = None;
    let mut problems = Vec::new();
    for (property, value) in properties(body) {
        let read = match property {
            // It may hold a key: never quoted.
            "CertificateString" => text(property, value)
                .map_err(|_| wrong::kind_masked(property))
                .map(|text| pem = Some(text)),
            "CertificateType" => word(property, value, &TYPES).map(|word| kind = Some(word)),
            "Id" | "Name" | "Description" | "ValidNotBefore" | "ValidNotAfter" => Err(wrong::not_writable(property)),
            _ => Err(wrong::unknown(property)),
        };
        problems.extend(read.err());
    }
    for property in ["CertificateString", "CertificateType"] {
        if !body.contains_key(property) {
            problems.push(wrong::missing(property));
        }
    }
    match pem {
        Some(pem) if problems.is_empty() && kind.is_some() => Ok(pem),
        _ => Err(problems),
    }
}

/// The certificates of a text and nothing else, as PEM.
fn certificates_only(pem: &str) -> Result<String, Failure> {
    let wrong = |why: &str| refused(vec![wrong::value("CertificateString", why)]);
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|_| wrong("it is no PEM text; write -----BEGIN CERTIFICATE-----, base64 and -----END …"))?;
    if all.is_empty() {
        return Err(wrong("there is no certificate in it"));
    }
    if all.iter().any(|der| x509_cert::Certificate::from_der(der).is_err()) {
        return Err(wrong("a certificate in it can't be read as X.509"));
    }
    let blocks = pem.split_inclusive("-----END CERTIFICATE-----");
    let blocks = blocks.filter_map(|block| Some(&block[block.find("-----BEGIN CERTIFICATE-----")?..]));
    Ok(blocks.map(|block| format!("{block}\n")).collect())
}

/// The private key that comes with a client certificate, as PEM.
fn private_key(pem: &str) -> Result<Secret, Failure> {
    let wrong = |why: &str| refused(vec![wrong::value("CertificateString", why)]);
    if PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_err() {
        return Err(wrong(
            "a client certificate needs its private key in the same PEM text, and it must not be encrypted",
        ));
    }
    let begins = pem.match_indices("-----BEGIN ").map(|(at, _)| at);
    let block = begins
        .filter_map(|at| {
            let block = &pem[at..];
            let label = block.strip_prefix("-----BEGIN ")?.split("-----").next()?;
            let end = format!("-----END {label}-----");
            let until = block.find(&end)? + end.len();
            label.ends_with("PRIVATE KEY").then(|| format!("{}\n", &block[..until]))
        })
        .next();
    block
        .map(Secret::new)
        .ok_or_else(|| wrong("its private key can't be read"))
}
