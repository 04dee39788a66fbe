//! What a change touches: every device in memory is looked at once, a few at a time.

use super::texts::Loaded;
use super::trial;
use crate::provisioner::subject;
use crate::registry::{Device, Filter, Registry};
use jiff::{SignedDuration, Timestamp};
use model::Protocol;
use provisioning::Layers;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Who was silent for longer is not waited for: whoever informs at all informs within a day.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// What a change of the profiles touches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Touched {
    /// Devices that were looked at.
    pub devices: usize,
    /// Those for which other profiles, or other values, hold than before.
    pub touched: usize,
    /// The least place of one of them in a trial of the new set.
    pub least: Option<u64>,
    /// How many of them are below the share's threshold.
    pub below: usize,
    /// How many of those were heard of in the last day.
    pub heard: usize,
    /// For how many devices each profile of the new set is.
    pub by_profile: BTreeMap<Box<str>, usize>,
}

impl Loaded {
    /// The profiles of a device by what is known of it, and not by its equipment.
    pub(crate) fn layers(&self, device: &Device) -> Layers {
        self.set.layers(&subject(device, ""), None)
    }

    /// Whether other profiles or other values hold for a device in `other` than here.
    pub(crate) fn differs(&self, other: &Self, device: &Device) -> bool {
        let (here, there) = (self.layers(device), other.layers(device));
        let has_any = !here.profiles.is_empty() || !there.profiles.is_empty();
        here.revision != there.revision
            || has_any && self.values.get(&device.tenant) != other.values.get(&device.tenant)
    }
}

/// Looks at every CPE. To be run where it stalls nobody: it takes some microseconds a device.
pub(super) fn sweep(
    registry: &Registry,
    settled: &Loaded,
    candidate: &Loaded,
    share: u32,
    now: Timestamp,
) -> Touched {
    let below = trial::threshold(share, None);
    let mut touched = Touched::default();
    let cwmp = Filter { protocol: Some(Protocol::Cwmp), ..Filter::default() };
    registry.for_each(&cwmp, |device| {
        touched.devices += 1;
        for profile in candidate.layers(&device).profiles {
            *touched.by_profile.entry(profile.name.clone()).or_default() += 1;
        }
        if settled.differs(candidate, &device) {
            let place = trial::place(candidate.revision, &device.tenant, &device.id);
            touched.touched += 1;
            touched.below += usize::from(place < below);
            let is_heard = device.last_seen_at.is_some_and(|at| now.duration_since(at) < LATELY);
            touched.heard += usize::from(place < below && is_heard);
            touched.least = Some(touched.least.map_or(place, |least| least.min(place)));
        }
        ControlFlow::Continue(())
    });
    touched
}
