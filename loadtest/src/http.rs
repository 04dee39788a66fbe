//! An HTTP client of one connection, as a CPE or an aggregator has.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

mod trust;

/// Longest wait for a connection or an answer. Beyond it the other side is as good as dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer that is read.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How much of a fetched file is kept.
const BEGINNING_BYTES_MAX: usize = 1024;

/// A connection to one server.
pub(crate) struct Client {
    send: SendRequest<Full<Bytes>>,
    host: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A file that was fetched.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) status: StatusCode,
    pub(crate) length: u64,
    /// Its first bytes.
    pub(crate) beginning: Vec<u8>,
}

/// An answer whose body has not been read.
type Begun = hyper::Response<hyper::body::Incoming>;

/// Why there is no answer. The texts are few: they are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("connection refused")]
    Refused,
    #[error("connection failed")]
    Connect,
    #[error("TLS handshake failed")]
    Tls,
    #[error("connection lost")]
    Lost,
    #[error("timed out")]
    Late,
}

impl Client {
    /// Connects, with TLS that believes any certificate where `tls` is given, from an address of
    /// this machine where `from` is.
    pub(crate) async fn connect(
        to: SocketAddr,
        tls: Option<&Tls>,
        from: Option<IpAddr>,
    ) -> Result<Self, HttpError> {
        timeout(PATIENCE, Self::open(to, tls, from)).await.unwrap_or(Err(HttpError::Late))
    }

    async fn open(
        to: SocketAddr,
        tls: Option<&Tls>,
        from: Option<IpAddr>,
    ) -> Result<Self, HttpError> {
        let stream = dial(to, from).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => HttpError::Refused,
            _ => HttpError::Connect,
        })?;
        stream.set_nodelay(true).map_err(|_| HttpError::Connect)?;
        let send = match tls {
            None => start(stream).await?,
            Some(tls) => {
                let name = ServerName::IpAddress(to.ip().into());
                let stream = tls.0.connect(name, stream).await.map_err(|_| HttpError::Tls)?;
                start(stream).await?
            }
        };
        Ok(Self { send, host: to.to_string() })
    }

    /// Posts and waits for the whole answer.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        self.request(Method::POST, path, headers, body).await
    }

    /// Asks and waits for the whole answer.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let request = self.prepare(method, path, headers, body)?;
        timeout(PATIENCE, self.exchange(request)).await.unwrap_or(Err(HttpError::Late))
    }

    /// Fetches a file of any length, of which only the beginning is kept.
    pub(crate) async fn fetch(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<File, HttpError> {
        let request = self.prepare(Method::GET, path, headers, Bytes::new())?;
        let begun = timeout(PATIENCE, self.begin(request)).await.unwrap_or(Err(HttpError::Late))?;
        let (parts, mut body) = begun.into_parts();
        let (mut length, mut beginning) = (0, Vec::new());
        loop {
            let frame = timeout(PATIENCE, body.frame()).await.map_err(|_| HttpError::Late)?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| HttpError::Lost)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            length += u64::try_from(data.len()).unwrap_or(u64::MAX);
            let room = BEGINNING_BYTES_MAX.saturating_sub(beginning.len()).min(data.len());
            beginning.extend_from_slice(&data[..room]);
        }
        Ok(File { status: parts.status, length, beginning })
    }

    fn prepare(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body)).map_err(|_| HttpError::Lost)
    }

    async fn begin(&mut self, request: Request<Full<Bytes>>) -> Result<Begun, HttpError> {
        self.send.ready().await.map_err(|_| HttpError::Lost)?;
        self.send.send_request(request).await.map_err(|_| HttpError::Lost)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
        let (parts, body) = self.begin(request).await?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|_| HttpError::Lost)?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Whether it can carry another request.
    pub(crate) fn is_open(&self) -> bool {
        !self.send.is_closed()
    }
}

impl Answer {
    /// Whether the server closes the connection after it.
    pub(crate) fn closes(&self) -> bool {
        self.header_values(CONNECTION.as_str()).any(|it| it.eq_ignore_ascii_case("close"))
    }

    /// When it asks to be called again (RFC 9110 10.2.3), in seconds; a date is not read.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header_values(RETRY_AFTER.as_str()).next()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Every value of a header.
    pub(crate) fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }
}

async fn dial(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = if from.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

async fn start<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, HttpError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (send, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| HttpError::Lost)?;
    // Its end is seen by the next request.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(send)
}

/// TLS without looking at the certificate: a lab's server has none that anyone vouches for.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl Tls {
    /// Shakes hands over a connection of any protocol.
    pub(crate) async fn connect(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.0.connect(name, stream).await
    }

    /// TLS 1.2 and 1.3; sessions are not resumed, so that each handshake is a whole one.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust::Anyone(provider)))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}
