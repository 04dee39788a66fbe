//! The hub over HTTP.

use super::fault::{HubError, HubFault};
use crate::outcall::{Base, CallFault, Lost, OutAnswer, OutRequest, Outcall};
use async_trait::async_trait;
use model::Redacted;
use provisioning::Equipment;
use reqwest::Method;

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
#[derive(Debug)]
pub struct HttpCarrier {
    outcall: Outcall,
    base: Base,
}

impl HttpCarrier {
    /// A carrier to the hub at `base`.
    pub const fn new(outcall: Outcall, base: Base) -> Self {
        Self { outcall, base }
    }

    fn request(&self, method: Method, serial: &str, call: &str) -> OutRequest {
        // A device chose the serial.
        let request = self.base.request(method, ["devices", serial, call], &[]);
        OutRequest { body_max: Equipment::LEN_MAX, ..request }
    }

    async fn send(&self, request: OutRequest) -> Result<OutAnswer, HubError> {
        self.outcall.call(request).await.map_err(|fault| {
            let fault = match fault {
                CallFault::NotSent | CallFault::Unknown(Lost::None) => HubFault::Unreachable,
                CallFault::Unknown(Lost::Late) => HubFault::TimedOut,
                CallFault::Unknown(Lost::Cut) => HubFault::Cut,
                CallFault::Unknown(Lost::TooLong) => HubFault::TooLong,
            };
            fault.into()
        })
    }
}

/// What a status means that neither call takes.
fn failure(answer: &OutAnswer) -> HubError {
    let fault = match answer.status {
        300..=399 => HubFault::Redirected,
        401 | 403 => HubFault::Unauthorised,
        408 | 425 => HubFault::TimedOut,
        429 => HubFault::Limited,
        500..=599 => HubFault::Server,
        _ => HubFault::Odd,
    };
    let asks = matches!(answer.status, 429 | 503);
    HubError { fault, retry_after: answer.retry_after.filter(|_| asks) }
}

#[async_trait]
impl Carrier for HttpCarrier {
    async fn get(&self, serial: &str, etag: Option<&str>) -> Result<Got, HubError> {
        let request = self.request(Method::GET, serial, "provision");
        let request = match etag {
            Some(etag) => request.with("if-none-match", etag),
            None => request,
        };
        let answer = self.send(request).await?;
        match answer.status {
            200 if is_json(&answer) => Ok(Got::Document { text: answer.body, etag: answer.etag }),
            200 => Err(HubFault::NotJson.into()),
            304 => Ok(Got::NotModified),
            404 => Ok(Got::Unknown),
            409 => Ok(Got::NotReady),
            _ => Err(failure(&answer)),
        }
    }

    async fn post(&self, serial: &str, key: &str, body: &str) -> Result<Posted, HubError> {
        let body = Redacted(body.as_bytes().to_vec());
        let request = self.request(Method::POST, serial, "activated").with_key(key).with_json(body);
        let answer = self.send(request).await?;
        match answer.status {
            status @ 200..=299 => Ok(Posted::Taken(status)),
            status @ (404 | 410) => Ok(Posted::Unknown(status)),
            409 => Ok(Posted::NotReady),
            300..=399 | 401 | 403 | 408 | 425 | 429 => Err(failure(&answer)),
            status @ 400..=499 => Ok(Posted::Refused(status)),
            _ => Err(failure(&answer)),
        }
    }
}

/// Whether the answer says it is JSON, or does not say.
fn is_json(answer: &OutAnswer) -> bool {
    let Some(declared) = &answer.content_type else { return true };
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
