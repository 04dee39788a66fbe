//! One connection request by HTTP or HTTPS (TR-069 3.2.2).
//!
//! The device answers 200 or 204 and then begins a session of its own. Redirects are not followed,
//! bodies are not kept.

use super::SignIn;
use super::error::WakeError;
use super::sign;
use crate::egress::{Denied, Target};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// Longest head of an answer, in bytes, and most headers in it.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// Longest body of a challenge that is read for the sake of the connection, and longest wait for it.
const BODY_MAX: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_millis(500);
/// Challenges answered in one try: a nonce may belong to its connection, or be out of date at once.
const ANSWERS_MAX: usize = 2;

/// Calls devices.
#[derive(Clone)]
pub(super) struct Caller {
    tls: TlsConnector,
    allow_basic: bool,
}

impl Caller {
    /// `allow_basic`: whether a password may go out in the clear.
    pub(super) fn new(allow_basic: bool) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let anyone = Arc::new(Anyone(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), allow_basic }
    }

    /// Asks the device at `target` to begin a session. With `afresh`, each request has a connection
    /// of its own: many devices close theirs after the challenge, and some before they have said it.
    pub(super) async fn call(
        &self,
        target: &Target,
        sign_in: Option<&SignIn>,
        afresh: bool,
    ) -> Result<(), WakeError> {
        let mut line = self.open(target).await?;
        let mut response = line.ask(target, None).await?;
        let mut is_signed = false;
        for _ in 0..ANSWERS_MAX {
            if response.status() != StatusCode::UNAUTHORIZED {
                break;
            }
            let sign_in = sign_in.ok_or(WakeError::NoCredentials)?;
            let asked = response.headers().get_all(WWW_AUTHENTICATE).iter();
            let asked = asked.filter_map(|value| value.to_str().ok());
            let answer = sign::answer(asked, &target.path, sign_in, self.allow_basic)?;
            let is_kept = !afresh && drained(response).await;
            let again = if is_kept { line.ask(target, Some(&answer)).await.ok() } else { None };
            response = match again {
                Some(response) => response,
                None => {
                    line = self.open(target).await?;
                    line.ask(target, Some(&answer)).await?
                }
            };
            is_signed = true;
            if !may_ask_again(&response, &answer) {
                break;
            }
        }
        judge(response.status(), is_signed)
    }

    async fn open(&self, target: &Target) -> Result<Line, WakeError> {
        let stream = TcpStream::connect(target.address).await.map_err(WakeError::Unreachable)?;
        if !target.is_tls {
            return Line::over(stream).await;
        }
        let name = ServerName::IpAddress(target.address.ip().into());
        let stream = self.tls.connect(name, stream).await.map_err(|error| match error.kind() {
            // What TLS itself has to say against it; all else is the line's.
            std::io::ErrorKind::InvalidData => WakeError::Tls(error),
            _ => WakeError::Unreachable(error),
        })?;
        Line::over(stream).await
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("allow_basic", &self.allow_basic).finish_non_exhaustive()
    }
}

/// A connection to a device; it is closed when this is dropped.
struct Line {
    sender: SendRequest<Empty<Bytes>>,
    _connection: AbortOnDropHandle<()>,
}

impl Line {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, WakeError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX)
            // As many a device's few lines of C look for them, and write them themselves.
            .title_case_headers(true)
            .ignore_invalid_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(WakeError::Broken)?;
        // How it ends is told to whoever waits for an answer.
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, _connection: AbortOnDropHandle::new(connection) })
    }

    async fn ask(
        &mut self,
        target: &Target,
        authorization: Option<&str>,
    ) -> Result<Response<Incoming>, WakeError> {
        let mut request = Request::get(target.path.as_str())
            .header(HOST, target.host.as_str())
            .header(USER_AGENT, "lastmile");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|_| WakeError::Denied(Denied::Unreadable))?;
        self.sender.ready().await.map_err(WakeError::Broken)?;
        let answered = self.sender.send_request(request).await;
        answered.map_err(|error| match error {
            // Closed without a word: so some say that they are busy.
            error if error.is_incomplete_message() || error.is_canceled() => WakeError::Busy,
            error => WakeError::Broken(error),
        })
    }
}

/// Reads a short body to its end, so that its connection can be used again; `false` when it cannot.
async fn drained(response: Response<Incoming>) -> bool {
    let body = Limited::new(response.into_body(), BODY_MAX).collect();
    matches!(tokio::time::timeout(BODY_TIMEOUT, body).await, Ok(Ok(_)))
}

/// Whether a second 401 is worth an answer: one for another nonce than was answered.
fn may_ask_again(response: &Response<Incoming>, answered: &str) -> bool {
    let asked = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let mut nonces = asked.filter_map(|value| {
        let (_, rest) = value.to_str().ok()?.split_once("nonce=\"")?;
        rest.split_once('"').map(|(nonce, _)| nonce)
    });
    nonces.any(|nonce| !answered.contains(&format!("nonce=\"{nonce}\"")))
}

fn judge(status: StatusCode, is_signed: bool) -> Result<(), WakeError> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_signed => Err(WakeError::Refused),
        StatusCode::SERVICE_UNAVAILABLE => Err(WakeError::Busy),
        status => Err(WakeError::Unexpected(status)),
    }
}

/// Takes any certificate: devices make their own, and for addresses that change. It proves nothing,
/// so neither is its signature looked at, which old ones get wrong. What we say does no harm to us in
/// the wrong hands: a digest of a password that this one device has.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
