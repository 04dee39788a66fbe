//! `POST /funnel`: what SORACOM's Funnel gave to a cloud, and the cloud's rule hands on by HTTP. Whoever
//! posts is a program: its token's topics are asked, and its message is read as if it had published it.

use super::{BODY_TIMEOUT, problem};
use crate::api::{Access, Grant};
use crate::clock::Clock;
use crate::credentials::TOKEN_USER;
use crate::listen::http1::Answer;
use crate::metrics::Maker;
use crate::pipeline::Pipeline;
use crate::sign_ins::FailedSignIns;
use ::mqtt::{Topic, TopicLimits};
use config::Permission;
use cwmp::auth::Authorization;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use model::{DeviceId, Fact, Settlement, Tenant};
use prometheus::IntCounterVec;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::time::timeout;

/// In how many seconds whoever posts may try again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("60");
/// What events name as the program's client.
const CLIENT_ID: &str = "http";
/// How AWS IoT says that it asks whether it may post here, and not what a board sent.
const MESSAGE_TYPE: (&str, &str) = ("x-amz-rules-engine-message-type", "DestinationConfirmation");
/// Longest word with which that is confirmed, in bytes.
const CONFIRMATION_LEN_MAX: usize = 2_048;

/// What messages of clouds meet.
#[derive(Debug)]
pub struct FunnelParts {
    /// Messages in.
    pub pipeline: Arc<Pipeline>,
    /// Who may publish what.
    pub access: Arc<Access>,
    /// The time.
    pub clock: Clock,
}

/// Takes in what clouds hand on.
#[derive(Debug)]
pub struct Funnel {
    parts: FunnelParts,
    topic: Box<str>,
    message_max: usize,
    posts: IntCounterVec,
    failed: FailedSignIns,
    tokens: DefaultKeyedRateLimiter<(Tenant, Box<str>)>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// It is on disk.
    Taken,
    /// AWS IoT asks whether it may post: an operator answers.
    Asked,
    /// Nobody posts but by POST.
    Method,
    /// There is no token, or none that is known.
    Unauthorised,
    /// Too many failed from the address.
    TooMany,
    /// The token may not publish on the boards' topic.
    Forbidden,
    /// More came under the token than may.
    Rate,
    /// It is empty, broke off or did not come in time.
    Malformed(&'static str),
    /// It is larger than allowed.
    TooLong,
    /// The store has no room.
    Full,
}

impl Outcome {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Taken => (StatusCode::OK, "taken", ""),
            Self::Asked => (StatusCode::OK, "asked", ""),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "messages are posted"),
            Self::Unauthorised => {
                (StatusCode::UNAUTHORIZED, "unauthorised", "give a program's token as Bearer")
            }
            Self::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many", "too many failed sign-ins")
            }
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "forbidden", "the token may not publish on this topic")
            }
            Self::Rate => (StatusCode::TOO_MANY_REQUESTS, "rate_per_token", "too many messages"),
            Self::Malformed(code) => (StatusCode::BAD_REQUEST, code, "this is no message"),
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "too_long", "the message is too long"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "store_full", "there is no room now"),
        }
    }
}

impl Funnel {
    /// Takes in messages for `boards.topic`.
    ///
    /// # Errors
    ///
    /// When its metric is declared already.
    pub fn new(
        parts: FunnelParts,
        config: &config::Config,
        registry: &prometheus::Registry,
    ) -> Result<Self, prometheus::Error> {
        let posts = Maker(registry).counters(
            "lastmile_funnel_messages_total",
            "Messages that clouds hand on from SORACOM Funnel, by what became of them.",
            &["outcome"],
        )?;
        let rate = NonZeroU32::new(config.boards.funnel_rate_per_token.get());
        let rate = Quota::per_second(rate.unwrap_or(NonZeroU32::MIN));
        Ok(Self {
            parts,
            topic: config.boards.topic.as_str().into(),
            message_max: config.boards.funnel_message_max.as_usize(),
            posts,
            failed: FailedSignIns::new(config.mqtt.failed_sign_ins_per_minute.get()),
            tokens: RateLimiter::keyed(rate),
        })
    }

    /// Takes one message. Nothing of the body is read before its sender is known.
    pub(super) async fn post(&self, head: &Parts, body: Incoming, from: IpAddr) -> Answer {
        let outcome = self.take(head, body, from).await;
        let (status, code, text) = outcome.parts();
        self.posts.with_label_values(&[code]).inc();
        if status == StatusCode::OK {
            return super::answer(status, "text/plain; charset=utf-8", String::new());
        }
        let mut answer = problem(status, code, text);
        let further = match outcome {
            Outcome::Method => Some((ALLOW, HeaderValue::from_static("POST"))),
            Outcome::Unauthorised => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="lastmile""#)))
            }
            Outcome::TooMany | Outcome::Rate | Outcome::Full => Some((RETRY_AFTER, RETRY_AFTER_S)),
            _ => None,
        };
        answer.headers_mut().extend(further);
        answer
    }

    async fn take(&self, head: &Parts, body: Incoming, from: IpAddr) -> Outcome {
        if head.method != Method::POST {
            return Outcome::Method;
        }
        let Some(token) = self.token(head) else { return self.stranger(head, from) };
        if !self.may_publish(&token) {
            return Outcome::Forbidden;
        }
        let Ok(program) = DeviceId::program(&token.name) else { return Outcome::Forbidden };
        // There are as many keys as tokens.
        if self.tokens.check_key(&token.token_name()).is_err() {
            return Outcome::Rate;
        }
        if !self.parts.pipeline.has_room() {
            return Outcome::Full;
        }
        let body = match read(body, self.message_max).await {
            Ok(body) if body.is_empty() => return Outcome::Malformed("empty"),
            Ok(body) => body,
            Err(outcome) => return outcome,
        };
        let time = self.parts.clock.now().wall;
        let event =
            ::mqtt::published((&token.tenant, &program), time, &self.topic, &body, CLIENT_ID);
        match self.parts.pipeline.record(vec![Fact::Event(event)]).await.of(0) {
            Settlement::Committed | Settlement::Overtaken => Outcome::Taken,
            Settlement::Refused => Outcome::Full,
        }
    }

    /// The token that a request gives: as Bearer, or as the password of a program.
    fn token(&self, head: &Parts) -> Option<Arc<Grant>> {
        let header = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let bearer =
            header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if let Some((_, token)) = bearer {
            return self.parts.access.sign_in(token.trim());
        }
        match Authorization::parse(header) {
            Ok(Authorization::Basic { username, password }) if *username == *TOKEN_USER => {
                self.parts.access.sign_in(password.expose())
            }
            _ => None,
        }
    }

    fn may_publish(&self, token: &Grant) -> bool {
        let limits = TopicLimits { len_max: usize::MAX, levels_max: usize::MAX };
        let names = [Box::from(CLIENT_ID)];
        let acl = token.acl.as_ref().filter(|_| token.permits(Permission::MqttConnect));
        let topic = Topic::parse(&self.topic, limits);
        acl.zip(topic.ok()).is_some_and(|(acl, topic)| acl.may_publish(topic, &names))
    }

    /// Who gives no token that is known: AWS IoT, which asks before it posts, or somebody else.
    fn stranger(&self, head: &Parts, from: IpAddr) -> Outcome {
        let now = self.parts.clock.now().monotonic;
        if self.failed.is_spent(from, now) {
            return Outcome::TooMany;
        }
        self.failed.count(from, now);
        let (name, value) = MESSAGE_TYPE;
        let is_question =
            head.headers.get(name).is_some_and(|it| it.as_bytes() == value.as_bytes());
        let word = head.uri.query().and_then(|it| it.strip_prefix("confirmationToken="));
        let is_word = |text: &&str| {
            let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            (1..=CONFIRMATION_LEN_MAX).contains(&text.len()) && text.bytes().all(is_of_it)
        };
        let Some(token) = word.filter(is_word).filter(|_| is_question) else {
            return Outcome::Unauthorised;
        };
        tracing::warn!(
            %from, token,
            "AWS IoT asks whether it may post to /funnel: confirm it with this token if you asked for it"
        );
        Outcome::Asked
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
