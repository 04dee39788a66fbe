//! Callbacks of payment providers: `/payments/mpesa/{secret}`.
//!
//! A callback is kept before it is answered, and answered before anybody is asked about it. What
//! cannot be kept is refused, so that it comes again.

use super::route::{Called, Route};
use crate::doors::Door;
use crate::listen::http1::Answer;
use crate::payments::{Payments, Unkept, claim_of};
use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use mpesa::Callback;
use std::sync::Arc;
use tracing::{debug, error};

/// What lies under `/payments/`.
#[derive(Debug)]
pub struct PaymentCalls {
    payments: Arc<Payments>,
    mpesa: Door,
}

impl PaymentCalls {
    /// Callbacks of M-Pesa through that door.
    pub fn new(payments: Arc<Payments>, mpesa: Door) -> Self {
        Self { payments, mpesa }
    }
}

#[async_trait]
impl Route for PaymentCalls {
    async fn answer(&self, mut called: Called<'_>) -> Answer {
        let Some(("mpesa", secret)) = called.rest.split_once('/') else {
            return called.refuse(StatusCode::NOT_FOUND, "not_found");
        };
        if !self.mpesa.admits(secret, called.from) {
            return called.refuse(StatusCode::NOT_FOUND, "secret");
        }
        if called.head.method != Method::POST {
            return called.refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
        }
        let body = match called.body().await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let callback = match Callback::parse(&body) {
            Ok(callback) => callback,
            Err(unreadable) => {
                self.payments.misheard(unreadable.code());
                return called.refuse(StatusCode::BAD_REQUEST, unreadable.code());
            }
        };
        // Whoever hangs up meanwhile has it kept all the same, and known.
        let payments = Arc::clone(&self.payments);
        let kept =
            tokio::spawn(async move { payments.called_back(&claim_of(callback)).await }).await;
        match kept {
            Ok(Ok(_)) => accepted(),
            Ok(Err(unkept)) => {
                tell(&unkept);
                called.refuse(StatusCode::SERVICE_UNAVAILABLE, "unkept")
            }
            Err(broken) => {
                error!(error = &broken as &dyn std::error::Error, "a callback broke off");
                called.refuse(StatusCode::SERVICE_UNAVAILABLE, "unkept")
            }
        }
    }
}

fn tell(unkept: &Unkept) {
    match unkept {
        // A full store says so itself, once.
        Unkept::Write(_) => debug!(error = %unkept, "a callback is not kept"),
        _ => error!(error = unkept as &dyn std::error::Error, "a callback is not kept"),
    }
}

fn accepted() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(mpesa::ACCEPTED.as_bytes())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
