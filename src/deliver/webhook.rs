//! Batches over HTTP: the CloudEvents HTTP binding in batched mode, signed by Standard Webhooks.
//!
//! Never follows a redirect, never asks a proxy, never keeps more of an answer than its status.

use super::cloud_event::BATCH_MEDIA_TYPE;
use super::egress::GuardedResolver;
use super::{Carrier, EgressGuard, FailureClass, Message, Outcome, SigningSecret};
use crate::clock::Clock;
use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of an answer's body that are read, only to keep the connection for the next batch.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long that reading may take; the status has been seen already.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Longest wait for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A webhook.
pub struct Webhook {
    client: Client,
    url: Url,
    secret: SigningSecret,
    guard: Arc<dyn EgressGuard>,
    clock: Clock,
    timeout: Duration,
}

impl Webhook {
    /// A carrier to `url` (`http` or `https`), each attempt bounded by `timeout`.
    ///
    /// The process needs a default TLS provider (`rustls::crypto::CryptoProvider`) before this.
    pub fn new(
        url: &str,
        secret: SigningSecret,
        timeout: Duration,
        guard: Arc<dyn EgressGuard>,
        clock: Clock,
    ) -> Result<Self, WebhookError> {
        let url = Url::parse(url).map_err(|_| WebhookError::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(WebhookError::Url);
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            // The sink's task is the one retry layer.
            .retry(reqwest::retry::never())
            .dns_resolver(GuardedResolver(Arc::clone(&guard)))
            .connect_timeout(CONNECT_TIME.min(timeout))
            .timeout(timeout)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("lastmile/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(WebhookError::Client)?;
        Ok(Self { client, url, secret, guard, clock, timeout })
    }

    /// A host written as an address is never resolved, so it is checked here.
    fn permitted(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        literal.map_or(true, |address| self.guard.permits(address))
    }
}

impl std::fmt::Debug for Webhook {
    /// Without the URL: its path or query may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[async_trait]
impl Carrier for Webhook {
    async fn send(&self, message: &Message) -> Outcome {
        if !self.permitted() {
            return failed(FailureClass::Unreachable);
        }
        let wall = self.clock.now().wall;
        let signature = self.secret.sign(&message.id, wall.as_second(), &message.body);
        let answer = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, BATCH_MEDIA_TYPE)
            .header("webhook-id", &*message.id)
            .header("webhook-timestamp", wall.as_second())
            .header("webhook-signature", signature)
            .body(message.body.clone())
            .send()
            .await;
        match answer {
            Ok(answer) => {
                let outcome = classify(answer.status(), answer.headers(), wall);
                drain(answer).await;
                outcome
            }
            Err(error) if error.is_timeout() => failed(FailureClass::TimedOut),
            Err(_) => failed(FailureClass::Unreachable),
        }
    }
}

fn failed(class: FailureClass) -> Outcome {
    Outcome::Failed { class, retry_after: None }
}

fn classify(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    let class = match status.as_u16() {
        200..=299 => return Outcome::Taken,
        300..=399 => FailureClass::Redirected,
        408 | 425 | 429 => FailureClass::Deferred,
        status @ 400..=499 => return Outcome::Refused { status },
        _ => FailureClass::Server,
    };
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| parse_retry_after(text, now));
    Outcome::Failed { class, retry_after }
}

/// RFC 9110 §10.2.3: seconds, or a date (§5.6.7). A date that has passed is zero.
pub(crate) fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Reads a short answer to its end, so that its connection can be used again; drops a longer one
/// together with the connection.
async fn drain(mut answer: Response) {
    let read = async {
        let mut room = ANSWER_BYTES_MAX;
        while let Ok(Some(chunk)) = answer.chunk().await {
            let Some(left) = room.checked_sub(chunk.len()) else { return };
            room = left;
        }
    };
    // Late or whole: the status counts, not what follows it.
    let _ = tokio::time::timeout(ANSWER_TIME, read).await;
}

/// Why a webhook cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not an `http` or `https` URL with a host. It is not repeated: it may hold a secret.
    #[error("a webhook's `url` begins with `https://` or `http://` and names a host")]
    Url,
    /// The client cannot be built.
    #[error("failed to prepare the HTTP client")]
    Client(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_refusals_from_failures() {
        let now = Timestamp::UNIX_EPOCH;
        let outcome =
            |status| classify(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), now);
        for status in [200, 202, 204] {
            assert_eq!(outcome(status), Outcome::Taken);
        }
        for status in [400, 401, 404, 410, 413, 422] {
            assert_eq!(outcome(status), Outcome::Refused { status });
        }
        for status in [408, 425, 429] {
            assert_eq!(outcome(status), failed(FailureClass::Deferred), "{status}");
        }
        assert_eq!(outcome(307), failed(FailureClass::Redirected));
        assert_eq!(outcome(503), failed(FailureClass::Server));
    }

    #[test]
    fn reads_both_forms_of_retry_after() {
        let now: Timestamp = "2026-10-21T07:27:00Z".parse().unwrap();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(parse_retry_after("120", now), seconds(120));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2026 07:28:00 GMT", now), seconds(60));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2026 07:26:00 GMT", now), seconds(0));
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn demands_an_http_url() {
        let make = |url: &str| {
            let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
            let guard = Arc::new(super::super::Anywhere);
            Webhook::new(url, secret, Duration::from_secs(1), guard, Clock::start())
        };
        for wrong in ["", "backend", "ftp://backend/", "file:///etc/passwd"] {
            assert!(matches!(make(wrong), Err(WebhookError::Url)), "{wrong}");
        }
    }
}
