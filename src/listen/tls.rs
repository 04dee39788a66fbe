//! Certificates: read from files, made on first use where asked, changed without a restart.

use crate::files::{self, FileError};
use arc_swap::ArcSwap;
use model::Redacted;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The server's certificate, shared by every TLS listener.
#[derive(Debug)]
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
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
}

impl Certificate {
    /// Reads the certificate chain and its key.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let current = ArcSwap::from(server_config(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current })
    }

    /// Makes a P-256 certificate for `names` that signs itself, unless there is one, and reads it.
    pub fn read_or_make(
        cert: &Path,
        key: &Path,
        names: Vec<String>,
    ) -> Result<Self, CertificateError> {
        if matches!(files::read(cert), Err(error) if error.is_missing()) {
            let made = rcgen::generate_simple_self_signed(names)
                .map_err(|error| unusable(cert, key, error))?;
            files::write_new_secret(key, Redacted(made.signing_key.serialize_pem()))?;
            files::write_new_secret(cert, Redacted(made.cert.pem()))?;
        }
        Self::read(cert, key)
    }

    /// Reads the certificate again, from `files` (certificate and key) where they are named, else
    /// from where it was. Connections that are open keep what they have; on an error nothing changes.
    pub fn reload(&self, files: Option<(&Path, &Path)>) -> Result<(), CertificateError> {
        let (cert, key) = files.unwrap_or((&self.cert, &self.key));
        self.current.store(server_config(cert, key)?);
        Ok(())
    }

    /// What answers the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let (chain, secret) = (files::read(cert)?, files::read(key)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| unusable(cert, key, error))?;
    let secret =
        PrivateKeyDer::from_pem_slice(&secret).map_err(|error| unusable(cert, key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(cert, key, error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| unusable(cert, key, error))?;
    Ok(Arc::new(config))
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

    #[test]
    fn makes_one_certificate_and_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        assert!(Certificate::read(&cert, &key).is_err());
        let made = Certificate::read_or_make(&cert, &key, vec!["localhost".into()]).unwrap();
        let first = files::read(&cert).unwrap();
        Certificate::read_or_make(&cert, &key, vec!["localhost".into()]).unwrap();
        assert_eq!(files::read(&cert).unwrap(), first);
        files::write_new_secret(&key, Redacted("not a key".into())).unwrap();
        assert!(made.reload(None).is_err(), "a broken file changes nothing");
        let _ = made.acceptor();
    }
}
