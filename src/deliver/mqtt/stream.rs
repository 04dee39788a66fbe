//! The way to a broker: TCP, and TLS over it where the operator says `mqtts://`.

use crate::deliver::EgressGuard;
use crate::files::{self, FileError};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

/// Bytes both ways.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    // Ten times the size of the other.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no way to a broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// The name has no address.
    #[error("the broker's name has no address")]
    Name(#[source] io::Error),
    /// Every address that the name has lies outside `networks`.
    #[error("no address of the broker's name may be called")]
    Forbidden,
    /// Nobody takes the connection.
    #[error("no connection to the broker")]
    Connection(#[source] io::Error),
    /// Its certificate, or its TLS.
    #[error("no TLS with the broker")]
    Tls(#[source] io::Error),
}

/// What checks a broker's certificate: the authorities in `ca_file` alone, else the system's.
pub fn broker_tls(
    ca_file: Option<&Path>,
) -> Result<Arc<ClientConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match ca_file {
        None => builder.with_platform_verifier()?,
        Some(file) => builder.with_root_certificates(roots(file)?),
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn roots(file: &Path) -> Result<RootCertStore, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    let bytes = files::read(file).map_err(Box::<FileError>::new)?;
    for authority in CertificateDer::pem_slice_iter(&bytes) {
        roots.add(authority?)?;
    }
    if roots.is_empty() {
        return Err("no certificate is in it".into());
    }
    Ok(roots)
}

/// Connects to the operator's broker. The caller bounds how long it takes.
pub(super) async fn reach(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    guard: &dyn EgressGuard,
) -> Result<Wire, ReachError> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(ReachError::Name)?;
    let allowed: Vec<_> = found.filter(|address| guard.permits(address.ip())).collect();
    if allowed.is_empty() {
        return Err(ReachError::Forbidden);
    }
    let plain = TcpStream::connect(&*allowed).await.map_err(ReachError::Connection)?;
    plain.set_nodelay(true).map_err(ReachError::Connection)?;
    let Some(tls) = tls else { return Ok(Wire::Plain(plain)) };
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| ReachError::Tls(io::Error::other(error)))?;
    let tls = TlsConnector::from(tls).connect(name, plain).await.map_err(ReachError::Tls)?;
    Ok(Wire::Tls(Box::new(tls)))
}

/// Connects to the broker inside.
pub(crate) async fn reach_inside(address: SocketAddr) -> Result<Wire, ReachError> {
    let plain = TcpStream::connect(address).await.map_err(ReachError::Connection)?;
    plain.set_nodelay(true).map_err(ReachError::Connection)?;
    Ok(Wire::Plain(plain))
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
