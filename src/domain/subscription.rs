//! A subscription: who wants which events, and where to. Stored as JSON in `holdfast:subscriptions`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::filter::Filter;
use super::ids::SubscriptionId;
use super::retention::Retention;
use super::secret::Locked;
pub use super::secret::Secret;
use super::units::Period;

/// One subscriber's wish, a Redfish `EventDestination` (DSP0266, "Eventing").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Never used again, even after the subscription was removed.
    pub id: SubscriptionId,
    /// The registry's version when this subscription last changed; a suspend or resume applies only when newer.
    #[serde(default)]
    pub version: u64,
    /// What people call it; no two need differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The account of the Redfish service that made it; absent for one made on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where the events go: an `http` or `https` URL.
    pub destination: Url,
    /// Tried in this order, in the same attempt, when the destination is unavailable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backup_destinations: Vec<Url>,
    /// The `Context` that the subscriber asked to see in every event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Which records it wants; empty wants all.
    #[serde(default)]
    pub filter: Filter,
    /// What its requests carry.
    #[serde(default)]
    pub payload: PayloadFormat,
    /// Whether records of several parked events may travel in one message while it is behind.
    #[serde(default = "yes")]
    pub coalesce: bool,
    /// Minutes between the heartbeat events that it is sent; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_minutes: Option<u32>,
    /// Headers added to every request, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Secret)>,
    /// What happens when deliveries keep failing.
    #[serde(default)]
    pub retry_policy: DeliveryRetryPolicy,
    /// What replaces the service's retry settings for this subscription.
    #[serde(default)]
    pub retry: RetryOverrides,
    /// How much of what waits is kept; everything where absent.
    #[serde(default, skip_serializing_if = "Retention::is_default")]
    pub limits: Retention,
    /// At most this many requests at once from one pod; the service's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Deadline of one request from connect to the last byte of the answer; the service's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// PEM file with the only authorities trusted for this destination; must exist on every worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Authorities or certificates trusted for this destination, in place of the system's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<TrustedCertificate>,
    /// What it is shown when it asks for a client certificate; the first that is usable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_certificates: Vec<ClientCertificate>,
    /// Whether the destination's certificate is checked.
    #[serde(default = "yes")]
    pub verify_certificate: bool,
    /// Key of the Standard Webhooks signature, `whsec_<base64>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The key before it, which goes on signing for a while after a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret: Option<PreviousSecret>,
    /// Where it is a server-sent event stream that a client holds open: the name of the pod that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Whether it takes part in deliveries now.
    #[serde(default)]
    pub state: State,
    /// When it was created, RFC 3339.
    pub created_at: String,
}

/// What a request to a subscriber carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadFormat {
    /// A Redfish Event (or MetricReport) with only the records that it asked for, mended where hardware deviates.
    #[default]
    Event,
    /// The bytes as they came, all records, no `Context` of its own.
    Raw,
}

/// A member of a subscription's `Certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedCertificate {
    /// Names it in its collection; never used again there.
    pub id: String,
    /// One certificate or a chain, PEM.
    pub pem: String,
}

/// A member of a subscription's `ClientCertificates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Names it in its collection; never used again there.
    pub id: String,
    /// The certificate and its chain, PEM.
    pub pem: String,
    /// Its private key, PEM.
    pub key: Secret,
}

/// Whether a subscription's deliveries are sent or only kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum State {
    /// Events are delivered.
    #[default]
    Enabled,
    /// Events are parked until someone resumes the subscription.
    Suspended {
        /// Why: an operator's request, or what the subscriber answered.
        reason: String,
        /// Since when, RFC 3339.
        since: String,
    },
}

/// `DeliveryRetryPolicy` of EventDestination 1.16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DeliveryRetryPolicy {
    /// The subscription is removed once the attempts are used up.
    TerminateAfterRetries,
    /// The subscription is suspended once the attempts are used up; what is parked stays.
    SuspendRetries,
    /// Attempts go on for ever at a constant interval.
    RetryForever,
    /// Attempts go on for ever with growing intervals.
    #[default]
    RetryForeverWithBackoff,
}

/// Retry settings of one subscription; what is absent follows the service's configuration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RetryOverrides {
    /// The wait period before the first probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Period>,
    /// Factor from one wait to the next; 1 is constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<f64>,
    /// No wait is longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Period>,
    /// Attempts before the policy acts; 0 is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
}

/// A signing key that was replaced, and until when it signs beside the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    /// The key, `whsec_<base64>`.
    pub secret: Secret,
    /// Seconds since the epoch, by the clock of the worker that signs.
    pub until: u64,
}

/// A secret of a subscription that can't be revealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its {what} can't be used: {why}")]
pub struct LockedSecret {
    what: String,
    why: Locked,
}

impl Subscription {
    /// A subscription with every optional setting at its default.
    #[must_use]
    pub fn new(id: SubscriptionId, destination: Url, created_at: String) -> Self {
        Self {
            id,
            version: 0,
            name: None,
            owner: None,
            destination,
            backup_destinations: Vec::new(),
            context: None,
            filter: Filter::default(),
            payload: PayloadFormat::default(),
            coalesce: true,
            heartbeat_minutes: None,
            headers: Vec::new(),
            retry_policy: DeliveryRetryPolicy::default(),
            retry: RetryOverrides::default(),
            limits: Retention::default(),
            max_in_flight: None,
            timeout: None,
            ca_file: None,
            certificates: Vec::new(),
            client_certificates: Vec::new(),
            verify_certificate: true,
            secret: None,
            previous_secret: None,
            stream: None,
            state: State::Enabled,
            created_at,
        }
    }

    /// The destination as logs and messages show it: without user, password, query and fragment.
    #[must_use]
    pub fn shown_destination(&self) -> String {
        shown(&self.destination)
    }

    /// Every secret with the name of its field, which differs from that of every other.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = (String, &mut Secret)> {
        let headers = self.headers.iter_mut();
        let headers = headers
            .enumerate()
            .map(|(at, (name, value))| (format!("header {at} {}", name.to_ascii_lowercase()), value));
        let secret = self.secret.iter_mut().map(|secret| ("secret".to_owned(), secret));
        let previous = self.previous_secret.iter_mut();
        let previous = previous.map(|old| ("previous secret".to_owned(), &mut old.secret));
        let keys = self.client_certificates.iter_mut();
        let keys = keys.map(|of| (format!("client certificate {}", of.id), &mut of.key));
        headers.chain(secret).chain(previous).chain(keys)
    }

    /// The first secret that can't be revealed, and why: nothing may be sent without it. The key before the present one
    /// is none of them, since receivers know the present one.
    #[must_use]
    pub fn locked(&self) -> Option<LockedSecret> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| ("header", name.as_str(), value));
        let secret = self.secret.iter().map(|secret| ("signing secret", "", secret));
        let keys = self.client_certificates.iter();
        let keys = keys.map(|of| ("key of client certificate", of.id.as_str(), &of.key));
        let mut all = headers.chain(secret).chain(keys);
        all.find_map(|(kind, name, secret)| {
            let why = secret.reveal().err()?;
            let what = format!("{kind} {name}").trim_end().to_owned();
            Some(LockedSecret { what, why })
        })
    }

    /// Whether requests to both go the same way: to one place, with the same headers, keys, trust and deadline.
    #[must_use]
    pub fn is_sent_like(&self, other: &Self) -> bool {
        self.destination == other.destination
            && self.backup_destinations == other.backup_destinations
            && self.payload == other.payload
            && self.headers == other.headers
            && self.secret == other.secret
            && self.ca_file == other.ca_file
            && self.certificates == other.certificates
            && self.client_certificates == other.client_certificates
            && self.verify_certificate == other.verify_certificate
            && self.timeout == other.timeout
    }

    /// Whether it is a stream that a client holds open: nothing is sent to it, parked or tried again.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether its deliveries are only kept.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        matches!(self.state, State::Suspended { .. })
    }
}

/// A URL as logs and messages show it: without user, password, query and fragment.
#[must_use]
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

fn yes() -> bool {
    true
}
