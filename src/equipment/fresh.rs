//! Which state of the values each device was given, and until when it holds: 24 bytes a device.

use model::{DeviceId, Monotonic, Tenant};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

const SHARDS: usize = 16;
/// Most devices that are remembered: twice as many as a registry is made for. One beyond takes the
/// place of another, which is then looked up once more.
const DEVICES_MAX: usize = 2_000_000;

/// A state and its end.
type Entry = (u64, Monotonic);

/// By the hash of the device, under a key of this process. Two devices of one hash (one chance in ten
/// million among a million devices) only make each other be looked up.
pub(super) struct Fresh {
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
}

impl Default for Fresh {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { hasher: RandomState::new(), shards }
    }
}

impl Fresh {
    fn place(&self, tenant: &Tenant, device: &DeviceId) -> (&Mutex<HashMap<u64, Entry>>, u64) {
        let hash = self.hasher.hash_one((tenant.as_str(), device.as_str()));
        // The low bits choose the shard: maps use the high ones.
        let shard = usize::try_from(hash % SHARDS as u64).expect("less than the shards");
        (&self.shards[shard], hash)
    }

    pub(super) fn get(&self, tenant: &Tenant, device: &DeviceId) -> Option<Entry> {
        let (shard, hash) = self.place(tenant, device);
        shard.lock().get(&hash).copied()
    }

    pub(super) fn put(&self, tenant: &Tenant, device: &DeviceId, version: u64, until: Monotonic) {
        let (shard, hash) = self.place(tenant, device);
        let mut shard = shard.lock();
        if shard.len() >= DEVICES_MAX / SHARDS
            && !shard.contains_key(&hash)
            && let Some(other) = shard.keys().next().copied()
        {
            shard.remove(&other);
        }
        shard.insert(hash, (version, until));
    }

    pub(super) fn remove(&self, tenant: &Tenant, device: &DeviceId) {
        let (shard, hash) = self.place(tenant, device);
        shard.lock().remove(&hash);
    }
}
