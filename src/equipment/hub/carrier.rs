//! The hub over HTTP.
//!
//! Never follows a redirect, never asks a proxy, connects only where the operator's networks are, and
//! keeps no more of an answer than a document may have.

use super::fault::{HubError, HubFault};
use crate::clock::Clock;
use crate::deliver::{EgressGuard, GuardedResolver, parse_retry_after};
use async_trait::async_trait;
use model::Redacted;
use provisioning::Equipment;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest name of a state of the values that is kept.
const ETAG_LEN_MAX: usize = 256;
/// Connections that are kept for the next question.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// Calls the hub.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// `GET /devices/{serial}/provision`.
    async fn get(&self, serial: &str, etag: Option<&str>) -> Result<Got, HubError>;

    /// `POST /devices/{serial}/activated`; `key` tells the hub that it was told before.
    async fn post(&self, serial: &str, key: &str, body: &str) -> Result<Posted, HubError>;
}

/// What the hub said of a serial.
#[derive(Clone, Debug)]
pub enum Got {
    /// 200: a document, not looked at yet.
    Document {
        /// As it came.
        text: Redacted<Vec<u8>>,
        /// Its `ETag`.
        etag: Option<Box<str>>,
    },
    /// 304: as it was.
    NotModified,
    /// 404: it knows no such serial.
    Unknown,
    /// 409: it knows it, and has no values yet.
    NotReady,
}

impl Got {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Document { .. } => "ok",
            Self::NotModified => "not_modified",
            Self::Unknown => "unknown",
            Self::NotReady => "not_ready",
        }
    }
}

/// What the hub said to an activation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Posted {
    /// 2xx: it knows.
    Taken(u16),
    /// 409: it would like to be told later.
    NotReady,
    /// 404 or 410: it knows no such serial.
    Unknown(u16),
    /// It will not have it as it is.
    Refused(u16),
}

impl Posted {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Taken(_) => "ok",
            Self::NotReady => "not_ready",
            Self::Unknown(_) => "unknown",
            Self::Refused(_) => "refused",
        }
    }
}

/// The hub at its URL.
pub struct HttpCarrier {
    client: Client,
    url: Url,
    token: Option<HeaderValue>,
    guard: Arc<dyn EgressGuard>,
    clock: Clock,
}

/// Without the token.
impl std::fmt::Debug for HttpCarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpCarrier").finish_non_exhaustive()
    }
}

impl HttpCarrier {
    /// A carrier to the hub at `url`, which the configuration has checked.
    ///
    /// The process needs a default TLS provider (`rustls::crypto::CryptoProvider`) before this.
    pub fn new(
        url: &str,
        token: Option<&Redacted<String>>,
        timeout: Duration,
        guard: Arc<dyn EgressGuard>,
        clock: Clock,
    ) -> Result<Self, CarrierError> {
        let url = Url::parse(url).map_err(|_| CarrierError::Url)?;
        if url.cannot_be_a_base() {
            return Err(CarrierError::Url);
        }
        let token = token.map(|token| {
            let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| CarrierError::Token)?;
            header.set_sensitive(true);
            Ok(header)
        });
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Whoever asks decides when to ask again.
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver(Arc::clone(&guard)))
            .connect_timeout(timeout)
            // Of the whole answer, so that a byte a second does not last.
            .timeout(timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("lastmile/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(CarrierError::Client)?;
        Ok(Self { client, url, token: token.transpose()?, guard, clock })
    }

    fn address(&self, serial: &str, call: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // Each part is percent-encoded: a device chose the serial.
            path.pop_if_empty().extend(["devices", serial, call]);
        }
        url
    }

    /// A host written as an address is never resolved, so it is checked here.
    fn permitted(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        literal.map_or(true, |address| self.guard.permits(address))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, HubError> {
        if !self.permitted() {
            return Err(HubFault::Unreachable.into());
        }
        let request = match &self.token {
            Some(token) => request.header(reqwest::header::AUTHORIZATION, token),
            None => request,
        };
        request.header(ACCEPT, "application/json").send().await.map_err(|error| {
            let fault = if error.is_timeout() { HubFault::TimedOut } else { HubFault::Unreachable };
            fault.into()
        })
    }

    /// What a status means that neither call takes.
    fn failure(&self, answer: &Response) -> HubError {
        let fault = match answer.status().as_u16() {
            300..=399 => HubFault::Redirected,
            401 | 403 => HubFault::Unauthorised,
            408 | 425 => HubFault::TimedOut,
            429 => HubFault::Limited,
            500..=599 => HubFault::Server,
            _ => HubFault::Odd,
        };
        let asks = matches!(answer.status().as_u16(), 429 | 503);
        let retry_after = answer.headers().get(RETRY_AFTER).filter(|_| asks);
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        let retry_after =
            retry_after.and_then(|text| parse_retry_after(text, self.clock.now().wall));
        HubError { fault, retry_after }
    }
}

#[async_trait]
impl Carrier for HttpCarrier {
    async fn get(&self, serial: &str, etag: Option<&str>) -> Result<Got, HubError> {
        let mut request = self.client.get(self.address(serial, "provision"));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = self.send(request).await?;
        match answer.status().as_u16() {
            200 => {}
            304 => return Ok(Got::NotModified),
            404 => return Ok(Got::Unknown),
            409 => return Ok(Got::NotReady),
            _ => return Err(self.failure(&answer)),
        }
        if !is_json(answer.headers()) {
            return Err(HubFault::NotJson.into());
        }
        let etag = answer.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.filter(|etag| etag.len() <= ETAG_LEN_MAX).map(Into::into);
        Ok(Got::Document { text: Redacted(read(answer).await?), etag })
    }

    async fn post(&self, serial: &str, key: &str, body: &str) -> Result<Posted, HubError> {
        let request = self
            .client
            .post(self.address(serial, "activated"))
            .header("idempotency-key", key)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let answer = self.send(request).await?;
        match answer.status().as_u16() {
            status @ 200..=299 => Ok(Posted::Taken(status)),
            status @ (404 | 410) => Ok(Posted::Unknown(status)),
            409 => Ok(Posted::NotReady),
            300..=399 | 401 | 403 | 408 | 425 | 429 => Err(self.failure(&answer)),
            status @ 400..=499 => Ok(Posted::Refused(status)),
            _ => Err(self.failure(&answer)),
        }
    }
}

/// Whether the answer says it is JSON, or does not say.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(declared) = headers.get(CONTENT_TYPE) else { return true };
    let declared = declared.to_str().unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Reads an answer to its end, which is not far.
async fn read(mut answer: Response) -> Result<Vec<u8>, HubError> {
    let mut text = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => {
                if text.len() + chunk.len() > Equipment::LEN_MAX {
                    return Err(HubFault::TooLong.into());
                }
                text.extend_from_slice(&chunk);
            }
            Ok(None) => return Ok(text),
            Err(error) if error.is_timeout() => return Err(HubFault::TimedOut.into()),
            Err(_) => return Err(HubFault::Cut.into()),
        }
    }
}

/// Why the hub cannot be called. The URL is not repeated: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// Not a URL that paths can be added to.
    #[error("`backend.url` is an `http` or `https` URL with a host")]
    Url,
    /// The token cannot stand in a header.
    #[error("the backend's token has characters that no header may have")]
    Token,
    /// The client cannot be built.
    #[error("failed to prepare the HTTP client")]
    Client(#[source] reqwest::Error),
}
