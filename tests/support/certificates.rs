//! A certificate authority of a test's own, and a server's certificate from it, as PEM files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};

/// The files of one authority.
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// An authority called `authority`, and a certificate for `host`, which ended in 2001 where it is `expired`.
pub(crate) fn certificates(dir: &Path, authority: &str, host: &str, expired: bool) -> Certificates {
    let named = |name: &str| {
        let mut full = DistinguishedName::new();
        full.push(DnType::CommonName, name);
        full
    };
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name = named(authority);
    let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec![host.to_owned()]).unwrap();
    server.distinguished_name = named(host);
    if expired {
        server.not_before = date_time_ymd(2000, 1, 1);
        server.not_after = date_time_ymd(2001, 1, 1);
    }
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let write = |kind: &str, text: String| {
        let path = dir.join(format!("{authority}-{kind}.pem").replace(' ', "-"));
        std::fs::write(&path, text).unwrap();
        path
    };
    Certificates {
        ca: write("ca", issuer.pem()),
        certificate: write("certificate", certificate.pem()),
        key: write("key", key.serialize_pem()),
    }
}
