//! What a customer changed of his radio networks, laid over the hub's values until the hub changes its
//! own word on them.

use crate::equipment::Inner;
use crate::store::{EquipmentChange, Operation, OperationError, WifiOverlayRow, WriteError};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Tenant};
use provisioning::Equipment;
use provisioning::equipment::Wifi;
use tracing::{debug, warn};

/// How often it is looked at anew what a customer changes meanwhile.
const TRIES_MAX: usize = 4;

/// The next moment: no two states of a customer's change have the same.
pub(in crate::equipment) fn after(moment: Timestamp) -> Timestamp {
    moment.checked_add(SignedDuration::from_nanos(1)).unwrap_or(moment)
}

impl Inner {
    /// Lays over the hub's values what the customer changed since the hub last changed them itself.
    /// `laid_at` is when his change was made that was there before the hub was asked: one that came
    /// meanwhile is newer than what the hub answered, whatever it was laid over.
    pub(super) async fn overlaid(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        equipment: Equipment,
        laid_at: Option<Timestamp>,
    ) -> Equipment {
        let heard = self.basis(&equipment.wifi);
        for _ in 0..TRIES_MAX {
            let memory = match self.store.hub_memory(tenant, device).await {
                Ok(memory) => memory,
                Err(error) => {
                    debug!(%device, %error, "a change of WiFi cannot be read; tried again");
                    return equipment;
                }
            };
            let expect = memory.seen();
            let Some(overlay) = memory.overlay else { return equipment };
            let is_older = laid_at == Some(overlay.changed_at);
            let is_outdated = is_older && overlay.basis.is_some_and(|basis| basis != heard);
            let change = if is_outdated {
                let (tenant, device) = (tenant.clone(), device.clone());
                EquipmentChange::RemoveOverlay { tenant, device, expect }
            } else if overlay.basis != Some(heard) {
                // This is what it is laid over.
                let (basis, changed_at) = (Some(heard), after(overlay.changed_at));
                let row = WifiOverlayRow { basis, changed_at, ..overlay.clone() };
                EquipmentChange::PutOverlay { row, expect }
            } else {
                return self.laid_over(device, equipment, &overlay);
            };
            match self.writer.transact(vec![Operation::Equipment(change)]).await {
                // The customer was quicker.
                Err(WriteError::Refused(OperationError::Conflict(_))) => continue,
                Err(error) => {
                    debug!(%device, %error, "a change of WiFi is not brought up to date; tried again");
                }
                Ok(()) => {}
            }
            return if is_outdated {
                equipment
            } else {
                self.laid_over(device, equipment, &overlay)
            };
        }
        equipment
    }

    fn laid_over(
        &self,
        device: &DeviceId,
        equipment: Equipment,
        overlay: &WifiOverlayRow,
    ) -> Equipment {
        let changes = self.vault.open(overlay.sealed.expose());
        let changes = changes.and_then(|it| serde_json::from_slice::<Vec<Wifi>>(it.expose()).ok());
        let Some(changes) = changes else {
            warn!(%device, "a change of WiFi was sealed under another key");
            return equipment;
        };
        let mut changed = equipment.clone();
        changed.change_wifi(&changes);
        changed.checked().unwrap_or(equipment)
    }

    /// What the hub said last of a device, with what the customer changed since.
    pub(in crate::equipment) async fn remembered(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Option<Equipment> {
        let memory = self.store.hub_memory(tenant, device).await.ok()?;
        let equipment = self.open(memory.answer?.sealed.expose())?;
        let heard = self.basis(&equipment.wifi);
        let overlay = memory.overlay.filter(|it| it.basis.is_none_or(|basis| basis == heard));
        match overlay {
            Some(overlay) => Some(self.laid_over(device, equipment, &overlay)),
            None => Some(equipment),
        }
    }

    /// Names the hub's own word on the radio networks.
    pub(in crate::equipment) fn basis(&self, wifi: &[Wifi]) -> u64 {
        self.hash(&serde_json::to_vec(wifi).expect("our own types are representable in JSON"))
    }
}
