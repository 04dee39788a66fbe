//! What is remembered of devices beside the registry and their data models.

use crate::registry::Device;
use async_trait::async_trait;
use model::Tenant;
use provisioning::{Equipment, Held};
use std::sync::Arc;

/// What is remembered of one device.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// What it took, and what it would not.
    pub held: Held,
    /// What the business said of it last.
    pub equipment: Option<Arc<Equipment>>,
}

impl Recalled {
    /// As though its equipment named this profile.
    pub(super) fn name_profile(&mut self, name: &str, device: &Device) {
        let mut equipment = self.equipment.as_deref().cloned().unwrap_or_default();
        if equipment.serial.is_empty() {
            equipment.serial = device.facts.serial.as_deref().unwrap_or_default().to_owned();
        }
        equipment.profile = Some(name.to_owned());
        self.equipment = Some(Arc::new(equipment));
    }
}

/// Whoever remembers it. Never asks a device or the business.
#[async_trait]
pub trait Memory: Send + Sync + 'static {
    /// What is remembered of each of these devices, in their order.
    async fn recall(&self, tenant: &Tenant, devices: &[Device]) -> Vec<Recalled>;
}

/// Remembers nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoMemory;

#[async_trait]
impl Memory for NoMemory {
    async fn recall(&self, _tenant: &Tenant, devices: &[Device]) -> Vec<Recalled> {
        vec![Recalled::default(); devices.len()]
    }
}
