//! Parts of the daemon that answer the world on the public listener.

use super::{BODY_TIMEOUT, PublicListener};
use crate::listen::http1::Answer;
use async_trait::async_trait;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use std::fmt::Debug;
use std::net::IpAddr;
use tokio::time::timeout;

/// Answers what lies under one first word of a path.
#[async_trait]
pub trait Route: Debug + Send + Sync + 'static {
    /// Answers one request. Whoever may not enter is refused as if there were nothing, and before his
    /// body is read.
    async fn answer(&self, called: Called<'_>) -> Answer;
}

/// Routes by their first words.
pub type Routes = Vec<(&'static str, std::sync::Arc<dyn Route>)>;

/// One request.
#[derive(Debug)]
pub struct Called<'a> {
    /// Its head.
    pub head: &'a Parts,
    /// Its path behind the route's word and the slash after it: `home/<secret>/end`. Never for a log.
    pub rest: &'a str,
    /// Whom it comes from.
    pub from: IpAddr,
    body: Incoming,
    listener: &'a PublicListener,
}

impl<'a> Called<'a> {
    pub(super) fn new(
        listener: &'a PublicListener,
        (head, body): (&'a Parts, Incoming),
        rest: &'a str,
        from: IpAddr,
    ) -> Self {
        Self { head, rest, from, body, listener }
    }

    /// Reads the body, within the bounds of the listener.
    ///
    /// # Errors
    ///
    /// The answer to a body that is too long, too slow or broken; it is counted.
    pub async fn body(&mut self) -> Result<Bytes, Answer> {
        let read = Limited::new(&mut self.body, self.listener.options.body_max).collect();
        match timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(self.refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_long"))
            }
            Ok(Err(_)) => Err(self.refuse(StatusCode::BAD_REQUEST, "broken")),
            Err(_) => Err(self.refuse(StatusCode::REQUEST_TIMEOUT, "slow_body")),
        }
    }

    /// An empty answer of that status, counted under `reason`.
    pub fn refuse(&self, status: StatusCode, reason: &str) -> Answer {
        self.listener.refuse(status, reason)
    }
}
