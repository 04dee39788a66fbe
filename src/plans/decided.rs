//! One device: what it should be against what is known of it, as people see it.

use super::Recalled;
use crate::profiles::{Loaded, subject};
use crate::registry::Device;
use jiff::Timestamp;
use model::DataModel;
use provisioning::{Circumstances, Layers, Plan, PlanView, Subject, Wish};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A device's plan before anyone looks at it.
pub(super) struct Decided {
    pub(super) layers: Layers,
    pub(super) plan: Plan,
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
    pub guesses: Vec<GuessView>,
    /// What would be sent.
    #[serde(flatten)]
    pub plan: PlanView,
}

/// A rule whose path is a guess.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct GuessView {
    /// The profile's name.
    pub profile: Box<str>,
    /// The line of its file; 0: the whole profile is one.
    pub line: u32,
}

/// Decides as a session would that has just begun and finds everything as it was read last.
pub(super) fn decide(
    loaded: &Loaded,
    device: &Device,
    model: Option<&DataModel>,
    recalled: &Recalled,
    key: &[u8; 32],
    now: Timestamp,
) -> Decided {
    let empty = DataModel::new();
    let known = model.unwrap_or(&empty);
    let subject = Subject { root: root(known), ..subject(device) };
    let equipment = recalled.equipment.as_deref();
    let layers = loaded.set.layers(&subject, equipment);
    if layers.profiles.is_empty() {
        return Decided { layers, plan: Plan::default(), is_known: model.is_some() };
    }
    let none = serde_json::Value::Object(serde_json::Map::new());
    let values = loaded.values.get(&device.tenant).map_or(&none, |values| &**values);
    let wanted = layers.render(&subject, equipment, values, known);
    let circumstances = Circumstances {
        now,
        // What is known counts as read in this session: the plan is about what is known.
        session_began: Timestamp::UNIX_EPOCH,
        is_claimed: device.claimed,
        is_discovered: known.is_whole(),
        fingerprint: wanted.fingerprint(key),
        ..Circumstances::default()
    };
    let plan = provisioning::decide(&wanted, known, &recalled.held, circumstances);
    Decided { layers, plan, is_known: model.is_some() }
}

/// The root of a data model, by what is known of it.
fn root(known: &DataModel) -> &'static str {
    let has = |root: &str| known.get(root).is_some() || known.below(root).next().is_some();
    if has("InternetGatewayDevice.") { "InternetGatewayDevice." } else { "Device." }
}

impl Decided {
    /// As people see it.
    pub(super) fn view(&self, device: &Device) -> DevicePlan {
        DevicePlan {
            device: device.id.as_str().into(),
            model: model_of(device),
            profiles: self.layers.profiles.iter().map(|it| it.name.clone()).collect(),
            revision: self.layers.revision,
            claimed: device.claimed,
            known: self.is_known,
            guesses: Vec::new(),
            plan: PlanView::from(&self.plan),
        }
    }

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

    /// Whether anything would be changed on the device.
    pub(super) fn writes(&self) -> bool {
        self.plan.writes()
    }
}

/// What an operator calls the model: what it says, else its product class.
pub(super) fn model_of(device: &Device) -> Option<Box<str>> {
    device.facts.model.clone().or_else(|| device.facts.product_class.clone())
}
