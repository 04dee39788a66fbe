//! Which devices' data models are learned without anyone asking, and when again after it failed.

use dashmap::DashMap;
use model::{DeviceId, Monotonic, Tenant};
use std::time::Duration;

/// The pause after the first discovery that did not come to its end; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_secs(3_600);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(86_400);
/// Most devices that are remembered, some 100 bytes each; others are asked again in their next
/// session.
const REMEMBERED_MAX: usize = 100_000;

/// Discoveries that were begun and did not come to their end. A device that breaks on being asked
/// for its data model must not be asked in every session of its life.
#[derive(Debug, Default)]
pub(super) struct Discoveries(DashMap<(Tenant, DeviceId), Begun>);

#[derive(Clone, Copy, Debug)]
struct Begun {
    times: u32,
    /// Not again before.
    again: Monotonic,
}

impl Discoveries {
    /// Begins one, unless it is too early; it counts as failed until it has [ended](Self::ended).
    /// Says how many failed before.
    pub(super) fn begin(&self, tenant: &Tenant, device: &DeviceId, now: Monotonic) -> Option<u32> {
        let place = (tenant.clone(), device.clone());
        let times = match self.0.get(&place) {
            Some(begun) if now < begun.again => return None,
            Some(begun) => begun.times,
            None if self.0.len() >= REMEMBERED_MAX => return Some(0),
            None => 0,
        };
        let pause = PAUSE_MIN.saturating_mul(1 << times.min(16)).min(PAUSE_MAX);
        self.0.insert(place, Begun { times: times.saturating_add(1), again: now + pause });
        Some(times)
    }

    /// One came to its end.
    pub(super) fn ended(&self, tenant: &Tenant, device: &DeviceId) {
        self.0.remove(&(tenant.clone(), device.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_end_is_begun_again_more_and_more_seldom() {
        let discoveries = Discoveries::default();
        let (tenant, device) = (Tenant::default(), DeviceId::cwmp("00259E", "X", "1").unwrap());
        let hour = |hours: u64| Monotonic::ZERO + Duration::from_secs(hours * 3_600);
        let begin = |hours| discoveries.begin(&tenant, &device, hour(hours));
        let begun: Vec<(u64, u32)> =
            (0..100).filter_map(|hours| Some((hours, begin(hours)?))).collect();
        let expected = [(0, 0), (1, 1), (3, 2), (7, 3), (15, 4), (31, 5), (55, 6), (79, 7)];
        assert_eq!(begun, expected);
        let other = DeviceId::cwmp("00259E", "X", "2").unwrap();
        assert_eq!(
            discoveries.begin(&tenant, &other, hour(1)),
            Some(0),
            "others do not wait for it"
        );
        assert_eq!(begin(100), None);
        discoveries.ended(&tenant, &device);
        assert_eq!(begin(100), Some(0), "after a factory reset it is learned at once");
    }
}
