//! The devices whose events wait behind one that a sink would not take.

use model::{DeviceId, Tenant};
use std::collections::{HashMap, HashSet};

/// A set of devices. Bounded by the number of dead letters, and those by the store's quota.
#[derive(Debug, Default)]
pub(super) struct ParkedDevices(HashMap<Tenant, HashSet<DeviceId>>);

impl ParkedDevices {
    pub(super) fn holds(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        // Nearly always empty, and asked for every event.
        !self.0.is_empty() && self.0.get(tenant).is_some_and(|devices| devices.contains(device))
    }

    pub(super) fn add(&mut self, tenant: &Tenant, device: &DeviceId) {
        self.0.entry(tenant.clone()).or_default().insert(device.clone());
    }

    pub(super) fn remove(&mut self, tenant: &Tenant, device: &DeviceId) {
        if let Some(devices) = self.0.get_mut(tenant) {
            devices.remove(device);
            if devices.is_empty() {
                self.0.remove(tenant);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }
}
