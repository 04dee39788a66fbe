//! Certificates: read from files, made on first use where asked, changed without a restart; and those
//! that devices show, checked.

use crate::files::{self, FileError};
use arc_swap::ArcSwap;
use cwmp::auth::CertificateNames;
use model::Redacted;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_SERIALNUMBER};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The server's certificate, and which of the devices' are believed.
#[derive(Debug)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    clients: Option<ClientCertificates>,
    current: ArcSwap<ServerConfig>,
}

/// Which certificates of devices are believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCertificates {
    /// Who signs them: one or more authorities, as PEM.
    pub ca: PathBuf,
    /// Those that were taken back: one or more lists, as PEM.
    pub crl: Option<PathBuf>,
    /// Whether nobody connects without one.
    pub are_required: bool,
}

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was read is no certificate, no key, or they do not belong together.
    #[error("`{}` and `{}` are no certificate and its key", .cert.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was read cannot check devices' certificates.
    #[error("`{}` holds nothing to check devices' certificates with", .file.display())]
    Clients {
        /// The file of the authorities, or of what they took back.
        file: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A configuration that was read and is not served yet.
#[derive(Debug)]
pub struct Prepared(Arc<ServerConfig>);

impl Certificate {
    /// Reads the certificate chain, its key, and what devices' certificates are checked with.
    pub fn read(
        cert: &Path,
        key: &Path,
        clients: Option<ClientCertificates>,
    ) -> Result<Self, CertificateError> {
        let current = ArcSwap::from(server_config(cert, key, clients.as_ref())?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), clients, current })
    }

    /// Makes a P-256 certificate for `names` that signs itself, unless there is one.
    pub fn make(cert: &Path, key: &Path, names: Vec<String>) -> Result<(), CertificateError> {
        if matches!(files::read(cert), Err(error) if error.is_missing()) {
            let made = rcgen::generate_simple_self_signed(names)
                .map_err(|error| unusable(cert, key, error))?;
            files::write_new_secret(key, Redacted(made.signing_key.serialize_pem()))?;
            files::write_new_secret(cert, Redacted(made.cert.pem()))?;
        }
        Ok(())
    }

    /// Reads everything again: the certificate and its key from `files` where they are named, else
    /// from where they were. Nothing changes yet, so that all listeners change or none.
    pub fn prepare(&self, files: Option<(&Path, &Path)>) -> Result<Prepared, CertificateError> {
        let (cert, key) = files.unwrap_or((&self.cert, &self.key));
        server_config(cert, key, self.clients.as_ref()).map(Prepared)
    }

    /// Serves what was prepared. Connections that are open keep what they have; none is resumed
    /// under the new, so that a device whose certificate was taken back must show it again.
    pub fn take(&self, prepared: Prepared) {
        self.current.store(prepared.0);
    }

    /// What answers the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

impl ClientCertificates {
    /// Reads the files, and makes of them what checks a handshake.
    pub fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
        let unusable = |file: &Path, source: Box<dyn std::error::Error + Send + Sync>| {
            CertificateError::Clients { file: file.to_owned(), source }
        };
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&files::read(&self.ca)?) {
            let authority = authority.map_err(|error| unusable(&self.ca, error.into()))?;
            roots.add(authority).map_err(|error| unusable(&self.ca, error.into()))?;
        }
        if roots.is_empty() {
            return Err(unusable(&self.ca, "no certificate is in it".into()));
        }
        let mut revoked = Vec::new();
        if let Some(file) = &self.crl {
            let lists = CertificateRevocationListDer::pem_slice_iter(&files::read(file)?)
                .collect::<Result<Vec<_>, _>>();
            revoked = lists.map_err(|error| unusable(file, error.into()))?;
            if revoked.is_empty() {
                return Err(unusable(file, "no revocation list is in it".into()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Of an authority without a list nothing was taken back. What a list that is overdue says
        // still holds: a fleet must not be shut out by a job that did not run.
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(revoked)
            .allow_unknown_revocation_status();
        let builder = if self.are_required { builder } else { builder.allow_unauthenticated() };
        let file = self.crl.as_ref().unwrap_or(&self.ca);
        builder.build().map_err(|error| unusable(file, error.into()))
    }
}

/// Most names of a board's certificate that are looked at.
const BOARD_NAMES_MAX: usize = 16;

/// What kind of name stands in a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Common,
    SerialNumber,
    Dns,
    Uri,
}

/// Hands on the names in a certificate: those of its subject first.
fn each_name(certificate: &CertificateDer<'_>, mut take: impl FnMut(Kind, &str)) {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else { return };
    let subject = read.subject();
    for (kind, oid) in
        [(Kind::Common, OID_X509_COMMON_NAME), (Kind::SerialNumber, OID_X509_SERIALNUMBER)]
    {
        let attributes = subject.iter_by_oid(&oid).filter_map(|attribute| attribute.as_str().ok());
        attributes.for_each(|name| take(kind, name));
    }
    let others = read.subject_alternative_name().ok().flatten();
    for name in others.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => take(Kind::Dns, name),
            GeneralName::URI(name) => take(Kind::Uri, name),
            _ => {}
        }
    }
}

/// The names of a CPE in a certificate that a handshake has checked.
pub(crate) fn names_in(certificate: &CertificateDer<'_>) -> CertificateNames {
    let mut names = Vec::new();
    each_name(certificate, |kind, name| {
        if kind != Kind::Uri {
            names.push(name.to_owned());
        }
    });
    CertificateNames::new(names.iter().map(String::as_str))
}

/// The names of a board in a certificate that a handshake has checked: its common name, DNS names
/// and URIs, and of each URI what follows its last `/` or `:` as well.
pub(crate) fn board_names_in(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let mut names = Vec::new();
    let mut push = |name: &str| {
        let fits = !name.is_empty() && name.len() <= model::DeviceId::LEN_MAX;
        if fits && names.len() < BOARD_NAMES_MAX {
            names.push(Box::from(name));
        }
    };
    each_name(certificate, |kind, name| match kind {
        Kind::Common | Kind::Dns => push(name),
        Kind::Uri => {
            push(name);
            if let Some((_, last)) = name.rsplit_once(['/', ':']) {
                push(last);
            }
        }
        Kind::SerialNumber => {}
    });
    names
}

fn server_config(
    cert: &Path,
    key: &Path,
    clients: Option<&ClientCertificates>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let (chain, secret) = (files::read(cert)?, files::read(key)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| unusable(cert, key, error))?;
    let secret =
        PrivateKeyDer::from_pem_slice(&secret).map_err(|error| unusable(cert, key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(cert, key, error))?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()?),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, secret);
    config.map(Arc::new).map_err(|error| unusable(cert, key, error))
}

fn unusable(
    cert: &Path,
    key: &Path,
    source: impl std::error::Error + Send + Sync + 'static,
) -> CertificateError {
    let (cert, key) = (cert.to_owned(), key.to_owned());
    CertificateError::Unusable { cert, key, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn makes_one_certificate_and_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        assert!(Certificate::read(&cert, &key, None).is_err());
        Certificate::make(&cert, &key, vec!["localhost".into()]).unwrap();
        let made = Certificate::read(&cert, &key, None).unwrap();
        let first = files::read(&cert).unwrap();
        Certificate::make(&cert, &key, vec!["localhost".into()]).unwrap();
        assert_eq!(files::read(&cert).unwrap(), first);
        files::write_new_secret(&key, Redacted("not a key".into())).unwrap();
        assert!(made.prepare(None).is_err(), "a broken file changes nothing");
        let _ = made.acceptor();
    }

    #[test]
    fn what_is_made_is_a_p_256_key() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        Certificate::make(&cert, &key, vec!["localhost".into()]).unwrap();
        let der = CertificateDer::from_pem_slice(&files::read(&cert).unwrap()).unwrap();
        let (_, read) = X509Certificate::from_der(&der).unwrap();
        let curve = read.public_key().algorithm.parameters.as_ref().unwrap().as_oid().unwrap();
        assert_eq!(curve.to_id_string(), "1.2.840.10045.3.1.7", "prime256v1");
    }

    #[test]
    fn the_names_of_a_certificate_are_its_subjects_and_its_other_names() {
        let mut params = CertificateParams::new(vec!["00259E-2.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "00259E-HG8245-1");
        let serial = DnType::CustomDnType(vec![2, 5, 4, 5]);
        params.distinguished_name.push(serial, "SER1");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = names_in(made.der());
        for (class, serial) in [("HG8245", "1"), ("", "2.example"), ("any", "SER1")] {
            let device = model::DeviceId::cwmp("00259E", class, serial).unwrap();
            assert!(names.name(&device), "{device}");
        }
        assert_eq!(names_in(&CertificateDer::from(vec![0; 9])), CertificateNames::default());
    }

    #[test]
    fn a_board_is_named_by_its_common_name_and_its_other_names() {
        let mut params = CertificateParams::new(vec!["board-2.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "board-1");
        let serial = DnType::CustomDnType(vec![2, 5, 4, 5]);
        params.distinguished_name.push(serial, "4711");
        for uri in ["urn:imei:490154203237518", "spiffe://example/board/board-3"] {
            let uri = rcgen::SanType::URI(uri.try_into().unwrap());
            params.subject_alt_names.push(uri);
        }
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = board_names_in(made.der());
        let names: Vec<_> = names.iter().map(|name| &**name).collect();
        assert_eq!(
            names,
            [
                "board-1",
                "board-2.example",
                "urn:imei:490154203237518",
                "490154203237518",
                "spiffe://example/board/board-3",
                "board-3"
            ]
        );
        assert!(board_names_in(&CertificateDer::from(vec![0; 9])).is_empty());
        let many = CertificateParams::new(vec!["x".to_owned(); 100]).unwrap();
        let many = many.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(board_names_in(many.der()).len(), BOARD_NAMES_MAX);
    }

    #[test]
    fn a_file_without_an_authority_checks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, crl) = (dir.path().join("ca.pem"), dir.path().join("crl.pem"));
        let clients = ClientCertificates { ca: ca.clone(), crl: None, are_required: true };
        assert!(clients.verifier().is_err(), "it is not there");
        files::write_new_secret(&ca, Redacted("no certificate".into())).unwrap();
        assert!(clients.verifier().is_err(), "it is empty of any");
        let made = rcgen::generate_simple_self_signed(vec!["ca".into()]).unwrap();
        files::write_new_secret(&ca, Redacted(made.cert.pem())).unwrap();
        assert!(clients.verifier().is_ok());
        let clients = ClientCertificates { crl: Some(crl.clone()), ..clients };
        assert!(clients.verifier().is_err(), "its list is not there");
        files::write_new_secret(&crl, Redacted("no list".into())).unwrap();
        assert!(clients.verifier().is_err(), "its list is none");
    }
}
