//! One device: what it should be against what is known of it, as people see it.

use crate::profiles::Loaded;
use crate::provisioner::{self, DryRun, Planned};
use crate::registry::Device;
use jiff::Timestamp;
use model::DataModel;
use provisioning::{Equipment, Held, PlanView, RuleView, Wish};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is known of a device beside the registry.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Its data model.
    pub(super) model: Option<&'a DataModel>,
    /// What it took, and what it would not.
    pub(super) held: &'a Held,
    /// What the business said of it last.
    pub(super) equipment: Option<&'a Equipment>,
}

/// A device's plan before anyone looks at it.
pub(super) struct Decided {
    pub(super) planned: Planned,
    /// Whether anything is known of its data model: else only questions can be planned.
    pub(super) is_known: bool,
}

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
    pub guesses: Vec<RuleView>,
    /// What would be sent.
    #[serde(flatten)]
    pub plan: PlanView,
}

/// Decides as a session would that finds everything as it was read last.
pub(super) fn decide(
    loaded: &Loaded,
    device: &Device,
    known: &Known<'_>,
    key: &[u8; 32],
    now: Timestamp,
) -> Decided {
    let empty = DataModel::new();
    let planned = provisioner::plan(&DryRun {
        set: &loaded.set,
        device,
        model: known.model.unwrap_or(&empty),
        equipment: known.equipment,
        tenant_values: &loaded.values(&device.tenant),
        held: known.held,
        key,
        now,
    });
    Decided { planned, is_known: known.model.is_some() }
}

impl Decided {
    /// As people see it.
    pub(super) fn view(&self, device: &Device) -> DevicePlan {
        DevicePlan {
            device: device.id.as_str().into(),
            model: model_of(device),
            profiles: self.planned.profiles.clone(),
            revision: self.planned.revision,
            claimed: device.claimed,
            known: self.is_known,
            guesses: self.planned.guesses.iter().map(RuleView::from).collect(),
            plan: PlanView::from(&self.planned.plan),
        }
    }

    /// How many parameters would be set, in new objects too, by the profile that asks for them.
    pub(super) fn parameters(&self) -> BTreeMap<&str, u64> {
        let mut by_profile = BTreeMap::new();
        for change in self.planned.plan.changes() {
            *by_profile.entry(&*change.rule.profile).or_default() += 1;
        }
        by_profile
    }

    /// How many objects would be made or removed.
    pub(super) fn objects(&self) -> u64 {
        let is_object = |step: &&provisioning::Step| {
            matches!(step.wish, Wish::Add { .. } | Wish::Delete { .. })
        };
        self.planned.plan.steps.iter().filter(is_object).count() as u64
    }

    /// How many parameters would not be sent, and are missed.
    pub(super) fn blocked(&self) -> u64 {
        self.planned.plan.blocked.iter().filter(|it| !it.is_harmless).count() as u64
    }

    /// Whether anything would be changed on the device.
    pub(super) fn writes(&self) -> bool {
        self.planned.plan.writes()
    }
}

/// What an operator calls the model: what it says, else its product class.
pub(super) fn model_of(device: &Device) -> Option<Box<str>> {
    device.facts.model.clone().or_else(|| device.facts.product_class.clone())
}
