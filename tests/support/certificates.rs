//! Certificates for one test, made on the spot.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A certificate authority and a server certificate that `edit` may spoil, as PEM texts.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) key: String,
}

impl Certificates {
    /// For a server with this name or address.
    pub(crate) fn of(name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec![name.to_owned()]).unwrap();
        edit(&mut server);
        Self {
            authority: own.pem(),
            server: server.signed_by(&key, &issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem`.
    pub(crate) fn write(&self, dir: &Path) {
        std::fs::write(dir.join("ca.pem"), &self.authority).unwrap();
        std::fs::write(dir.join("cert.pem"), &self.server).unwrap();
        std::fs::write(dir.join("key.pem"), &self.key).unwrap();
    }
}
