//! How many transfers there may be at once: of all devices, and of one.

use super::metrics::{Direction, Metrics};
use model::{DeviceId, Tenant};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Transfers of one device in one direction: a CPE that fetches in parts uses two or three at once;
/// a stolen address shall not take every place there is.
const PER_DEVICE_MAX: u32 = 4;

type Devices = Arc<Mutex<HashMap<(Tenant, DeviceId), u32>>>;

/// Where transfers of one direction enter.
#[derive(Debug)]
pub(super) struct Gate {
    direction: Direction,
    places: Arc<Semaphore>,
    devices: Devices,
    metrics: Metrics,
}

impl Gate {
    pub(super) fn new(direction: Direction, places: usize, metrics: Metrics) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { direction, places, devices: Devices::default(), metrics }
    }

    /// Whether a device has a transfer under way.
    pub(super) fn is_inside(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        devices.contains_key(&(tenant.clone(), device.clone()))
    }

    /// Lets a device's transfer in, or says in a word why not.
    pub(super) fn enter(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Transfer, &'static str> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| "transfers_max")?;
        let key = (tenant.clone(), device.clone());
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let count = devices.entry(key.clone()).or_insert(0);
        if *count >= PER_DEVICE_MAX {
            return Err("transfers_of_device_max");
        }
        *count += 1;
        drop(devices);
        self.metrics.began(self.direction);
        Ok(Transfer {
            direction: self.direction,
            devices: Arc::clone(&self.devices),
            key,
            metrics: self.metrics.clone(),
            outcome: "broken",
            _place: place,
        })
    }
}

/// One transfer under way. Dropped before its end is told, it counts as broken off.
#[derive(Debug)]
pub(crate) struct Transfer {
    direction: Direction,
    devices: Devices,
    key: (Tenant, DeviceId),
    metrics: Metrics,
    outcome: &'static str,
    _place: OwnedSemaphorePermit,
}

impl Transfer {
    /// Bytes that were carried.
    pub(crate) fn carried(&self, bytes: u64) {
        self.metrics.carried(self.direction, bytes);
    }

    /// How it ends, in a word for metrics.
    pub(crate) fn ends(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = devices.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                devices.remove(&self.key);
            }
        }
        drop(devices);
        self.metrics.over(self.direction);
        self.metrics.ended(self.direction, self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_all_nor_one_device_goes_beyond_its_bound() {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let gate = Gate::new(Direction::Download, 5, metrics);
        let tenant = Tenant::default();
        let device = |serial: &str| DeviceId::cwmp("00259E", "", serial).unwrap();
        let mut inside: Vec<_> =
            (0..4).map(|_| gate.enter(&tenant, &device("1")).unwrap()).collect();
        assert_eq!(gate.enter(&tenant, &device("1")).unwrap_err(), "transfers_of_device_max");
        inside.push(gate.enter(&tenant, &device("2")).unwrap());
        assert_eq!(gate.enter(&tenant, &device("3")).unwrap_err(), "transfers_max");
        inside.clear();
        assert!(gate.devices.lock().unwrap().is_empty(), "nothing is remembered of who left");
        assert!(gate.enter(&tenant, &device("1")).is_ok());
    }
}
