//! What would be done to a device, without doing it.

use super::kept::Kept;
use super::rounds::subject;
use super::{Provisioner, seed};
use crate::registry::Device;
use crate::store::ReadError;
use jiff::Timestamp;
use model::{DataModel, DeviceId, Redacted, Tenant};
use provisioning::{
    Circumstances, Equipment, Held, Plan, ProfileSet, Revision, Rule, WantedFirmware, decide,
};

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct DryRun<'a> {
    /// The profiles.
    pub set: &'a ProfileSet,
    /// The device.
    pub device: &'a Device,
    /// What is known of its data model.
    pub model: &'a DataModel,
    /// What the business says of it, as far as that is known.
    pub equipment: Option<&'a Equipment>,
    /// The variable `tenant` of templates.
    pub tenant_values: &'a serde_json::Value,
    /// What is remembered of it.
    pub held: &'a Held,
    /// Makes fingerprints.
    pub key: &'a [u8; 32],
    /// Now.
    pub now: Timestamp,
}

/// What would be done.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The profiles that are the device's, low first.
    pub profiles: Vec<Box<str>>,
    /// As they stand.
    pub revision: Revision,
    /// Rules among them whose paths nobody has verified.
    pub guesses: Vec<Rule>,
    /// The first round. What depends on what the device would answer is not in it.
    pub plan: Plan,
    /// The firmware that it should run.
    pub firmware: Option<WantedFirmware>,
}

/// Makes a plan: pure, some ten microseconds to a millisecond; for a thread where nobody waits when
/// there are many.
#[must_use]
pub fn plan(it: &DryRun<'_>) -> Planned {
    let root = root(it.model, it.device);
    let subject = subject(it.device, root);
    let layers = it.set.layers(&subject, it.equipment);
    let wanted = layers.render(&subject, it.equipment, it.tenant_values, it.model);
    let circumstances = Circumstances {
        now: it.now,
        // What is known counts as it stands: nothing is asked of the device.
        session_began: Timestamp::UNIX_EPOCH,
        is_claimed: it.device.claimed,
        fingerprint: wanted.fingerprint(it.key),
        key: Some(Redacted(it.key)),
        seed: seed(&it.device.id),
        ..Circumstances::default()
    };
    let mut held = it.held.clone();
    held.begin(circumstances);
    let plan = decide(&wanted, it.model, &held, circumstances);
    Planned {
        profiles: wanted.profiles,
        revision: wanted.revision,
        guesses: wanted.guesses,
        plan,
        firmware: wanted.firmware,
    }
}

/// The root of a device's data model, by what is known of it.
pub(super) fn root(model: &DataModel, _device: &Device) -> &'static str {
    let has = |root| model.below(root).next().is_some();
    if has("Device.") { "Device." } else { "InternetGatewayDevice." }
}

impl Provisioner {
    /// What these profiles would do to a device as it is known: nothing is asked of it. `None` when
    /// there is no such device.
    pub async fn plan_for(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        set: &ProfileSet,
    ) -> Result<Option<Planned>, ReadError> {
        let Some(device) = self.parts.registry.get(tenant, device) else { return Ok(None) };
        let Kept { held, .. } = self.kept(tenant, &device.id).await?;
        let model = self.parts.data_models.load(tenant, &device.id).await?.unwrap_or_default();
        let now = self.parts.clock.now();
        let subject = subject(&device, root(&model, &device));
        // Without asking the hub: that would claim the equipment.
        let equipment = self.parts.equipments.peek(tenant, &subject, now).await;
        let tenant_values = self.parts.profiles.values_for(tenant, &device.id);
        Ok(Some(plan(&DryRun {
            set,
            device: &device,
            model: &model,
            equipment: equipment.as_deref(),
            tenant_values: &tenant_values,
            held: &held,
            key: &self.key,
            now: now.wall,
        })))
    }

    /// The key of fingerprints, for who makes plans of many devices.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}
