//! `POST /beam`: SORACOM Beam's HTTP, with the board's numbers and their signature in headers.

use super::{BODY_TIMEOUT, problem};
use crate::listen::beam::{Beam, Outcome, Way, wrapped_max};
use crate::listen::http1::Answer;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use soracom::auth::Signed;
use std::net::IpAddr;
use tokio::time::timeout;

/// In how many seconds Beam's peer may try again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("60");

/// Takes one message. Nothing of the body is read before its sender is proven.
pub(super) async fn post(beam: &Beam, head: &Parts, body: Incoming, from: IpAddr) -> Answer {
    if head.method != Method::POST {
        let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "method", "Beam posts");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let outcome = beam.count(Way::Http, take(beam, head, body, from).await);
    if outcome == Outcome::Taken {
        return super::answer(StatusCode::OK, "text/plain; charset=utf-8", String::new());
    }
    let status = StatusCode::from_u16(outcome.status()).unwrap_or(StatusCode::BAD_REQUEST);
    // Which part of a signature is wrong helps nobody but who makes one up.
    let code = if outcome.status() == 403 { "forbidden" } else { outcome.code() };
    let mut answer = problem(status, code, outcome.text());
    if matches!(outcome, Outcome::Full | Outcome::TooMany(_)) {
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
    }
    answer
}

async fn take(beam: &Beam, head: &Parts, body: Incoming, from: IpAddr) -> Outcome {
    if let Err(outcome) = beam.admit(from) {
        return outcome;
    }
    // What is no text is no digit either.
    let headers =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?")));
    let sender = match beam.sender(Signed::of_headers(headers)) {
        Ok(sender) => sender,
        Err(outcome) => return outcome,
    };
    match read(body, wrapped_max(beam.options.message_max)).await {
        Ok(body) => beam.take(&sender, &body).await,
        Err(outcome) => outcome,
    }
}

async fn read(body: Incoming, len_max: usize) -> Result<Bytes, Outcome> {
    match timeout(BODY_TIMEOUT, Limited::new(body, len_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Outcome::TooLong),
        Ok(Err(_)) => Err(Outcome::Malformed("broken")),
        Err(_) => Err(Outcome::Malformed("slow_body")),
    }
}
