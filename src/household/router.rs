//! What a menu may ask about the caller's own router: its state, and a restart of it.
//!
//! The caller's number leads to the customer, the customer to his devices.

use super::Answers;
use crate::commands::{Desk, NewCommand, SubmitError};
use crate::effects::Effects;
use crate::registry::{Device, Registry};
use crate::store::WriteError;
use async_trait::async_trait;
use model::{CommandKind, DeviceId, Protocol, Tenant};
use std::sync::Arc;
use tracing::warn;
use ussd::{Answer, Ask};

/// What is answered here.
pub(super) const OPERATIONS: &[&str] = &["router_status", "router_restart"];

/// Answers for the routers of households.
#[derive(Debug)]
pub struct Routers {
    /// Devices and customers.
    pub registry: Arc<Registry>,
    /// Takes commands.
    pub desk: Arc<Desk>,
    /// What effects were answered. A command's key is known to the desk itself.
    pub effects: Arc<Effects>,
}

/// Whom a caller is.
enum Caller {
    Unknown,
    WithoutRouter,
    Of(Box<Device>),
}

#[async_trait]
impl Answers for Routers {
    fn operations(&self) -> &'static [&'static str] {
        OPERATIONS
    }

    async fn answer(&self, ask: &Ask) -> Answer {
        if &*ask.operation != "router_restart" {
            return self.status(ask);
        }
        let answer = self.restart(ask).await;
        if matches!(&*answer.outcome, "accepted" | "queued") {
            self.effects.keep_alone(ask, &answer).await;
        }
        answer
    }
}

impl Routers {
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
