//! What a menu may ask about a household: its router's state, and a restart of it.
//!
//! The caller's number leads to the customer, the customer to his devices. What the daemon cannot
//! answer itself goes to the business backend, where there is one.

use crate::clock::Clock;
use crate::commands::{Desk, NewCommand, SubmitError};
use crate::registry::{Device, Registry};
use crate::store::WriteError;
use model::{CommandKind, DeviceId, Protocol, Redacted, Tenant};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;
use ussd::{Answer, Ask, AskMode};

/// What is answered here.
pub const OPERATIONS: [&str; 2] = ["router_status", "router_restart"];
/// Largest answer of a backend, in bytes: a screen holds 182 characters.
const ANSWER_LEN_MAX: usize = 16 * 1024;

/// A business backend that answers menus.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its calls.
    pub client: reqwest::Client,
    /// Where it is, without a slash at the end.
    pub url: String,
    /// What it knows us by.
    pub token: Option<Redacted<String>>,
}

/// Answers the questions of menus.
#[derive(Debug)]
pub struct Household {
    /// Devices and customers.
    pub registry: Arc<Registry>,
    /// Takes commands.
    pub desk: Arc<Desk>,
    /// The time.
    pub clock: Clock,
    /// For what is not answered here.
    pub backend: Option<Backend>,
}

/// Whom a caller is.
enum Caller {
    Unknown,
    WithoutRouter,
    Of(Box<Device>),
}

impl Household {
    /// Answers one question. What goes wrong is a word that no menu maps, so that it goes its way
    /// for trouble.
    pub async fn answer(&self, ask: &Ask) -> Answer {
        match &*ask.operation {
            "router_status" => self.status(ask),
            "router_restart" => self.restart(ask).await,
            _ => match &self.backend {
                Some(backend) => backend.ask(ask, self.clock).await,
                None => Answer::word("unanswered"),
            },
        }
    }

    fn status(&self, ask: &Ask) -> Answer {
        let router = match self.router(&ask.tenant, &ask.device) {
            Caller::Unknown => return Answer::word("unknown_caller"),
            Caller::WithoutRouter => return Answer::word("none"),
            Caller::Of(router) => router,
        };
        if router.online {
            return Answer::word("online");
        }
        // In figures and without a zone's name: a menu has many languages and networks one clock.
        let since = router.last_seen_at.unwrap_or(router.created_at);
        Answer::word("offline").with("since", since.strftime("%d/%m %H:%M UTC").to_string())
    }

    async fn restart(&self, ask: &Ask) -> Answer {
        let router = match self.router(&ask.tenant, &ask.device) {
            Caller::Unknown => return Answer::word("unknown_caller"),
            Caller::WithoutRouter => return Answer::word("none"),
            Caller::Of(router) => router,
        };
        let command = NewCommand {
            tenant: ask.tenant.clone(),
            device: router.id.clone(),
            kind: CommandKind::Reboot,
            expires: None,
            retry: None,
            actor: format!("ussd:{}", ask.service).into(),
            key: Some(ask.key.clone()),
        };
        match self.desk.submit(command).await {
            Ok(_) if router.online => Answer::word("accepted"),
            Ok(_) => Answer::word("queued"),
            Err(SubmitError::TooMany) => Answer::word("refused"),
            Err(SubmitError::Store(WriteError::Full)) => Answer::word("full"),
            Err(error) => {
                warn!(device = %router.id, %error, "restart not taken");
                Answer::word("failed")
            }
        }
    }

    /// The household's router: the one that is online, else the first by name.
    fn router(&self, tenant: &Tenant, caller: &DeviceId) -> Caller {
        let phone = self.registry.get(tenant, caller);
        let Some(customer) = phone.and_then(|phone| phone.customer) else { return Caller::Unknown };
        let devices = self.registry.devices_of(tenant, &customer);
        let routers = devices.into_iter().filter(|id| id.protocol() == Protocol::Cwmp);
        let mut routers: Vec<Device> =
            routers.filter_map(|id| self.registry.get(tenant, &id)).collect();
        routers.sort_by(|a, b| b.online.cmp(&a.online).then_with(|| a.id.cmp(&b.id)));
        routers.into_iter().next().map_or(Caller::WithoutRouter, |it| Caller::Of(Box::new(it)))
    }
}

/// What a backend is asked: `POST <url>/ussd/<operation>`.
#[derive(Serialize)]
struct Question<'a> {
    tenant: &'a Tenant,
    service: &'a str,
    caller: &'a DeviceId,
    language: &'a str,
    arguments: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

/// What it answers with 200.
#[derive(Deserialize)]
struct Answered {
    outcome: String,
    #[serde(default)]
    values: BTreeMap<String, Redacted<String>>,
}

impl Backend {
    async fn ask(&self, ask: &Ask, clock: Clock) -> Answer {
        let left = ask.deadline.since(clock.now().monotonic);
        match tokio::time::timeout(left, self.call(ask, left)).await {
            Ok(Ok(answered)) => Answer {
                outcome: Cow::Owned(answered.outcome),
                values: answered.values.into_iter().map(|(k, v)| (Cow::Owned(k), v)).collect(),
            },
            Ok(Err(error)) => {
                warn!(operation = &*ask.operation, error = %error.without_url(), "backend did not answer");
                Answer::word("unanswered")
            }
            Err(_) => {
                warn!(operation = &*ask.operation, "backend did not answer in time");
                Answer::word("unanswered")
            }
        }
    }

    async fn call(&self, ask: &Ask, left: Duration) -> Result<Answered, reqwest::Error> {
        let arguments =
            ask.arguments.iter().map(|(name, value)| (&**name, value.expose().as_str()));
        let question = Question {
            tenant: &ask.tenant,
            service: &ask.service,
            caller: &ask.device,
            language: &ask.language,
            arguments: arguments.collect(),
            idempotency_key: (ask.mode == AskMode::Effect).then_some(&*ask.key),
        };
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let url = format!("{}/ussd/{}", self.url, ask.operation);
        let mut request = self
            .client
            .post(url)
            .timeout(left)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let mut response = request.send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_LEN_MAX {
                break;
            }
        }
        let unreadable = || Answered { outcome: "unreadable".to_owned(), values: BTreeMap::new() };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| unreadable()))
    }
}
