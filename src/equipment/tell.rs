//! Telling the business that a device has become what it should be.

use super::hub::{Hub, HubFault, Posted};
use super::{Inner, Source};
use crate::store::{EquipmentChange, Operation, TaskRow, WriteError};
use crate::tasks::{self, Handler, Outcome, Policy, Tasks};
use async_trait::async_trait;
use model::{Json, Tenant};
use provisioning::equipment::{self, Activated};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The kind of the task.
pub(super) const ACTIVATED: &str = "activated";

/// A hub that is down over a weekend hears of it on Monday; after a week somebody is to look.
const POLICY: Policy = Policy {
    retry_min: Duration::from_secs(10),
    retry_max: Duration::from_secs(3_600),
    age_max: Duration::from_secs(7 * 86_400),
    // More than the longest `backend.timeout`.
    lease: Duration::from_secs(90),
};

/// What the task keeps.
#[derive(Deserialize, Serialize)]
struct Body {
    serial: Box<str>,
    activated: Json,
}

/// Has tasks of this kind carried out by calls of the hub.
pub(super) fn register(tasks: &Tasks, hub: Arc<Hub>) {
    tasks.register(ACTIVATED, POLICY, Arc::new(Teller(hub)));
}

struct Teller(Arc<Hub>);

#[async_trait]
impl Handler for Teller {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        let Ok(body) = serde_json::from_str::<Body>(task.body.as_str()) else {
            return Outcome::Hopeless { cause: "the task cannot be read".into() };
        };
        match self.0.post(&body.serial, &task.key, body.activated.as_str()).await {
            Ok(Posted::Taken(status)) => Outcome::Done { answer: status.to_string().into() },
            Ok(Posted::NotReady) => {
                let cause = "the hub is not ready for it (409)".into();
                Outcome::Failed { cause, retry_after: None }
            }
            Ok(Posted::Unknown(status)) => {
                let cause = format!("the hub does not know the serial ({status})").into();
                Outcome::Hopeless { cause }
            }
            Ok(Posted::Refused(status)) => {
                let cause = format!("the hub refuses it ({status})").into();
                Outcome::Hopeless { cause }
            }
            Err(error) => {
                let cause = HubFault::describe(error.fault).into();
                Outcome::Failed { cause, retry_after: error.retry_after }
            }
        }
    }
}

impl Inner {
    pub(super) async fn activated(
        &self,
        tenant: &Tenant,
        told: &Activated,
        key: &str,
    ) -> Result<(), WriteError> {
        let (serial, now) = (&told.serial, self.clock.now().wall);
        match &self.source {
            Source::Embedded(_) => {
                let change = EquipmentChange::Activate {
                    tenant: tenant.clone(),
                    serial: equipment::key(serial).unwrap_or_else(|| serial.clone()),
                    at: now,
                    address: told.ip,
                    firmware: told.firmware.clone(),
                };
                self.writer.transact(vec![Operation::Equipment(change)]).await
            }
            Source::Hub(_) => {
                let body = Json::of(&Body { serial: serial.clone(), activated: Json::of(told) });
                let task = tasks::task(tenant, ACTIVATED, key, Some(&told.device), body, now);
                self.writer.transact(vec![Operation::PutTask(task.clone())]).await?;
                self.tasks.added(&task);
                Ok(())
            }
        }
    }
}
