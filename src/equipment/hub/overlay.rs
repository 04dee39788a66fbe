//! What a customer changed of his radio networks, laid over the hub's values until the hub changes its
//! own word on them.

use crate::equipment::Inner;
use crate::store::{EquipmentChange, Operation, WifiOverlayRow};
use model::{DeviceId, Tenant};
use provisioning::Equipment;
use provisioning::equipment::Wifi;
use tracing::{debug, warn};

impl Inner {
    /// Lays over the hub's values what the customer changed since the hub last changed them itself.
    pub(super) async fn overlaid(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        equipment: Equipment,
        overlay: Option<WifiOverlayRow>,
    ) -> Equipment {
        let Some(overlay) = overlay else { return equipment };
        let heard = self.basis(&equipment.wifi);
        let outdated = overlay.basis.is_some_and(|basis| basis != heard);
        let change = if outdated {
            EquipmentChange::RemoveOverlay { tenant: tenant.clone(), device: device.clone() }
        } else if overlay.basis.is_none() {
            // The hub had not been heard when it was made: this is what it is laid over.
            let row = WifiOverlayRow { basis: Some(heard), ..overlay.clone() };
            EquipmentChange::PutOverlay(row)
        } else {
            return self.laid_over(device, equipment, &overlay);
        };
        if let Err(error) = self.writer.transact(vec![Operation::Equipment(change)]).await {
            debug!(%device, %error, "a change of WiFi is not brought up to date; tried again");
        }
        if outdated { equipment } else { self.laid_over(device, equipment, &overlay) }
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
