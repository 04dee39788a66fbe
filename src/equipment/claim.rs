//! Which device is given a serial's secrets: one.

use super::Inner;
use crate::store::{EquipmentChange, Operation, OperationError, WriteError};
use model::{DeviceId, Event, EventType, Json, Tenant};
use parking_lot::Mutex;
use provisioning::equipment;
use serde_json::json;
use std::collections::HashSet;
use tracing::{debug, info, warn};

/// Most refusals that are remembered, so that each is told once; then all are forgotten.
const REFUSALS_MAX: usize = 10_000;

/// What became of a device's asking for a document.
pub(super) enum Admission {
    /// It has it.
    Held,
    /// It could not be kept that it has it.
    NotKept,
    /// It is another's.
    Taken(DeviceId),
}

/// Who was refused what in the life of this process.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashSet<(Tenant, DeviceId, Box<str>)>>);

impl Refusals {
    fn is_new(&self, tenant: &Tenant, device: &DeviceId, key: &str) -> bool {
        let mut refused = self.0.lock();
        if refused.len() >= REFUSALS_MAX {
            refused.clear();
        }
        refused.insert((tenant.clone(), device.clone(), key.into()))
    }
}

impl Inner {
    /// Gives the serial to the device unless another has it; marks the device as claimed, and makes the
    /// name that the business knows a name of the device.
    pub(super) async fn hold(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        key: &str,
        holder: Option<DeviceId>,
        by: &'static str,
    ) -> Admission {
        let is_claimed = || self.registry.get(tenant, device).is_some_and(|it| it.claimed);
        match holder {
            Some(holder) if holder != *device => {
                self.refuse(tenant, device, key, &holder).await;
                return Admission::Taken(holder);
            }
            Some(_) if is_claimed() => return Admission::Held,
            Some(_) | None => {}
        }
        let at = self.clock.now().wall;
        let hold = Operation::Equipment(EquipmentChange::Hold {
            tenant: tenant.clone(),
            serial: key.into(),
            device: device.clone(),
            at,
            by_force: false,
        });
        let mut operations = self.claim(tenant, device, by);
        operations.push(hold);
        operations.extend(self.name(tenant, device, key));
        match self.writer.transact(operations.clone()).await {
            Ok(()) => {
                operations.iter().for_each(|it| self.registry.apply_operation(it));
                info!(%device, by, "equipment claimed");
                Admission::Held
            }
            Err(WriteError::Refused(OperationError::Conflict(_))) => {
                match self.store.equipment_holder(tenant, key).await {
                    Ok(Some(holder)) if holder != *device => {
                        self.refuse(tenant, device, key, &holder).await;
                        Admission::Taken(holder)
                    }
                    // Its name went to another device meanwhile: tried again without it.
                    Ok(_) | Err(_) => Admission::NotKept,
                }
            }
            Err(error) => {
                debug!(%device, %error, "claim not kept; tried again");
                Admission::NotKept
            }
        }
    }

    /// Marks a device as claimed that comes from where only ours come from.
    pub(super) async fn claim_by_network(&self, tenant: &Tenant, device: &DeviceId) {
        if self.claim_networks.is_empty() {
            return;
        }
        let known = self.registry.get(tenant, device).filter(|device| !device.claimed);
        let Some(address) = known.and_then(|device| device.address) else { return };
        if !self.claim_networks.iter().any(|network| network.contains(address)) {
            return;
        }
        let operations = self.claim(tenant, device, "network");
        match self.writer.transact(operations.clone()).await {
            Ok(()) => operations.iter().for_each(|it| self.registry.apply_operation(it)),
            Err(error) => debug!(%device, %error, "claim by network not kept; tried again"),
        }
    }

    fn claim(&self, tenant: &Tenant, device: &DeviceId, by: &'static str) -> Vec<Operation> {
        let (now, detail) = (self.clock.now().wall, Json::of(&json!({ "by": by })));
        let line = Operation::audit(tenant, now, "daemon", "device.claim", device.as_str(), detail);
        let claim = Operation::Claim { tenant: tenant.clone(), device: device.clone() };
        vec![claim, line]
    }

    /// What makes the business's name a name of the device, unless it is one of a device already.
    fn name(&self, tenant: &Tenant, device: &DeviceId, key: &str) -> Option<Operation> {
        let alias = equipment::aliases(key).next()?;
        let (tenant, device) = (tenant.clone(), device.clone());
        let is_free = self.registry.by_alias(&tenant, &alias).is_none();
        is_free.then_some(Operation::PutAlias { tenant, device, alias })
    }

    async fn refuse(&self, tenant: &Tenant, device: &DeviceId, key: &str, holder: &DeviceId) {
        if !self.refusals.is_new(tenant, device, key) {
            return;
        }
        warn!(%device, %holder, "a device says a serial that another holds: it is given no secrets");
        let event = Event {
            tenant: tenant.clone(),
            device: device.clone(),
            kind: EventType::DEVICE_CLAIM_REFUSED,
            time: self.clock.now().wall,
            data: Json::of(&json!({ "serial": key, "holder": holder })),
            facts: None,
        };
        if let Err(error) = self.writer.append(vec![event], Vec::new()).await {
            debug!(%device, %error, "refusal not kept; the log has it");
        }
    }
}
