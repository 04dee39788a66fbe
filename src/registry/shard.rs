//! Where the records lie: a slab for each shard and an index of identities over it.
//!
//! A device is never removed, so a [`Handle`] is good for the life of the process.

use super::record::Record;
use hashbrown::HashTable;
use model::Tenant;
use parking_lot::RwLock;

/// How many locks the devices are spread over: 7 bits of a handle. A growing index holds up the
/// sessions of one shard only.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 7;

/// Where a device's record lies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Handle(u32);

impl Handle {
    /// The device at `slot` of `shard`.
    pub(super) fn new(shard: u8, slot: usize) -> Self {
        let slot = u32::try_from(slot).ok().filter(|slot| slot.leading_zeros() >= SHARD_BITS);
        Self(slot.expect("no memory holds so many devices") << SHARD_BITS | u32::from(shard))
    }

    /// Which shard.
    pub(super) fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }

    fn slot(self) -> usize {
        (self.0 >> SHARD_BITS) as usize
    }
}

/// A hash taken apart: which shard, and what an index keeps so that it can grow without looking at
/// the records.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    shard: u8,
    short: u32,
}

impl Hash {
    /// Which shard.
    pub(super) fn shard(self) -> usize {
        usize::from(self.shard)
    }
}

impl From<u64> for Hash {
    fn from(hash: u64) -> Self {
        let [shard, _, _, _, short @ ..] = hash.to_le_bytes();
        Self { shard: shard >> (u8::BITS - SHARD_BITS), short: u32::from_le_bytes(short) }
    }
}

/// An index from short hashes to handles: 9 bytes an entry. What it finds must be verified.
#[derive(Default)]
pub(super) struct Index(HashTable<(u32, Handle)>);

impl Index {
    /// Every handle under this hash.
    pub(super) fn find(&self, hash: Hash) -> impl Iterator<Item = Handle> {
        let candidates = self.0.iter_hash(spread(hash.short));
        candidates.filter(move |entry| entry.0 == hash.short).map(|entry| entry.1)
    }

    pub(super) fn insert(&mut self, hash: Hash, handle: Handle) {
        self.0.insert_unique(spread(hash.short), (hash.short, handle), |entry| spread(entry.0));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn remove(&mut self, hash: Hash, handle: Handle) {
        let entry = self.0.find_entry(spread(hash.short), |it| *it == (hash.short, handle));
        if let Ok(entry) = entry {
            entry.remove();
        }
    }
}

/// hashbrown looks at the highest and the lowest bits.
fn spread(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}

/// Some of the devices.
#[derive(Default)]
pub(super) struct Shard {
    index: Index,
    records: Vec<Record>,
    /// What waits to be written behind: each device at most once, so no longer than `records`.
    pub(super) dirty: Vec<Handle>,
}

pub(super) type Shards = [RwLock<Shard>; SHARDS];

impl Shard {
    /// How many devices it holds.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Where a device lies.
    pub(super) fn find(&self, hash: Hash, tenant: &Tenant, id: &str) -> Option<Handle> {
        self.index.find(hash).find(|&handle| {
            self.record(handle).is_some_and(|it| it.packed.id() == id && it.tenant == *tenant)
        })
    }

    /// The handle that the next [`Shard::push`] will give out.
    pub(super) fn next(&self, hash: Hash) -> Handle {
        Handle::new(hash.shard, self.records.len())
    }

    /// Adds a device that is not there yet.
    pub(super) fn push(&mut self, hash: Hash, record: Record) -> Handle {
        let handle = self.next(hash);
        if self.records.len() == self.records.capacity() {
            // An eighth more rather than twice as much: a million records are 100 MB.
            self.records.reserve_exact((self.records.len() / 8).max(16));
        }
        self.records.push(record);
        self.index.insert(hash, handle);
        handle
    }

    /// The record; `None` while it is being made.
    pub(super) fn record(&self, handle: Handle) -> Option<&Record> {
        self.records.get(handle.slot())
    }

    /// The record, to be changed.
    pub(super) fn record_mut(&mut self, handle: Handle) -> Option<&mut Record> {
        self.records.get_mut(handle.slot())
    }

    /// The record of a device that was heard or met, which has to be written behind.
    pub(super) fn touch(&mut self, handle: Handle) -> Option<&mut Record> {
        let record = self.records.get_mut(handle.slot())?;
        if !record.dirty {
            record.dirty = true;
            self.dirty.push(handle);
        }
        Some(record)
    }
}
