//! Boards over HTTP: `GET /firmware/offer`, and the images of their group by name. A board signs in
//! with what it signs in with by MQTT.

use super::{answer, problem};
use crate::boards;
use crate::clock::Clock;
use crate::credentials::{Claimant, Credentials, Enrolled};
use crate::listen::http1::Answer;
use crate::listen::proxy;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::sign_ins::{FailedNames, FailedSignIns};
use crate::transfers::Transfers;
use crate::upgrades::{self, Upgrades};
use cwmp::auth::Authorization;
use firmware::Ticket;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::header::{ALLOW, AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use model::{DeviceId, Event, EventType, Fact, Json, Protocol, Settlement, Tenant};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Longest name of a board, in bytes, and of a version.
const NAME_LEN_MAX: usize = 128;
const VERSION_LEN_MAX: usize = soracom::Report::VERSION_LEN_MAX;
/// Boards whose questions are remembered before the quiet ones are forgotten.
const KEYS_MAX: usize = 100_000;
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("60");

/// What boards over HTTP meet.
#[derive(Debug)]
pub struct OfferParts {
    /// Facts in.
    pub pipeline: Arc<Pipeline>,
    /// Who is known.
    pub registry: Arc<Registry>,
    /// Who may sign in.
    pub credentials: Arc<Credentials>,
    /// What there is for whom.
    pub upgrades: Arc<Upgrades>,
    /// The catalogue of images.
    pub transfers: Arc<Transfers>,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

/// Answers boards that ask over HTTP.
#[derive(Debug)]
pub struct Offers {
    parts: OfferParts,
    requires_sign_in: bool,
    tenant: Tenant,
    failed: FailedSignIns,
    failed_names: FailedNames,
    asked: DefaultKeyedRateLimiter<DeviceId>,
}

/// Who asks: a board that is known, or one that nobody knows.
enum Asker {
    Known(DeviceId),
    Unknown,
}

/// What a request for an image by its group and version came to.
pub(super) enum Found {
    /// It may be fetched.
    Image(Box<Ticket>, String),
    /// By its address, which is signed.
    Signed { token: String, name: String },
    /// It may not, or is not there.
    Refused(Answer),
}

impl Offers {
    /// Answers boards, which must sign in where it is so by MQTT.
    pub fn new(parts: OfferParts, config: &config::Config) -> Self {
        let asks = NonZeroU32::new(config.firmware.asks_per_minute.get());
        let asks = Quota::per_minute(asks.unwrap_or(NonZeroU32::MIN));
        let config = &config.mqtt;
        let per_minute = config.failed_sign_ins_per_minute.get();
        Self {
            parts,
            requires_sign_in: config.auth == config::Auth::Required,
            tenant: Tenant::default(),
            failed: FailedSignIns::new(per_minute),
            failed_names: FailedNames::new(per_minute),
            asked: RateLimiter::keyed(asks),
        }
    }

    /// `GET /firmware/offer?imei=&version=`.
    pub(super) async fn ask(&self, head: &Parts, from: IpAddr) -> Answer {
        if head.method != Method::GET {
            let mut refusal = self.refuse(StatusCode::METHOD_NOT_ALLOWED, "method", "a board gets");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return refusal;
        }
        let imei = query(head, "imei").filter(|it| fits(it, NAME_LEN_MAX));
        let version = query(head, "version").filter(|it| fits(it, VERSION_LEN_MAX));
        let (Some(imei), Some(version)) = (imei, version) else {
            let text = "give `imei` and `version`, of at most 128 and 64 bytes";
            return self.refuse(StatusCode::BAD_REQUEST, "query", text);
        };
        let asker = match self.sign_in(head, from, Some(&imei)).await {
            Ok(asker) => asker,
            Err(refusal) => return refusal,
        };
        let said = match asker {
            Asker::Unknown => upgrades::Answer::UnknownBoard,
            Asker::Known(device) if !self.may_ask(&device) => return self.too_often(),
            Asker::Known(device) => match self.keep(&device, &imei, &version).await {
                Settlement::Refused => return self.full(),
                Settlement::Committed | Settlement::Overtaken => {
                    let called_at = proxy::called_at(head);
                    self.parts.upgrades.asked(&self.tenant, &device, called_at).await
                }
            },
        };
        self.parts.upgrades.count_answer("http", &said);
        let body = serde_json::to_string(&said).expect("an answer is representable in JSON");
        answer(StatusCode::OK, "application/json", body)
    }

    /// Whether a board may ask once more: each question is kept.
    fn may_ask(&self, device: &DeviceId) -> bool {
        if self.asked.len() > KEYS_MAX {
            self.asked.retain_recent();
        }
        self.asked.check_key(device).is_ok()
    }

    /// What it runs is on disk before it is answered.
    async fn keep(&self, device: &DeviceId, imei: &str, version: &str) -> Settlement {
        let data = boards::data_of_http(device, imei, version);
        let event = Event {
            tenant: self.tenant.clone(),
            device: device.clone(),
            kind: EventType::TELEMETRY_RECEIVED,
            time: self.parts.clock.now().wall,
            data: Json::from_stored(data),
            facts: None,
        };
        self.parts.pipeline.record(vec![Fact::Event(event)]).await.of(0)
    }

    /// `GET` or `HEAD /firmware/ota/<group>/fw_<version>.bin`, with credentials or `?ticket=`.
    pub(super) async fn find(
        &self,
        head: &Parts,
        from: IpAddr,
        (group, file): (&str, &str),
    ) -> Found {
        let group = decoded(group);
        let version = decoded(file);
        let version = version.strip_prefix("fw_").and_then(|it| it.strip_suffix(".bin"));
        let image =
            version.and_then(|it| self.parts.transfers.image_of_group(&self.tenant, &group, it));
        if let (Some(token), Some(row)) = (query(head, "ticket"), &image) {
            return Found::Signed { token, name: row.image.name.as_str().to_owned() };
        }
        let device = match self.sign_in(head, from, query(head, "imei").as_deref()).await {
            Ok(Asker::Known(device)) => device,
            Ok(Asker::Unknown) => return Found::Refused(self.stranger()),
            Err(refusal) => return Found::Refused(refusal),
        };
        // Which groups there are, and what they have, is for their own boards to know.
        if self.parts.registry.group(&self.tenant, &device).as_deref() != Some(&*group) {
            return Found::Refused(self.stranger());
        }
        let Some(row) = image else {
            let text = "the group has no such image";
            return Found::Refused(self.refuse(StatusCode::NOT_FOUND, "missing_file", text));
        };
        let command = self.parts.upgrades.pull_of(&self.tenant, &device, &row.image.name);
        let to = crate::transfers::Recipient {
            tenant: &self.tenant,
            device: &device,
            command: &command,
            called_at: None,
        };
        let ticket = self.parts.transfers.own_ticket(to, &row.image);
        Found::Image(Box::new(ticket), row.image.name.as_str().to_owned())
    }

    /// Whom a request comes from: as its credentials prove, or as it says where none are needed.
    async fn sign_in(
        &self,
        head: &Parts,
        from: IpAddr,
        said: Option<&str>,
    ) -> Result<Asker, Answer> {
        let said = match said {
            Some(said) => {
                let named = boards::board_called(&self.parts.registry, &self.tenant, said);
                Some(named.map_err(|_| {
                    self.refuse(StatusCode::BAD_REQUEST, "query", "this names no board")
                })?)
            }
            None => None,
        };
        let known = |device: DeviceId| {
            if self.parts.registry.knows(&self.tenant, &device) {
                Asker::Known(device)
            } else {
                Asker::Unknown
            }
        };
        if !self.requires_sign_in {
            return said.map(known).ok_or_else(|| self.unauthorised("missing"));
        }
        let claimant = self.prove(head, from).map_err(|refusal| *refusal)?;
        match (claimant, said) {
            (Claimant::Own(own), said) => {
                let is_other = said.as_ref().is_some_and(|it| it != own.device());
                if is_other || *own.tenant() != self.tenant {
                    let said = said.unwrap_or_else(|| own.device().clone());
                    self.note(EventType::DEVICE_IDENTITY_MISMATCHED, own.device(), &said, from)
                        .await?;
                    return Err(self.fail("identity", from));
                }
                let confirmed = self.parts.credentials.confirm(&own).await;
                confirmed.map_err(|_| self.full())?;
                Ok(known(own.device().clone()))
            }
            // The secret of the enrolment opens a board that is known only until it has its own.
            (Claimant::Enrolling, Some(device)) => {
                match self.parts.credentials.enrol(&self.tenant, &device, from, false) {
                    Enrolled::First | Enrolled::Again => Ok(known(device)),
                    Enrolled::Anew | Enrolled::Refused => {
                        self.note(EventType::DEVICE_ENROLMENT_REFUSED, &device, &device, from)
                            .await?;
                        Err(self.fail("enrolled", from))
                    }
                }
            }
            (Claimant::Enrolling | Claimant::Shared, _) => Err(self.fail("wrong", from)),
        }
    }

    /// Looks at the credentials.
    fn prove(&self, head: &Parts, from: IpAddr) -> Result<Claimant, Box<Answer>> {
        let now = self.parts.clock.now().monotonic;
        if self.failed.is_spent(from, now) {
            return Err(self.too_many().into());
        }
        let header = head.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let Some(header) = header else { return Err(self.unauthorised("missing").into()) };
        let Ok(Authorization::Basic { username, password }) = Authorization::parse(header) else {
            return Err(self.unauthorised("unreadable").into());
        };
        let is_common = self.parts.credentials.is_common(&username);
        if !is_common
            && self.failed_names.is_spent(&username, now)
            && !self.is_where_it_was(&username, from)
        {
            return Err(self.too_many().into());
        }
        let proved = self.parts.credentials.mqtt(&username, password.expose().as_bytes());
        proved.ok_or_else(|| {
            if !is_common {
                self.failed_names.count(&username, now);
            }
            self.failed.count(from, now);
            self.unauthorised("wrong").into()
        })
    }

    /// Whether the board of that user name was last heard from there: it must not be shut out by
    /// whoever guesses at its password from elsewhere.
    fn is_where_it_was(&self, username: &str, from: IpAddr) -> bool {
        let own = self.parts.credentials.holder(Protocol::Mqtt, username);
        let device = own.and_then(|own| self.parts.registry.get(own.tenant(), own.device()));
        device.and_then(|device| device.address) == Some(from)
    }

    async fn note(
        &self,
        kind: EventType,
        subject: &DeviceId,
        said: &DeviceId,
        from: IpAddr,
    ) -> Result<(), Answer> {
        let pipeline = &self.parts.pipeline;
        match pipeline.note_sign_in(kind, &self.tenant, subject, said, from).await {
            Settlement::Committed | Settlement::Overtaken => Ok(()),
            Settlement::Refused => Err(self.full()),
        }
    }

    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Answer {
        self.parts.metrics.listener("public").refused(code);
        problem(status, code, text)
    }

    fn unauthorised(&self, reason: &str) -> Answer {
        self.parts.metrics.auth_failure(Protocol::Mqtt, reason);
        let text = "sign in with the board's user name and password";
        let mut refusal = problem(StatusCode::UNAUTHORIZED, "unauthorised", text);
        let challenge = HeaderValue::try_from(cwmp::auth::basic_challenge());
        refusal.headers_mut().extend(challenge.map(|it| (WWW_AUTHENTICATE, it)));
        refusal
    }

    /// It proved to be somebody, and not who it says.
    fn fail(&self, reason: &str, from: IpAddr) -> Answer {
        self.parts.metrics.auth_failure(Protocol::Mqtt, reason);
        self.failed.count(from, self.parts.clock.now().monotonic);
        problem(StatusCode::FORBIDDEN, "forbidden", "this is another board's")
    }

    fn stranger(&self) -> Answer {
        self.refuse(StatusCode::FORBIDDEN, "forbidden", "this is for boards of the group")
    }

    fn too_many(&self) -> Answer {
        self.parts.metrics.auth_failure(Protocol::Mqtt, "too_many");
        let text = "too many failed sign-ins";
        let mut refusal = problem(StatusCode::TOO_MANY_REQUESTS, "too_many", text);
        refusal.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        refusal
    }

    /// It is a board, and asks without end.
    fn too_often(&self) -> Answer {
        let text = "a board asks once a day, and not so often in a minute";
        let mut refusal = self.refuse(StatusCode::TOO_MANY_REQUESTS, "too_often", text);
        refusal.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        refusal
    }

    fn full(&self) -> Answer {
        let text = "there is no room now";
        let mut refusal = self.refuse(StatusCode::SERVICE_UNAVAILABLE, "store_full", text);
        refusal.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        refusal
    }
}

fn fits(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len()) && !text.contains(char::is_control)
}

/// The first value of that name in the query.
fn query(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned())
}

fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}
