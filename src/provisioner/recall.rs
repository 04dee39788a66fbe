//! What is remembered of devices, for who plans.

use super::rounds::subject;
use super::{Kept, Provisioner};
use crate::plans::{Memory, Recalled};
use crate::registry::Device;
use async_trait::async_trait;
use futures_util::future::join_all;
use model::{DeviceId, Now, Tenant};
use provisioning::Equipment;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::debug;

/// Devices whose values are looked up at once: the store has a few readers.
const LOOK_UPS: usize = 8;

#[async_trait]
impl Memory for Provisioner {
    async fn recall(&self, tenant: &Tenant, devices: &[Device]) -> Vec<Recalled> {
        let ids: Vec<DeviceId> = devices.iter().map(|device| device.id.clone()).collect();
        let bodies = self.parts.store.provisions_of(tenant, &ids).await;
        let bodies = bodies.unwrap_or_else(|error| {
            debug!(%error, "what devices hold is not read; planned as though they held nothing");
            Vec::new()
        });
        let mut kept: HashMap<DeviceId, Kept> = bodies
            .into_iter()
            .map(|(device, body)| {
                let kept = Kept::read(&device, &body);
                (device, kept)
            })
            .collect();
        let now = self.parts.clock.now();
        let mut equipment = Vec::with_capacity(devices.len());
        for some in devices.chunks(LOOK_UPS) {
            let look_up = |device| self.peek(tenant, device, now);
            equipment.extend(join_all(some.iter().map(look_up)).await);
        }
        let each = devices.iter().zip(equipment);
        each.map(|(device, equipment)| {
            let waiting = self.behind.waiting(tenant, &device.id);
            let kept = waiting.or_else(|| kept.remove(&device.id)).unwrap_or_default();
            Recalled { held: kept.held, equipment }
        })
        .collect()
    }
}

impl Provisioner {
    async fn peek(&self, tenant: &Tenant, device: &Device, now: Now) -> Option<Arc<Equipment>> {
        self.parts.equipments.peek(tenant, &subject(device, ""), now).await
    }
}
