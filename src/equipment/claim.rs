//! Which device is given a serial's secrets: one.

use super::hub::key;
use super::{Inner, NAMES_HELD_MAX, Source};
use crate::registry::Device;
use crate::store::{EquipmentChange, Operation, OperationError, ReadError, WriteError};
use model::{DeviceId, Event, EventType, Json, Tenant};
use parking_lot::Mutex;
use provisioning::Equipment;
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
    /// It could not be kept that it has it: it has it another time.
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

/// The names under which a document may be asked for.
pub(super) struct Names {
    /// Of the document: under all of them it is one device's.
    document: Vec<Box<str>>,
    /// Others of the device that asks.
    device: Vec<Box<str>>,
}

impl Names {
    /// Of a document that was found under `key` by a device that has `keys`.
    pub(super) fn new(key: &str, equipment: &Equipment, keys: &[Box<str>]) -> Self {
        // No serial has a space in it.
        let id = equipment.equipment_id.as_deref().map(|id| format!("id {id}").into());
        let mut document: Vec<Box<str>> = vec![key.into()];
        for name in equipment::key(&equipment.serial).into_iter().chain(id) {
            if !document.contains(&name) {
                document.push(name);
            }
        }
        let others = keys.iter().filter(|key| !document.contains(key));
        let device = others.take(NAMES_HELD_MAX).cloned().collect();
        Self { document, device }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.document.iter().chain(&self.device).map(|name| &**name)
    }
}

/// Who has the names of a document.
enum Holding {
    /// The device that asks, or nobody; these nobody has yet.
    Its { is_given: bool, free: Vec<Box<str>> },
    /// Another device.
    Anothers(DeviceId),
}

impl Inner {
    /// Gives a document to the device unless another has it under any of its names; marks the device
    /// as claimed, holds every name for it, and makes the name that the business knows a name of the
    /// device.
    pub(super) async fn hold(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        key: &str,
        names: &Names,
        by: &'static str,
    ) -> Admission {
        let (is_given, free) = match self.holding(tenant, device, names).await {
            Ok(Holding::Its { is_given, free }) => (is_given, free),
            Ok(Holding::Anothers(holder)) => {
                return self.refuse(tenant, device, key, holder).await;
            }
            Err(error) => {
                debug!(%device, %error, "who holds a serial cannot be read; tried again");
                return Admission::NotKept;
            }
        };
        let is_given = is_given && self.registry.is_claimed(tenant, device);
        if is_given && free.is_empty() {
            return Admission::Held;
        }
        let at = self.clock.now().wall;
        let hold = |serial| {
            let (tenant, device) = (tenant.clone(), device.clone());
            let hold = EquipmentChange::Hold { tenant, serial, device, at, by_force: false };
            Operation::Equipment(hold)
        };
        let mut operations: Vec<_> = free.into_iter().map(hold).collect();
        if !is_given {
            operations.extend(self.claim(tenant, device, by));
            operations.extend(self.name(tenant, device, key));
        }
        match self.writer.transact(operations.clone()).await {
            Ok(()) => {
                operations.iter().for_each(|it| self.registry.apply_operation(it));
                if !is_given {
                    info!(%device, by, "equipment claimed");
                }
                Admission::Held
            }
            // Names that it got since; they are held for it another time.
            Err(_) if is_given => Admission::Held,
            Err(WriteError::Refused(OperationError::Conflict(_))) => {
                match self.holding(tenant, device, names).await {
                    Ok(Holding::Anothers(holder)) => self.refuse(tenant, device, key, holder).await,
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

    /// A hub knows one unit under several names. So who has one of them has all, also those that
    /// nobody asked for yet, and those that it is known by in the registry alone.
    async fn holding(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        names: &Names,
    ) -> Result<Holding, ReadError> {
        let (mut is_given, mut free) = (false, Vec::new());
        for name in &names.document {
            match self.store.equipment_holder(tenant, name).await? {
                Some(holder) if holder != *device => return Ok(Holding::Anothers(holder)),
                Some(_) => is_given = true,
                None => free.push(name.clone()),
            }
        }
        for name in &names.device {
            match self.store.equipment_holder(tenant, name).await? {
                // What it was given is not taken back for a name that it got later.
                Some(holder) if holder != *device && !is_given => {
                    return Ok(Holding::Anothers(holder));
                }
                None if self.other_claimed(tenant, device, name).is_none() => {
                    free.push(name.clone());
                }
                Some(_) | None => {}
            }
        }
        let mut others = names.all().filter_map(|name| self.other_claimed(tenant, device, name));
        match others.next() {
            Some(other) if !is_given => Ok(Holding::Anothers(other)),
            _ => Ok(Holding::Its { is_given, free }),
        }
    }

    /// Another device that has this name and is claimed.
    pub(super) fn other_claimed(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        name: &str,
    ) -> Option<DeviceId> {
        let mut meant = self.meant_by(tenant, name).into_iter();
        meant.find(|it| it != device && self.registry.is_claimed(tenant, it))
    }

    /// The names of a device, and of the document that is known for it here.
    pub(super) async fn names_of(&self, device: &Device) -> Result<Vec<Box<str>>, ReadError> {
        let (tenant, mut keys) = (&device.tenant, equipment::keys(&device.facts));
        keys.truncate(NAMES_HELD_MAX);
        let found = match &self.source {
            Source::Embedded(_) => {
                let found = self.document(tenant, &device.facts).await?;
                found.and_then(|(row, equipment)| Some((row.serial, equipment?)))
            }
            Source::Hub(_) => {
                let answer = self.store.hub_memory(tenant, &device.id).await?.answer;
                answer.and_then(|row| Some((key(&row.serial), self.open(row.sealed.expose())?)))
            }
        };
        let names = found.map(|(key, equipment)| Names::new(&key, &equipment, &[]).document);
        for name in names.into_iter().flatten() {
            if !keys.contains(&name) {
                keys.push(name);
            }
        }
        Ok(keys)
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

    async fn refuse(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        key: &str,
        holder: DeviceId,
    ) -> Admission {
        if !self.refusals.is_new(tenant, device, key) {
            return Admission::Taken(holder);
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
        Admission::Taken(holder)
    }
}
