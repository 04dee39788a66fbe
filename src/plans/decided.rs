//! One device: what it should be against what is known of it, as people see it.

use crate::provisioner::{self, DryRun, Planned};
use crate::registry::Device;
use crate::upgrades::{Foresight, Upgrades};
use jiff::Timestamp;
use provisioning::{PlanView, Rule, WantedFirmware, Wish};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A device's plan before anyone looks at it.
pub(super) struct Decided {
    pub(super) planned: Planned,
    /// The firmware that it would be brought to.
    pub(super) firmware: Option<FirmwarePlan>,
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
    pub guesses: Vec<Rule>,
    /// What would be sent.
    #[serde(flatten)]
    pub plan: PlanView,
    /// The firmware that its profile or its equipment wants, where it runs another: it is given to it
    /// once all else is as wanted. Rollouts have calls of their own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub firmware: Option<FirmwarePlan>,
}

/// From which firmware a device would be brought to which.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FirmwarePlan {
    /// The version that it runs, as it says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Box<str>>,
    /// The version that is wanted.
    pub to: Box<str>,
    /// The catalogue's image that it would be given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<Box<str>>,
    /// Whether it was told already, and is at it.
    #[serde(default)]
    pub is_under_way: bool,
    /// Why it would not be given it now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub obstacle: Option<FirmwareObstacle>,
    /// Who asks for it.
    pub rule: Rule,
}

/// What stands between a device and its firmware.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FirmwareObstacle {
    /// A stable word: `no_values`, `no_image`, `other_version`, `other_content`, `not_signed`,
    /// `no_firmware`, `names_no_version`, `names_no_model`, `model_unknown`, `wrong_model`, `downgrade`,
    /// `failed_elsewhere`, `failed`, `window`, or the state of its rollout.
    pub code: Box<str>,
    /// The same in plain words.
    pub cause: Box<str>,
    /// When it is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
}

impl FirmwarePlan {
    /// Whether it would be given it: nothing stands in its way.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.obstacle.is_none()
    }
}

/// Decides as a session would that finds everything as it was read last.
pub(super) fn decide(known: &DryRun<'_>, upgrades: &Upgrades) -> Decided {
    let planned = provisioner::plan(known);
    let wanted = planned.firmware.as_ref();
    let firmware = wanted.and_then(|wanted| firmware(known, wanted, upgrades));
    Decided { planned, firmware }
}

/// What would become of a device's firmware.
fn firmware(
    known: &DryRun<'_>,
    wanted: &WantedFirmware,
    upgrades: &Upgrades,
) -> Option<FirmwarePlan> {
    let Foresight { image, is_under_way, hindrance } = upgrades.foresee(known.device, wanted)?;
    // Without its values a device is never as wanted, and firmware comes last.
    let no_values = known.equipment.is_none() && !is_under_way;
    let hindrance = if no_values { Some(("no_values", NO_VALUES.into(), None)) } else { hindrance };
    Some(FirmwarePlan {
        from: known.device.facts.software_version.clone(),
        to: wanted.version.clone(),
        image: image.map(|it| it.as_str().into()),
        is_under_way,
        obstacle: hindrance.map(|(code, cause, retry_at)| FirmwareObstacle {
            code: code.into(),
            cause,
            retry_at,
        }),
        rule: wanted.rule.clone(),
    })
}

const NO_VALUES: &str = "the business has said nothing of the device";

impl Decided {
    /// As people see it.
    pub(super) fn view(&self, device: &Device) -> DevicePlan {
        let planned = &self.planned;
        DevicePlan {
            device: device.id.as_str().into(),
            model: model_of(device),
            profiles: planned.profiles.clone(),
            revision: planned.revision,
            claimed: device.claimed,
            known: planned.is_known,
            guesses: planned.guesses.clone(),
            plan: PlanView::from(&planned.plan),
            firmware: self.firmware.clone(),
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

    /// The firmware that it would be given.
    pub(super) fn upgrade(&self) -> Option<&FirmwarePlan> {
        self.firmware.as_ref().filter(|it| it.is_due())
    }

    /// Whether anything would be changed on the device.
    pub(super) fn writes(&self) -> bool {
        self.planned.plan.writes() || self.upgrade().is_some()
    }
}

/// What an operator calls the model: what it says, else its product class.
pub(super) fn model_of(device: &Device) -> Option<Box<str>> {
    device.facts.model.clone().or_else(|| device.facts.product_class.clone())
}
