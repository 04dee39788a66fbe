//! What would be done to a device, without doing it.

use super::rounds::subject;
use super::{Provisioner, seed};
use crate::registry::Device;
use jiff::Timestamp;
use model::DataModel;
use provisioning::{Circumstances, Equipment, Held, Plan, ProfileSet, Revision, Rule, decide};

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
        seed: seed(&it.device.id),
        ..Circumstances::default()
    };
    let mut held = it.held.clone();
    held.begin(circumstances);
    let plan = decide(&wanted, it.model, &held, circumstances);
    Planned { profiles: wanted.profiles, revision: wanted.revision, guesses: wanted.guesses, plan }
}

/// The root of a device's data model, by what is known of it.
pub(super) fn root(model: &DataModel, _device: &Device) -> &'static str {
    let has = |root| model.below(root).next().is_some();
    if has("Device.") { "Device." } else { "InternetGatewayDevice." }
}

impl Provisioner {
    /// The key of fingerprints, for who makes plans of many devices.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}
