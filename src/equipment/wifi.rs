//! A customer's change of his radio networks.

use super::hub::after;
use super::{Equipments, Inner, Source};
use crate::store::{
    EquipmentChange, EquipmentRow, EquipmentStatus, Expect, Operation, ReadError, WifiOverlayRow,
};
use model::{DeviceFacts, DeviceId, Tenant};
use provisioning::Equipment;
use provisioning::equipment::{self, Faults, Wifi};

/// Why a change of WiFi cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WifiError {
    /// What comes of it does not hold.
    #[error("{0}")]
    Faulty(#[from] Faults),
    /// The device has said no serial, under which its values could be kept.
    #[error("the device has no serial yet")]
    Nameless,
    /// Nothing is kept under that name.
    #[error("nothing is kept for such equipment")]
    NotKept,
    /// What is kept was sealed under another key.
    #[error("what is kept for the device cannot be opened")]
    Sealed,
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Whose radio networks are changed.
#[derive(Clone, Copy, Debug)]
pub enum WifiTarget<'a> {
    /// A device's.
    Device {
        /// Which.
        id: &'a DeviceId,
        /// What it says of itself.
        facts: &'a DeviceFacts,
    },
    /// Those of equipment that has not been met, by its name in the one spelling.
    Name(&'a str),
}

impl Equipments {
    /// What is to be committed for a change of a device's radio networks. Our own backend keeps it in
    /// the document; beside a hub it is laid over the hub's values until the hub changes its own word
    /// on them. Refused as a conflict at the commit when what it is made from changes meanwhile.
    pub async fn wifi_change(
        &self,
        tenant: &Tenant,
        target: WifiTarget<'_>,
        changes: &[Wifi],
    ) -> Result<Operation, WifiError> {
        let inner = &*self.0;
        let change = match (&inner.source, target) {
            (Source::Embedded(_), target) => inner.change_document(tenant, target, changes).await?,
            (Source::Hub(_), WifiTarget::Device { id, .. }) => {
                inner.change_overlay(tenant, id, changes).await?
            }
            (Source::Hub(_), WifiTarget::Name(_)) => return Err(WifiError::NotKept),
        };
        Ok(Operation::Equipment(change))
    }

    /// Whether the business keeps radio networks for a device, as far as is known here.
    pub async fn has_wifi(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        facts: &DeviceFacts,
    ) -> Result<bool, ReadError> {
        let inner = &*self.0;
        let equipment = match &inner.source {
            Source::Embedded(_) => inner.document(tenant, facts).await?.and_then(|(_, it)| it),
            Source::Hub(_) => {
                let memory = inner.store.hub_memory(tenant, device).await?;
                if memory.overlay.is_some() {
                    return Ok(true);
                }
                memory.answer.and_then(|row| inner.open(row.sealed.expose()))
            }
        };
        Ok(equipment.is_some_and(|equipment| !equipment.wifi.is_empty()))
    }

    /// A row that keeps `equipment` under `key` from now on.
    pub fn row(&self, tenant: &Tenant, key: &str, equipment: &Equipment) -> EquipmentRow {
        self.0.row(tenant, key, equipment)
    }

    /// The document of a row; `None` when it was sealed under another key.
    pub fn open(&self, row: &EquipmentRow) -> Option<Equipment> {
        self.0.open(row.sealed.expose())
    }

    /// Whether the documents are ours.
    pub fn is_embedded(&self) -> bool {
        matches!(self.0.source, Source::Embedded(_))
    }
}

/// A row, and its document where it can be opened.
pub(super) type Document = (EquipmentRow, Option<Equipment>);

impl Inner {
    fn row(&self, tenant: &Tenant, key: &str, equipment: &Equipment) -> EquipmentRow {
        EquipmentRow {
            tenant: tenant.clone(),
            serial: key.into(),
            version: self.version(equipment),
            changed_at: self.clock.now().wall,
            status: EquipmentStatus::Created,
            activated_at: None,
            address: None,
            firmware: None,
            holder: None,
            sealed: self.seal(equipment),
        }
    }

    /// The document that goes first for a device.
    pub(super) async fn document(
        &self,
        tenant: &Tenant,
        facts: &DeviceFacts,
    ) -> Result<Option<Document>, ReadError> {
        for key in equipment::keys(facts) {
            if let Some(row) = self.store.equipment(tenant, &key).await? {
                let equipment = self.open(row.sealed.expose());
                return Ok(Some((row, equipment)));
            }
        }
        Ok(None)
    }

    async fn change_document(
        &self,
        tenant: &Tenant,
        target: WifiTarget<'_>,
        changes: &[Wifi],
    ) -> Result<EquipmentChange, WifiError> {
        let kept = match target {
            WifiTarget::Device { facts, .. } => self.document(tenant, facts).await?,
            WifiTarget::Name(key) => {
                let row = self.store.equipment(tenant, key).await?.ok_or(WifiError::NotKept)?;
                let equipment = self.open(row.sealed.expose());
                Some((row, equipment))
            }
        };
        let (key, mut equipment, expect) = match (kept, target) {
            (Some((row, Some(equipment))), _) => {
                (row.serial, equipment, Expect::Version(row.version))
            }
            (Some((_, None)), _) => return Err(WifiError::Sealed),
            (None, WifiTarget::Name(_)) => return Err(WifiError::NotKept),
            (None, WifiTarget::Device { facts, .. }) => {
                let key = equipment::keys(facts).into_iter().next().ok_or(WifiError::Nameless)?;
                let serial = facts.serial.as_deref().unwrap_or(&key).to_owned();
                (key, Equipment { serial, ..Equipment::default() }, Expect::Absent)
            }
        };
        equipment.change_wifi(changes);
        let equipment = equipment.checked()?;
        Ok(EquipmentChange::Put { row: self.row(tenant, &key, &equipment), expect })
    }

    async fn change_overlay(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        changes: &[Wifi],
    ) -> Result<EquipmentChange, WifiError> {
        let memory = self.store.hub_memory(tenant, device).await?;
        let (expect, now) = (memory.seen(), self.clock.now().wall);
        let changed_at = expect.overlay.map_or(now, |before| now.max(after(before)));
        let heard = memory.answer.and_then(|row| self.open(row.sealed.expose()));
        let basis = heard.as_ref().map(|heard| self.basis(&heard.wifi));
        let mut laid = Equipment::default();
        // One that was laid over another word of the hub's is over.
        let before = memory.overlay.filter(|it| it.basis.is_none() || it.basis == basis);
        if let Some(before) = before {
            let plain = self.vault.open(before.sealed.expose()).ok_or(WifiError::Sealed)?;
            laid.wifi = serde_json::from_slice(plain.expose()).map_err(|_| WifiError::Sealed)?;
        }
        laid.change_wifi(changes);
        let mut whole = heard.unwrap_or_else(|| Equipment { serial: "-".into(), ..laid.clone() });
        whole.change_wifi(&laid.wifi);
        whole.checked()?;
        let plain = serde_json::to_vec(&laid.wifi);
        let plain = plain.expect("our own types are representable in JSON");
        let (tenant, device) = (tenant.clone(), device.clone());
        let sealed = self.vault.seal(&plain);
        let row = WifiOverlayRow { tenant, device, basis, changed_at, sealed };
        Ok(EquipmentChange::PutOverlay { row, expect })
    }
}
