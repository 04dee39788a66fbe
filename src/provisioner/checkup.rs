//! Whether a device is well, from what is known of it here: nobody is asked.

use super::Provisioner;
use super::dry_run::root;
use super::kept::Kept;
use super::rounds::subject;
use crate::registry::Device;
use crate::store::ReadError;
use model::{DataModel, Tenant};
use provisioning::checkup::{Checkup, Facts, Limits};
use provisioning::{Equipment, Wanted};
use std::sync::Arc;

/// What a device is judged by.
struct Known {
    kept: Kept,
    model: DataModel,
    wanted: Wanted,
    equipment: Option<Arc<Equipment>>,
}

impl Provisioner {
    /// Judges a device. `not_woken` is why it could not be woken last.
    pub async fn check_up(
        &self,
        tenant: &Tenant,
        device: &Device,
        not_woken: Option<&str>,
        limits: &Limits,
    ) -> Result<Checkup, ReadError> {
        let known = self.known(tenant, device).await?;
        let facts = Facts {
            is_online: device.online,
            last_seen_at: device.last_seen_at,
            not_woken,
            firmware: device.facts.software_version.as_deref(),
            held: &known.kept.held,
            wanted: &known.wanted,
            model: &known.model,
            equipment: known.equipment.as_deref(),
            now: self.parts.clock.now().wall,
        };
        Ok(Checkup::of(&facts, limits))
    }

    /// The parameters that tell a device's answers anew.
    pub async fn paths_to_check(
        &self,
        tenant: &Tenant,
        device: &Device,
    ) -> Result<Vec<Box<str>>, ReadError> {
        let known = self.known(tenant, device).await?;
        Ok(Checkup::paths(&known.wanted, &known.model))
    }

    async fn known(&self, tenant: &Tenant, device: &Device) -> Result<Known, ReadError> {
        let kept = self.kept(tenant, &device.id).await?;
        let model = self.parts.data_models.load(tenant, &device.id).await?.unwrap_or_default();
        let subject = subject(device, root(&model));
        let now = self.parts.clock.now();
        let equipment = self.parts.equipments.peek(tenant, &subject, now).await;
        let loaded = self.parts.profiles.loaded_for(tenant, &device.id);
        let layers = loaded.set.layers(&subject, equipment.as_deref());
        let values = loaded.values(tenant);
        let wanted = layers.render(&subject, equipment.as_deref(), &values, &model);
        Ok(Known { kept, model, wanted, equipment })
    }
}
