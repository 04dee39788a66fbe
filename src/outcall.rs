//! Calls to providers of payments and texts, where it matters whether a call that failed may have
//! been heard.
//!
//! Never follows a redirect, never asks a proxy, connects only where the operator's networks are,
//! sends nothing twice, and keeps no more of an answer than [`OutAnswer::BODY_MAX`].

#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::deliver::{EgressGuard, GuardedResolver, parse_retry_after};
use model::Redacted;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
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
}

/// Without where it goes: some providers have their customer's name in it.
impl std::fmt::Debug for OutRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What was answered, whatever its status; a redirect is an answer like any other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutAnswer {
    /// The status.
    pub status: u16,
    /// How long the provider wants to be left alone (`Retry-After`), where it says so.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: Redacted<Vec<u8>>,
}

impl OutAnswer {
    /// Longest body, in bytes. The longest answer that is expected tells of a hundred texts.
    pub const BODY_MAX: usize = 64 * 1024;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CallFault {
    /// Nothing of the request has left: the name was not found, nobody listened there, TLS was not
    /// agreed on, or we may not call there. It may be made again.
    #[error("the provider was not reached")]
    NotSent,
    /// The provider may have heard it, and done what it says: there was no answer in time, it was
    /// cut off, or it was longer than [`OutAnswer::BODY_MAX`].
    #[error("the provider's answer is not known")]
    Unknown,
}

impl CallFault {
    /// The word in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

/// Calls providers.
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
        let call = self.client.request(request.method, url).headers(headers);
        let answer = call.body(request.body.0).send().await.map_err(|error| {
            // Connecting ends before the first byte of a request is written.
            let is_unsent = error.is_builder() || error.is_connect();
            if is_unsent { CallFault::NotSent } else { CallFault::Unknown }
        })?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
        let retry_after =
            retry_after.and_then(|text| parse_retry_after(text, self.clock.now().wall));
        Ok(OutAnswer { status, retry_after, body: Redacted(read(answer).await?) })
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

async fn read(mut answer: Response) -> Result<Vec<u8>, CallFault> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| CallFault::Unknown)? {
        if body.len() + chunk.len() > OutAnswer::BODY_MAX {
            return Err(CallFault::Unknown);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
