//! Calls to the business's hub and to providers of payments and texts, where it matters whether a call
//! that failed may have been heard.
//!
//! Never follows a redirect, never asks a proxy, connects only where the operator's networks are,
//! sends nothing twice, and keeps no more of an answer than the call says.

mod base;

#[cfg(test)]
mod tests;

pub use self::base::{Base, BaseError};

use crate::clock::Clock;
use crate::deliver::{EgressGuard, GuardedResolver, parse_retry_after};
use model::Redacted;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, Url, redirect};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Connections that are kept for the next call.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// One call. Never for a log.
pub struct OutRequest {
    /// `GET`, `POST` …
    pub method: Method,
    /// Where, with `http://` or `https://`.
    pub url: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(&'static str, Redacted<String>)>,
    /// The body; empty where there is none.
    pub body: Redacted<Vec<u8>>,
    /// Longest wait for the whole answer; `None` for the caller's own.
    pub within: Option<Duration>,
    /// Longest body of the answer, in bytes.
    pub body_max: usize,
}

/// Without where it goes: some providers have their customer's name in it.
impl std::fmt::Debug for OutRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

impl OutRequest {
    /// A call without headers and body, whose answer has [`OutAnswer::BODY_MAX`] bytes at most.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        let (headers, body) = (Vec::new(), Redacted(Vec::new()));
        let url = url.into();
        Self { method, url, headers, body, within: None, body_max: OutAnswer::BODY_MAX }
    }

    /// With one header more; `name` in lower case.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Redacted(value.into())));
        self
    }

    /// With what tells the far side that it has heard this before.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        self.with("idempotency-key", key)
    }

    /// With a body of JSON.
    #[must_use]
    pub fn with_json(mut self, body: Redacted<Vec<u8>>) -> Self {
        self.body = body;
        self.with("content-type", "application/json")
    }
}

/// What was answered, whatever its status; a redirect is an answer like any other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutAnswer {
    /// The status.
    pub status: u16,
    /// How long the provider wants to be left alone (`Retry-After`), where it says so.
    pub retry_after: Option<Duration>,
    /// What the body is, where that is said (`Content-Type`).
    pub content_type: Option<Box<str>>,
    /// Its name for the state that it told of (`ETag`), of [`OutAnswer::ETAG_LEN_MAX`] bytes at most.
    pub etag: Option<Box<str>>,
    /// The whole body.
    pub body: Redacted<Vec<u8>>,
}

impl OutAnswer {
    /// Longest body where a call says nothing else, in bytes. The longest answer that is expected of a
    /// provider tells of a hundred texts.
    pub const BODY_MAX: usize = 64 * 1024;
    /// Longest `ETag` that is kept, in bytes.
    pub const ETAG_LEN_MAX: usize = 256;

    /// An answer of which no header matters.
    pub const fn new(status: u16, body: Vec<u8>) -> Self {
        let (content_type, etag) = (None, None);
        Self { status, retry_after: None, content_type, etag, body: Redacted(body) }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CallFault {
    /// Nothing of the request has left: the name was not found, nobody listened there, TLS was not
    /// agreed on, or we may not call there. It may be made again.
    #[error("it was not reached")]
    NotSent,
    /// It may have been heard, and done.
    #[error("the answer is not known: {}", .0.describe())]
    Unknown(Lost),
}

impl CallFault {
    /// The word in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What became of an answer that is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lost {
    /// It did not come in time.
    Late,
    /// The connection ended without one, or what came is none.
    None,
    /// It broke off.
    Cut,
    /// It was longer than [`OutRequest::body_max`].
    TooLong,
}

impl Lost {
    /// In plain words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Late => "it did not come in time",
            Self::None => "there was none",
            Self::Cut => "it broke off",
            Self::TooLong => "it is too long",
        }
    }
}

/// Calls out.
pub struct Outcall {
    client: Client,
    guard: Arc<dyn EgressGuard>,
    clock: Clock,
}

impl std::fmt::Debug for Outcall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcall").finish_non_exhaustive()
    }
}

impl Outcall {
    /// A caller that waits for `timeout` at most, from the connection to the last byte of the answer.
    ///
    /// The process needs a default TLS provider (`rustls::crypto::CryptoProvider`) before this.
    ///
    /// # Errors
    ///
    /// The system's authorities cannot be read.
    pub fn new(
        timeout: Duration,
        guard: Arc<dyn EgressGuard>,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Whoever calls decides whether to call again.
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver(Arc::clone(&guard)))
            .connect_timeout(timeout)
            .timeout(timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("lastmile/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, guard, clock })
    }

    /// Makes one call.
    ///
    /// # Errors
    ///
    /// [`CallFault::NotSent`] only where it is sure that the provider heard nothing.
    pub async fn call(&self, request: OutRequest) -> Result<OutAnswer, CallFault> {
        let url = Url::parse(&request.url).map_err(|_| CallFault::NotSent)?;
        if !self.permits(&url) {
            return Err(CallFault::NotSent);
        }
        let headers = headers(&request.headers).ok_or(CallFault::NotSent)?;
        let mut call = self.client.request(request.method, url).headers(headers);
        if let Some(within) = request.within {
            call = call.timeout(within);
        }
        let answer = call.body(request.body.0).send().await.map_err(|error| {
            // Connecting ends before the first byte of a request is written.
            if error.is_builder() || error.is_connect() {
                return CallFault::NotSent;
            }
            CallFault::Unknown(if error.is_timeout() { Lost::Late } else { Lost::None })
        })?;
        let status = answer.status().as_u16();
        let said = |name| answer.headers().get(name).and_then(|it| it.to_str().ok());
        let retry_after = said(RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|text| parse_retry_after(text, self.clock.now().wall));
        let content_type = said(CONTENT_TYPE).map(Box::from);
        let etag = said(ETAG).filter(|it| it.len() <= OutAnswer::ETAG_LEN_MAX).map(Box::from);
        let body = Redacted(read(answer, request.body_max).await.map_err(CallFault::Unknown)?);
        Ok(OutAnswer { status, retry_after, content_type, etag, body })
    }

    /// A host written as an address is never resolved, so it is checked here.
    fn permits(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        literal.map_or(true, |address| self.guard.permits(address))
    }
}

fn headers(given: &[(&'static str, Redacted<String>)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let mut value = HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_lowercase(name.as_bytes()).ok()?, value);
    }
    Some(headers)
}

async fn read(mut answer: Response, most: usize) -> Result<Vec<u8>, Lost> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > most => return Err(Lost::TooLong),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(Lost::Late),
            Err(_) => return Err(Lost::Cut),
        }
    }
}
