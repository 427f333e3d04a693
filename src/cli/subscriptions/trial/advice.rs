//! Where a test stopped, and what an operator does about it.

use crate::cli::tls::Shown;
use crate::domain::guard::Blocked;
use crate::domain::subscription::Subscription;
use crate::domain::verdict::Failure;

/// A step that failed, and what to do.
pub(super) struct Stopped {
    pub(super) step: &'static str,
    pub(super) found: String,
    pub(super) advice: String,
}

pub(super) fn no_name(error: &anyhow::Error) -> Stopped {
    Stopped {
        step: "name",
        found: format!("{error:#}"),
        advice: "check the host in the destination, and this machine's resolver (/etc/resolv.conf, /etc/hosts)"
            .to_owned(),
    }
}

pub(super) fn no_connection(error: &anyhow::Error) -> Stopped {
    Stopped {
        step: "connect",
        found: error.to_string(),
        advice: "check that the subscriber runs and listens on this port, and that no firewall or NetworkPolicy is \
                 between it and this machine"
            .to_owned(),
    }
}

pub(super) fn not_allowed(blocked: &Blocked) -> Stopped {
    Stopped {
        step: "guard",
        found: blocked.to_string(),
        advice: self::blocked(),
    }
}

fn blocked() -> String {
    "deliveries are parked until the destination or the settings of every worker are changed: holdfast subscriptions \
     update ID --destination URL, or HOLDFAST_DESTINATIONS__ALLOW and __DENY"
        .to_owned()
}

/// What the failure of the request itself says.
pub(super) fn unanswered(to: &Subscription, failure: Failure, detail: &str, certificate: Option<&Shown>) -> Stopped {
    let (step, advice) = match failure {
        Failure::Tls => ("trust", distrust(to, certificate)),
        Failure::Name => ("name", "check this machine's resolver".to_owned()),
        Failure::Connect => (
            "connect",
            "the subscriber took one connection and refused the next: look at its log and its limits".to_owned(),
        ),
        Failure::Timeout => (
            "answer",
            "look why the subscriber is slow, or give it longer: holdfast subscriptions update ID --timeout PERIOD"
                .to_owned(),
        ),
        Failure::Broken => (
            "answer",
            "look at the subscriber's log; a server that wants TLS breaks off like this when asked with http://"
                .to_owned(),
        ),
        Failure::Blocked => ("guard", blocked()),
        Failure::Setup => (
            "request",
            "mend what is named, here and on every worker, or change it with: holdfast subscriptions update ID"
                .to_owned(),
        ),
    };
    Stopped {
        step,
        found: detail.to_owned(),
        advice,
    }
}

/// Why a certificate was not trusted, as far as can be seen, and what to do.
fn distrust(to: &Subscription, certificate: Option<&Shown>) -> String {
    if certificate.is_some_and(|shown| shown.is_expired) {
        return "the certificate has expired: the subscriber needs a new one".to_owned();
    }
    if certificate.is_some_and(|shown| shown.is_early) {
        return "the certificate is not valid yet: check the clocks of this machine and of its issuer".to_owned();
    }
    match &to.ca_file {
        Some(file) => format!(
            "check that {} holds the authority that issued the certificate, and that the certificate names the host of \
             the destination",
            file.display()
        ),
        None => "for an authority of your own name its file: holdfast subscriptions update ID --ca-file FILE; check \
                 that the certificate names the host of the destination"
            .to_owned(),
    }
}

/// Against what the certificate was verified.
pub(super) fn trust(to: &Subscription) -> String {
    match (&to.ca_file, to.verify_certificate) {
        (_, false) => "NOT verified: --no-verify is set, anybody could answer in its place".to_owned(),
        (Some(file), true) => format!("verified by the authorities in {}", file.display()),
        (None, true) => "verified by the system's authorities".to_owned(),
    }
}
