//! Certificates for one test, made on the spot.

use std::cell::Cell;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};

/// A certificate authority of its own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name = called(name);
        Self(CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// The certificate and the key of a server, as PEM; `edit` may spoil the certificate.
    pub(crate) fn server(&self, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec![name.to_owned()]).unwrap();
        server.distinguished_name = called(name);
        edit(&mut server);
        let signed = server.signed_by(&key, &self.0).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

/// The PEM files of one authority and of one server.
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// An authority called `authority`, and a certificate for `host`, which ended in 2001 where it is `expired`.
pub(crate) fn certificates(dir: &Path, authority: &str, host: &str, expired: bool) -> Certificates {
    let issuer = Authority::new(authority);
    let (certificate, key) = issuer.server(host, |server| {
        if expired {
            server.not_before = date_time_ymd(2000, 1, 1);
            server.not_after = date_time_ymd(2001, 1, 1);
        }
    });
    let write = |kind: &str, text: String| {
        let path = dir.join(format!("{authority}-{kind}.pem").replace(' ', "-"));
        std::fs::write(&path, text).unwrap();
        path
    };
    Certificates {
        ca: write("ca", issuer.pem()),
        certificate: write("certificate", certificate),
        key: write("key", key),
    }
}

/// A directory as Kubernetes mounts a Secret: each file is a link through `..data`, a link that is swapped for all files
/// at once.
pub(crate) struct Mounted {
    dir: PathBuf,
    rounds: Cell<u32>,
}

impl Mounted {
    /// Mounts these files below `dir`, which must be there.
    pub(crate) fn new(dir: &Path, files: &[(&str, &str)]) -> Self {
        let mounted = Self {
            dir: dir.to_owned(),
            rounds: Cell::new(0),
        };
        mounted.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), dir.join(name)).unwrap();
        }
        mounted
    }

    /// What the files are from now on; those that are not named are gone.
    pub(crate) fn swap(&self, files: &[(&str, &str)]) {
        let before = format!("..{}", self.rounds.get());
        self.rounds.set(self.rounds.get() + 1);
        let now = format!("..{}", self.rounds.get());
        std::fs::create_dir(self.dir.join(&now)).unwrap();
        for (name, text) in files {
            std::fs::write(self.dir.join(&now).join(name), text).unwrap();
        }
        let link = self.dir.join("..data_tmp");
        symlink(&now, &link).unwrap();
        std::fs::rename(link, self.dir.join("..data")).unwrap();
        let _first = std::fs::remove_dir_all(self.dir.join(before));
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CommonName, name);
    full
}
