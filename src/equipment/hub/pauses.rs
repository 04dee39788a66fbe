//! When a device's values are asked for again after the hub had none, or answered amiss: ever later, and
//! at the device's next Inform at the latest, which no pause holds up. What keeps a dead hub from
//! costing each session its time is the breaker.

use crate::clock::SystemRandom;
use model::{DeviceId, Random as _, Tenant};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause; it doubles with each failure.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(10);
/// The longest: most devices have called again by then.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Most devices whose failures are counted; those beyond it are put off by the first pause again.
const DEVICES_MAX: usize = 100_000;

/// Who is put off until when, and how often it was.
#[derive(Default)]
pub(super) struct Pauses(Mutex<HashMap<(Tenant, DeviceId), (Instant, u32)>>);

impl Pauses {
    /// It failed: puts the device off, by some chance so that many do not come back together.
    pub(super) fn failed(&self, tenant: &Tenant, device: &DeviceId) -> Duration {
        let mut pauses = self.0.lock();
        let now = Instant::now();
        if pauses.len() >= DEVICES_MAX {
            pauses.retain(|_, (until, _)| *until > now);
        }
        let key = (tenant.clone(), device.clone());
        let times = pauses.get(&key).map_or(0, |(_, times)| *times);
        let whole = PAUSE_MIN.saturating_mul(1 << times.min(16)).min(PAUSE_MAX);
        // At most a fifth less: 10 s are 8 to 10.
        let fifth = u64::try_from(whole.as_nanos() / 5).unwrap_or(u64::MAX).max(1);
        let pause = whole - Duration::from_nanos(SystemRandom.next_u64() % fifth);
        if pauses.len() < DEVICES_MAX || times > 0 {
            pauses.insert(key, (now + pause, times.saturating_add(1)));
        }
        pause
    }

    pub(super) fn clear(&self, tenant: &Tenant, device: &DeviceId) {
        let mut pauses = self.0.lock();
        if !pauses.is_empty() {
            pauses.remove(&(tenant.clone(), device.clone()));
        }
    }

    pub(super) fn clear_all(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_from_ten_seconds_to_ten_minutes() {
        let (pauses, tenant) = (Pauses::default(), Tenant::default());
        let device = DeviceId::cwmp("00259E", "HG8245", "1").unwrap();
        for whole in [10, 20, 40, 80, 160, 320, 600, 600] {
            let pause = pauses.failed(&tenant, &device);
            let whole = Duration::from_secs(whole);
            assert!(pause <= whole && pause > whole * 4 / 5, "{pause:?} of {whole:?}");
        }
        tokio::time::advance(PAUSE_MAX).await;
        pauses.failed(&tenant, &device);
        pauses.clear(&tenant, &device);
        assert!(pauses.failed(&tenant, &device) <= PAUSE_MIN, "from the beginning");
    }
}
