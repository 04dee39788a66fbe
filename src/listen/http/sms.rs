//! `POST /sms/<provider>/<secret>`: what the provider of texts tells.

use super::route::{Called, Route};
use crate::doors::Door;
use crate::listen::http1::Answer;
use crate::sms::{Heard, NotHeard, Notices};
use ::sms::{NoticeError, Notified};
use async_trait::async_trait;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use model::Tenant;
use std::sync::Arc;

/// In how many seconds the provider may tell it again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("60");

/// Hears the provider of texts.
#[derive(Debug)]
pub struct SmsRoute {
    /// What becomes of it.
    pub notices: Arc<Notices>,
    /// Who may tell.
    pub door: Door,
    /// How the world reaches us, without a slash at its end: the provider signs what it calls.
    pub url: Option<String>,
}

#[async_trait]
impl Route for SmsRoute {
    async fn answer(&self, mut called: Called<'_>) -> Answer {
        let head = called.head;
        let mut rest = called.rest.splitn(4, '/');
        let (Some(provider), Some(secret)) = (rest.next(), rest.next()) else {
            return called.refuse(StatusCode::NOT_FOUND, "not_found");
        };
        let about = rest.next().zip(rest.next());
        let is_ours = provider == self.notices.provider().name();
        if !(self.door.admits(secret, called.from) && is_ours) {
            return called.refuse(StatusCode::NOT_FOUND, "secret");
        }
        if head.method != Method::POST {
            return called.refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
        }
        let body = match called.body().await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
        let url = format!("{}{path}", self.url.as_deref().unwrap_or_default());
        let signature = self.notices.provider().signature_header().and_then(header);
        let notified = Notified { url: &url, signature, body: &body };
        let about = about.and_then(|(tenant, id)| Some((Tenant::new(tenant).ok()?, id)));
        let about = about.as_ref().map(|(tenant, id)| (tenant, *id));
        match self.notices.hear(&notified, about).await {
            Ok(Heard::Kept | Heard::Passed) => {
                super::answer(StatusCode::OK, "text/plain; charset=utf-8", String::new())
            }
            Err(NotHeard::Notice(NoticeError::Unsigned)) => {
                called.refuse(StatusCode::FORBIDDEN, "unsigned")
            }
            Err(NotHeard::Notice(error)) => called.refuse(StatusCode::BAD_REQUEST, error.code()),
            Err(NotHeard::Write(_) | NotHeard::Read(_)) => {
                let mut answer = called.refuse(StatusCode::SERVICE_UNAVAILABLE, "store");
                answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
                answer
            }
        }
    }
}
