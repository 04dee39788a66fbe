//! Every device that was ever met, in memory: a cache of what devices said and the store keeps.
//!
//! For sessions and the API, so that neither reads the store to know a device. Built for a million
//! devices with five aliases each in well under 1 GB: texts that devices share are kept once, the
//! rest of a device in one allocation, and the indexes hold hashes and handles, not copies of keys.
//!
//! It never reads a clock, a file or the store, and awaits nothing. What is kept of time is in
//! microseconds. Changes ([`Registry::apply`], [`Registry::apply_operation`]) take turns; they must
//! come in the order in which they were committed. What only reads, and [`Registry::seen`], waits
//! for no change but for the shard of its device.
//!
//! Locks are taken in this order, and none is held when a function returns: the turn of changes; a
//! tenant's owners or roster; a shard of devices; symbols or the watch. A shard of names is held
//! alone.

mod change;
mod device;
mod list;
mod mark;
mod packed;
mod record;
mod roster;
mod shard;
mod silence;
mod symbols;

#[cfg(test)]
mod tests;

pub use device::{Device, Filter, Part};
pub use mark::{Mark, Requested};

use crate::store::{CustomerRow, Kept, Seen};
use jiff::Timestamp;
use model::{Alias, AliasKind, DeviceFacts, DeviceId, Redacted, Tenant};
use parking_lot::{Mutex, RwLock};
use provisioning::Standing;
use record::{Micros, Record, timestamp};
use roster::Roster;
use shard::{Handle, Hash, Index, SHARDS, Shards};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// The registry. Shared as `Arc<Registry>`.
pub struct Registry {
    hasher: RandomState,
    shards: Box<Shards>,
    /// From the hash of an alias to the device that has it.
    names: Box<[RwLock<Index>; SHARDS]>,
    realms: RwLock<HashMap<Tenant, Arc<Realm>>>,
    symbols: symbols::Symbols,
    watch: silence::Watch,
    /// The newest instant that we were told.
    clock: AtomicI64,
    /// Where [`Registry::take_dirty`] goes on.
    dirty_shard: AtomicUsize,
    alias_conflicts: AtomicU64,
    /// How many devices stand how to what they should be.
    standings: [AtomicI64; Standing::ALL.len()],
    /// Changes take turns; the content is room to pack a record in.
    turn: Mutex<Vec<u8>>,
}

/// What belongs to one tenant.
#[derive(Default)]
struct Realm {
    roster: RwLock<Roster>,
    owners: RwLock<HashMap<Box<str>, Owner>>,
}

/// A customer, or one who owns devices and whose row has not been loaded yet.
#[derive(Default)]
struct Owner {
    row: Option<(Option<Redacted<Box<str>>>, Timestamp)>,
    devices: Vec<Handle>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({} devices)", self.len())
    }
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: Box::new(std::array::from_fn(|_| RwLock::default())),
            names: Box::new(std::array::from_fn(|_| RwLock::default())),
            realms: RwLock::default(),
            symbols: symbols::Symbols::default(),
            watch: silence::Watch::default(),
            clock: AtomicI64::new(Micros::MIN),
            dirty_shard: AtomicUsize::new(0),
            alias_conflicts: AtomicU64::new(0),
            standings: std::array::from_fn(|_| AtomicI64::new(0)),
            turn: Mutex::default(),
        }
    }

    /// How many devices there are, of all tenants.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tenants that have a device or a customer, in order.
    pub fn tenants(&self) -> Vec<Tenant> {
        let mut tenants: Vec<_> = self.realms.read().keys().cloned().collect();
        tenants.sort_unstable();
        tenants
    }

    /// How often a device said an alias that another holds, and was not given it.
    pub fn alias_conflicts(&self) -> u64 {
        self.alias_conflicts.load(Ordering::Relaxed)
    }

    /// A device as it stands.
    pub fn get(&self, tenant: &Tenant, id: &DeviceId) -> Option<Device> {
        self.read(tenant, id, |record, table| self.snapshot(record, table))
    }

    /// Whether the device is known.
    pub fn knows(&self, tenant: &Tenant, id: &DeviceId) -> bool {
        self.read(tenant, id, |_, _| ()).is_some()
    }

    /// What a device said of itself.
    pub fn facts(&self, tenant: &Tenant, id: &DeviceId) -> Option<DeviceFacts> {
        self.read(tenant, id, |record, table| {
            record.packed.facts(table, record.periodic_interval_s)
        })
    }

    /// The group that a device is in.
    pub fn group(&self, tenant: &Tenant, id: &DeviceId) -> Option<Box<str>> {
        self.read(tenant, id, |record, table| record.packed.group(table).map(Into::into))?
    }

    /// Whether `newer` says nothing that is not known, so that it is no event; `None` when the
    /// device is unknown. An alias that another device holds is no news: it would not be given.
    pub fn covers(&self, tenant: &Tenant, id: &DeviceId, newer: &DeviceFacts) -> Option<bool> {
        let (covers, strangers) = self.read(tenant, id, |record, table| {
            let interval = newer.periodic_interval_s;
            let covers = (interval.is_none() || interval == record.periodic_interval_s)
                && record.packed.covers_texts(table, newer);
            let unknown = |alias: &&Alias| !record.packed.has_alias(table, alias);
            let full = record.packed.aliases(table) >= change::ALIASES_MAX;
            let strangers: Vec<_> = match covers && !full {
                true => newer.aliases.iter().filter(unknown).collect(),
                false => Vec::new(),
            };
            (covers, strangers)
        })?;
        Some(covers && strangers.into_iter().all(|alias| self.holder(tenant, alias).is_some()))
    }

    /// The device that has this name.
    pub fn by_alias(&self, tenant: &Tenant, alias: &Alias) -> Option<DeviceId> {
        self.holder(tenant, alias).and_then(|handle| self.id_of(handle))
    }

    /// The device that someone may mean by `text`: an identity; `kind:value`; any sort of alias, a
    /// modem's or a subscriber's number standing for the identity made of it too.
    pub fn resolve(&self, tenant: &Tenant, text: &str) -> Option<DeviceId> {
        if let Some(id) = DeviceId::parse(text).ok().filter(|id| self.knows(tenant, id)) {
            return Some(id);
        }
        let named = text.split_once(':').and_then(|(kind, value)| {
            let alias = Alias::new(AliasKind::parse(kind)?, value).ok()?;
            self.by_alias(tenant, &alias)
        });
        named.or_else(|| {
            Alias::guesses(text).find_map(|alias| {
                let id = match alias.kind() {
                    AliasKind::Imei => DeviceId::imei(alias.value()).ok(),
                    AliasKind::Msisdn => DeviceId::msisdn(alias.value()).ok(),
                    _ => None,
                };
                let id = id.filter(|id| self.knows(tenant, id));
                id.or_else(|| self.by_alias(tenant, &alias))
            })
        })
    }

    /// How we sign in to a device when waking it, sealed.
    pub fn connection_request(&self, tenant: &Tenant, id: &DeviceId) -> Option<Redacted<Vec<u8>>> {
        self.read(tenant, id, |record, table| {
            record.packed.connection_request(table).map(|sealed| Redacted(sealed.into()))
        })?
    }

    /// A device was heard at `at`. Volatile: it is written behind. Costs one shard's lock; no
    /// effect on a device that is not known, so a new one is applied first.
    pub fn seen(&self, tenant: &Tenant, id: &DeviceId, at: Timestamp, address: Option<IpAddr>) {
        let at = at.as_microsecond();
        self.clock.fetch_max(at, Ordering::Relaxed);
        self.touch(tenant, id, |handle, record| self.hear(handle, record, at, address));
    }

    /// A board's MQTT connection began (then it was heard, too) or ended.
    pub fn set_connected(&self, tenant: &Tenant, id: &DeviceId, connected: bool, at: Timestamp) {
        let at = at.as_microsecond();
        self.clock.fetch_max(at, Ordering::Relaxed);
        self.touch(tenant, id, |handle, record| {
            record.connected = connected;
            if connected {
                self.hear(handle, record, at, None);
            }
        });
    }

    /// A CPE answered a connection request at `at`: it is online for a minute, informed or not.
    pub fn set_awake(&self, tenant: &Tenant, id: &DeviceId, at: Timestamp) {
        let at = at.as_microsecond();
        self.clock.fetch_max(at, Ordering::Relaxed);
        let hash = self.hash_id(tenant, id.as_str());
        let mut shard = self.shards[hash.shard()].write();
        let found = shard.find(hash, tenant, id.as_str());
        if let Some(record) = found.and_then(|handle| shard.record_mut(handle)) {
            record.awake_at = record.awake_at.max(Some(at));
        }
    }

    /// How much the store keeps of a device's data model.
    pub fn data_model(&self, tenant: &Tenant, id: &DeviceId) -> Kept {
        self.read(tenant, id, |record, _| record.data_model).unwrap_or_default()
    }

    /// The store keeps so much of a device's data model from now on.
    pub fn set_data_model(&self, tenant: &Tenant, id: &DeviceId, kept: Kept) {
        let hash = self.hash_id(tenant, id.as_str());
        let mut shard = self.shards[hash.shard()].write();
        let found = shard.find(hash, tenant, id.as_str());
        if let Some(record) = found.and_then(|handle| shard.record_mut(handle)) {
            record.data_model = kept;
        }
    }

    /// Takes what was seen and is to be written behind: each device once, at most `max`.
    pub fn take_dirty(&self, max: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..SHARDS {
            if seen.len() >= max {
                break;
            }
            let index = self.dirty_shard.load(Ordering::Relaxed) % SHARDS;
            let mut shard = self.shards[index].write();
            while let Some(handle) = (seen.len() < max).then(|| shard.dirty.pop()).flatten() {
                let Some(record) = shard.record_mut(handle) else { continue };
                record.dirty = false;
                let Some(at) = record.last_seen_at.map(timestamp) else { continue };
                let (tenant, address) = (record.tenant.clone(), record.address);
                seen.push(Seen { tenant, device: device_id(record), at, address });
            }
            if shard.dirty.is_empty() {
                self.dirty_shard.store(index + 1, Ordering::Relaxed);
            }
        }
        seen
    }

    /// A customer.
    pub fn customer(&self, tenant: &Tenant, id: &str) -> Option<CustomerRow> {
        let realm = self.realm(tenant)?;
        let owners = realm.owners.read();
        let (name, created_at) = owners.get(id)?.row.clone()?;
        Some(CustomerRow { tenant: tenant.clone(), id: id.into(), name, created_at })
    }

    /// The devices that a customer owns, in the order of their identities.
    pub fn devices_of(&self, tenant: &Tenant, customer: &str) -> Vec<DeviceId> {
        let Some(realm) = self.realm(tenant) else { return Vec::new() };
        let devices = realm.owners.read().get(customer).map(|owner| owner.devices.clone());
        devices.into_iter().flatten().filter_map(|handle| self.id_of(handle)).collect()
    }
}

/// What the rest is made of.
impl Registry {
    fn hear(&self, handle: Handle, record: &mut Record, at: Micros, address: Option<IpAddr>) {
        if record.last_seen_at <= Some(at) {
            record.last_seen_at = Some(at);
            record.address = address.or(record.address);
        }
        record.restored = false;
        self.watch.keep(handle, record);
    }

    fn touch(&self, tenant: &Tenant, id: &DeviceId, change: impl FnOnce(Handle, &mut Record)) {
        let hash = self.hash_id(tenant, id.as_str());
        let mut shard = self.shards[hash.shard()].write();
        if let Some(handle) = shard.find(hash, tenant, id.as_str())
            && let Some(record) = shard.touch(handle)
        {
            change(handle, record);
        }
    }

    fn read<T>(
        &self,
        tenant: &Tenant,
        id: &DeviceId,
        look: impl FnOnce(&Record, &symbols::Table) -> T,
    ) -> Option<T> {
        let hash = self.hash_id(tenant, id.as_str());
        let shard = self.shards[hash.shard()].read();
        let record = shard.record(shard.find(hash, tenant, id.as_str())?)?;
        Some(look(record, &self.symbols.read()))
    }

    fn read_at<T>(
        &self,
        handle: Handle,
        look: impl FnOnce(&Record, &symbols::Table) -> T,
    ) -> Option<T> {
        let shard = self.shards[handle.shard()].read();
        Some(look(shard.record(handle)?, &self.symbols.read()))
    }

    fn snapshot(&self, record: &Record, table: &symbols::Table) -> Device {
        let parts = record.packed.parts(table, record.periodic_interval_s);
        Device {
            tenant: record.tenant.clone(),
            id: device_id(record),
            facts: parts.facts,
            customer: parts.customer,
            tags: parts.tags,
            group: parts.group,
            created_at: timestamp(record.created_at),
            last_seen_at: record.last_seen_at.map(timestamp),
            address: record.address,
            online: record.online(self.clock.load(Ordering::Relaxed)),
            connected: record.connected,
            claimed: record.claimed,
            has_connection_request: parts.connection_request.is_some(),
        }
    }

    /// The device that has this alias. What the index finds by hash is verified in the record,
    /// under another lock: a change may come between, and then it has no holder for that instant.
    fn holder(&self, tenant: &Tenant, alias: &Alias) -> Option<Handle> {
        let hash = self.hash_alias(tenant, alias);
        let candidates: Vec<_> = self.names[hash.shard()].read().find(hash).collect();
        candidates.into_iter().find(|&handle| self.holds(handle, tenant, alias))
    }

    fn holds(&self, handle: Handle, tenant: &Tenant, alias: &Alias) -> bool {
        let holds = self.read_at(handle, |record, table| {
            record.tenant == *tenant && record.packed.has_alias(table, alias)
        });
        holds.unwrap_or(false)
    }

    /// How a device stands to `id` in the order of identities.
    fn compare(&self, handle: Handle, id: &str) -> std::cmp::Ordering {
        let shard = self.shards[handle.shard()].read();
        // One that is being made stands nowhere yet, so that nobody compares with it.
        shard.record(handle).map_or(std::cmp::Ordering::Less, |it| it.packed.id().cmp(id))
    }

    fn id_of(&self, handle: Handle) -> Option<DeviceId> {
        self.shards[handle.shard()].read().record(handle).map(device_id)
    }

    fn realm(&self, tenant: &Tenant) -> Option<Arc<Realm>> {
        self.realms.read().get(tenant).cloned()
    }

    fn set_clock(&self, now: Micros) {
        // Not the greater of both: when the wall clock was set back, so is ours.
        self.clock.store(now, Ordering::Relaxed);
    }

    fn hash_id(&self, tenant: &Tenant, id: &str) -> Hash {
        self.hash(tenant, 0, id)
    }

    fn hash_alias(&self, tenant: &Tenant, alias: &Alias) -> Hash {
        self.hash(tenant, alias.kind() as u8, alias.value())
    }

    fn hash(&self, tenant: &Tenant, kind: u8, value: &str) -> Hash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(tenant.as_str().as_bytes());
        // No tenant's name holds a control character: it separates.
        hasher.write_u8(kind);
        hasher.write(value.as_bytes());
        hasher.finish().into()
    }
}

fn device_id(record: &Record) -> DeviceId {
    DeviceId::parse(record.packed.id())
        .expect("an identity was packed, and parses as it is spelled")
}
