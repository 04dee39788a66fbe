//! Which state of the values each device was given, and until when it holds: 24 bytes a device.

use model::{DeviceId, Monotonic, Tenant};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

const SHARDS: usize = 16;
/// Most devices that are remembered: twice as many as a registry is made for. One beyond takes the
/// place of another, which is then looked up once more.
const DEVICES_MAX: usize = 2_000_000;

/// Counters of changes in one shard, each for the devices of some hashes.
const COUNTERS: usize = 4_096;

/// A state and its end.
type Entry = (u64, Monotonic);

/// What is remembered of the devices of some hashes.
struct Shard {
    entries: HashMap<u64, Entry>,
    /// How often devices were forgotten. Two that share a counter only make each other be looked up
    /// once more.
    changes: Box<[u32]>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { entries: HashMap::new(), changes: vec![0; COUNTERS].into() }
    }
}

impl Shard {
    fn changes(&mut self, hash: u64) -> &mut u32 {
        let index = (hash / SHARDS as u64) % COUNTERS as u64;
        &mut self.changes[usize::try_from(index).expect("less than the counters")]
    }
}

/// By the hash of the device, under a key of this process. Two devices of one hash (one chance in ten
/// million among a million devices) only make each other be looked up.
pub(super) struct Fresh {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Fresh {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { hasher: RandomState::new(), shards }
    }
}

impl Fresh {
    fn place(&self, tenant: &Tenant, device: &DeviceId) -> (&Mutex<Shard>, u64) {
        let hash = self.hasher.hash_one((tenant.as_str(), device.as_str()));
        // The low bits choose the shard: maps use the high ones.
        let shard = usize::try_from(hash % SHARDS as u64).expect("less than the shards");
        (&self.shards[shard], hash)
    }

    pub(super) fn get(&self, tenant: &Tenant, device: &DeviceId) -> Option<Entry> {
        let (shard, hash) = self.place(tenant, device);
        shard.lock().entries.get(&hash).copied()
    }

    /// Counts the changes of what a device is to be given: another number, and what was asked for
    /// before is old.
    pub(super) fn changes(&self, tenant: &Tenant, device: &DeviceId) -> u32 {
        let (shard, hash) = self.place(tenant, device);
        *shard.lock().changes(hash)
    }

    /// Remembers what a device was given, unless that has changed since it was asked for.
    pub(super) fn put(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        (version, until): Entry,
        changes: u32,
    ) {
        let (shard, hash) = self.place(tenant, device);
        let mut shard = shard.lock();
        if *shard.changes(hash) != changes {
            return;
        }
        let entries = &mut shard.entries;
        if entries.len() >= DEVICES_MAX / SHARDS
            && !entries.contains_key(&hash)
            && let Some(other) = entries.keys().next().copied()
        {
            entries.remove(&other);
        }
        entries.insert(hash, (version, until));
    }

    /// What the device is to be given has changed.
    pub(super) fn remove(&self, tenant: &Tenant, device: &DeviceId) {
        let (shard, hash) = self.place(tenant, device);
        let mut shard = shard.lock();
        shard.entries.remove(&hash);
        let changes = shard.changes(hash);
        *changes = changes.wrapping_add(1);
    }
}
