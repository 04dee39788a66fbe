//! One device: what it should be against what is known of it, as people see it.

use crate::provisioner::Planned;
use crate::registry::Device;
use provisioning::{PlanView, Rule, Wish};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What would be sent to a device, and why. Secrets are shown as `…`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DevicePlan {
    /// Which device.
    pub device: Box<str>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<Box<str>>,
    /// The profiles that it is made of; the last goes before the others.
    pub profiles: Vec<Box<str>>,
    /// Names these profiles as they stand.
    pub revision: provisioning::Revision,
    /// Whether its equipment is claimed: secrets are not sent before.
    pub claimed: bool,
    /// Whether anything is known of its data model: what is not known is asked first.
    pub known: bool,
    /// Rules among those that would be applied whose paths nobody has verified on such a device.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub guesses: Vec<Rule>,
    /// What would be sent.
    #[serde(flatten)]
    pub plan: PlanView,
}

impl DevicePlan {
    /// As people see it.
    pub(super) fn of(device: &Device, planned: &Planned) -> Self {
        Self {
            device: device.id.as_str().into(),
            model: model_of(device),
            profiles: planned.profiles.clone(),
            revision: planned.revision,
            claimed: device.claimed,
            known: planned.is_known,
            guesses: planned.guesses.clone(),
            plan: PlanView::from(&planned.plan),
        }
    }
}

impl Planned {
    /// How many parameters would be set, in new objects too, by the profile that asks for them.
    pub(super) fn parameters(&self) -> BTreeMap<&str, u64> {
        let mut by_profile = BTreeMap::new();
        for change in self.plan.changes() {
            *by_profile.entry(&*change.rule.profile).or_default() += 1;
        }
        by_profile
    }

    /// How many objects would be made or removed.
    pub(super) fn objects(&self) -> u64 {
        let is_object = |step: &&provisioning::Step| {
            matches!(step.wish, Wish::Add { .. } | Wish::Delete { .. })
        };
        self.plan.steps.iter().filter(is_object).count() as u64
    }

    /// How many parameters would not be sent, and are missed.
    pub(super) fn blocked(&self) -> u64 {
        self.plan.blocked.iter().filter(|it| !it.is_harmless).count() as u64
    }
}

/// What an operator calls the model: what it says, else its product class.
pub(super) fn model_of(device: &Device) -> Option<Box<str>> {
    device.facts.model.clone().or_else(|| device.facts.product_class.clone())
}
