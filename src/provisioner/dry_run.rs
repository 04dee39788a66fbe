//! What would be done to a device, without doing it.

use super::rounds::subject;
use super::{Provisioner, seed};
use crate::profiles::Loaded;
use crate::registry::Device;
use jiff::Timestamp;
use model::{DataModel, Redacted};
use provisioning::{
    Circumstances, Equipment, Held, Plan, Revision, Rule, Wanted, WantedFirmware, decide,
};

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct DryRun<'a> {
    /// The profiles, and the values of tenants.
    pub loaded: &'a Loaded,
    /// The device.
    pub device: &'a Device,
    /// Its data model, where anything is known of it.
    pub model: Option<&'a DataModel>,
    /// What the business says of it, as far as that is known.
    pub equipment: Option<&'a Equipment>,
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
    /// Whether anything is known of its data model: else only questions can be planned.
    pub is_known: bool,
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
    let nothing = DataModel::new();
    let model = it.model.unwrap_or(&nothing);
    let subject = subject(it.device, root(model));
    let layers = it.loaded.set.layers(&subject, it.equipment);
    let values = it.loaded.values(&it.device.tenant);
    let wanted = layers.render(&subject, it.equipment, &values, model);
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
    let plan = decide(&wanted, model, &held, circumstances);
    let Wanted { profiles, revision, guesses, firmware, .. } = wanted;
    Planned { is_known: it.model.is_some(), profiles, revision, guesses, plan, firmware }
}

/// The root of a device's data model, by what is known of it.
pub(super) fn root(model: &DataModel) -> &'static str {
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
