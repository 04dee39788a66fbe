//! Asking the business again for the values of devices that wait for them, so that a device that can
//! be woken does not wait for its next Inform.

use super::rounds::subject;
use super::{Provisioner, Reason};
use crate::equipment::Values;
use crate::shutdown::Stage;
use jiff::Timestamp;
use model::{DeviceId, Tenant};
use parking_lot::Mutex;
use provisioning::Standing;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Most devices that are asked for again, some 150 bytes each; the others wait for their Inform.
const WAITING_MAX: usize = 50_000;
/// Most that are asked for in one look: the business is not to be flooded when it comes back.
const LOOK_MAX: usize = 32;
/// How often it is looked who is due.
const TICK: Duration = Duration::from_secs(1);

type Key = (Tenant, DeviceId);

/// Who is to be asked for when.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    order: BinaryHeap<Reverse<(Timestamp, Key)>>,
    devices: HashSet<Key>,
}

impl Retries {
    /// The device is asked for again then; once, however often this is said.
    pub(super) fn put(&self, tenant: &Tenant, device: &DeviceId, at: Timestamp) {
        let mut waiting = self.0.lock();
        let key = (tenant.clone(), device.clone());
        if waiting.devices.len() < WAITING_MAX && waiting.devices.insert(key.clone()) {
            waiting.order.push(Reverse((at, key)));
        }
    }

    /// Takes out who is due.
    fn due(&self, now: Timestamp) -> Vec<Key> {
        let mut waiting = self.0.lock();
        let mut due = Vec::new();
        while due.len() < LOOK_MAX
            && waiting.order.peek().is_some_and(|Reverse((at, _))| *at <= now)
            && let Some(Reverse((_, key))) = waiting.order.pop()
        {
            waiting.devices.remove(&key);
            due.push(key);
        }
        due
    }
}

impl Provisioner {
    /// Asks again for values as they are due, until the stage stops.
    pub async fn keep_asking(self: Arc<Self>, stage: Stage) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => return,
            }
            for (tenant, device) in self.retries.due(self.parts.clock.now().wall) {
                tokio::select! {
                    () = self.ask_again(&tenant, &device) => {}
                    () = stage.stop().cancelled() => return,
                }
            }
        }
    }

    async fn ask_again(&self, tenant: &Tenant, device: &DeviceId) {
        // It may have come by itself meanwhile.
        if self.standing(tenant, device) != Standing::AwaitingValues {
            return;
        }
        let Some(device) = self.parts.registry.get(tenant, device) else { return };
        let now = self.parts.clock.now();
        match self.parts.equipments.values(tenant, &subject(&device, ""), now).await {
            Values::NotReady { retry_at } | Values::Unavailable { retry_at } => {
                self.retries.put(tenant, &device.id, retry_at);
            }
            Values::Known { .. } | Values::Unknown | Values::Taken { .. } => {
                self.request(tenant, &device.id, Reason::Values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_comes_in_order_and_once() {
        let retries = Retries::default();
        let tenant = Tenant::default();
        let device = |n: usize| DeviceId::parse(&format!("cwmp:00D09E-{n}")).unwrap();
        let at = |second: usize| Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
        for n in [3, 1, 2, 1] {
            retries.put(&tenant, &device(n), at(n));
        }
        let due = |now| -> Vec<DeviceId> {
            retries.due(at(now)).into_iter().map(|(_, device)| device).collect()
        };
        assert_eq!(due(0), []);
        assert_eq!(due(2), [device(1), device(2)]);
        retries.put(&tenant, &device(1), at(4));
        assert_eq!(due(9), [device(3), device(1)]);
        for n in 0..WAITING_MAX + 10 {
            retries.put(&tenant, &device(n), at(n));
        }
        assert_eq!(retries.0.lock().order.len(), WAITING_MAX);
        assert_eq!(due(WAITING_MAX).len(), LOOK_MAX);
    }
}
