//! What changes the registry for good: rows at start, then events and operations once they are
//! committed. Changes take turns, so that what is free stays free until it is taken.

use super::packed::{Packed, Parts};
use super::record::Record;
use super::shard::{Handle, Hash};
use super::{Mark, Realm, Registry};
use crate::store::{CustomerRow, DeviceRow, Kept, Operation};
use jiff::Timestamp;
use model::{Alias, DeviceFacts, DeviceId, Event, Redacted, Tenant};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Names of one device, at most; what it says beyond them is passed over. A real one has some five.
pub(super) const ALIASES_MAX: usize = 64;

/// A device while it is changed.
#[derive(Clone, Default)]
struct Draft {
    parts: Parts,
    claimed: bool,
}

impl Registry {
    /// Takes over rows of the store, a page at a time and best in the order of (tenant, id): at
    /// start, before anything else is asked or applied.
    pub fn load(&self, rows: impl IntoIterator<Item = DeviceRow>) {
        for row in rows {
            let DeviceRow { facts, customer, tags, group, connection_request, claimed, .. } = row;
            let handle = self.change(&row.tenant, &row.id, Some(row.created_at), |draft| {
                let parts = Parts { facts, customer, tags, group, connection_request };
                *draft = Draft { parts, claimed };
            });
            self.set_data_model(&row.tenant, &row.id, row.data_model);
            let heard = row.last_seen_at.map(Timestamp::as_microsecond);
            let (Some(handle), Some(heard)) = (handle, heard) else { continue };
            self.watch.restored(heard);
            let mut shard = self.shards[handle.shard()].write();
            let Some(record) = shard.record_mut(handle) else { continue };
            record.last_seen_at = Some(heard);
            record.address = row.address;
            record.restored = true;
            self.watch.keep(handle, record);
        }
    }

    /// Takes over customers of the store.
    pub fn load_customers(&self, rows: impl IntoIterator<Item = CustomerRow>) {
        for row in rows {
            self.put_customer(&row);
        }
    }

    /// Takes over what a committed event says of its device, which is made if it is unknown. An
    /// alias that another device holds stays with it. To be called in the order of the commits.
    pub fn apply(&self, event: &Event) {
        let Some(facts) = &event.facts else { return };
        self.merge_facts(&event.tenant, &event.device, facts, event.time);
    }

    /// Takes over a committed operation, in the order of the commits. Those that are no business of
    /// the registry have no effect.
    pub fn apply_operation(&self, operation: &Operation) {
        match operation {
            Operation::PutCustomer(row) => self.put_customer(row),
            Operation::SetOwner { tenant, device, customer, at } => {
                self.change(tenant, device, Some(*at), |draft| {
                    draft.parts.customer.clone_from(customer);
                });
            }
            Operation::PutAlias { tenant, device, alias } => {
                self.set_alias(tenant, device, alias, true);
            }
            Operation::RemoveAlias { tenant, device, alias } => {
                self.set_alias(tenant, device, alias, false);
            }
            Operation::SetTag { tenant, device, tag, present } => {
                self.set_tag(tenant, device, tag, *present);
            }
            Operation::SetGroup { tenant, device, group } => self.set_group(tenant, device, group),
            Operation::PutDevice { tenant, device, facts, at } => {
                self.merge_facts(tenant, device, facts, *at);
            }
            Operation::Claim { tenant, device } => self.set_claimed(tenant, device),
            Operation::SetConnectionRequest { tenant, device, sealed } => {
                self.set_connection_request(tenant, device, sealed);
            }
            Operation::PutDataModel { tenant, device, is_whole, .. } => {
                self.set_data_model(tenant, device, Kept::of(*is_whole));
            }
            Operation::RemoveDataModel { tenant, device } => {
                self.set_data_model(tenant, device, Kept::Nothing);
            }
            Operation::PutProvision(row) => {
                self.settle_mark(&row.tenant, &row.device, Mark::kept(row.mark));
            }
            Operation::CreateCommand { .. }
            | Operation::ChangeCommand { .. }
            | Operation::PutCredential(_)
            | Operation::ConfirmCredential { .. }
            | Operation::RemoveCredential { .. }
            | Operation::PutToken(_)
            | Operation::RevokeToken { .. }
            | Operation::Steer(_)
            | Operation::Mqtt(_)
            | Operation::Audit(_)
            | Operation::Firmware(_)
            | Operation::Seen(_)
            | Operation::PutCursor { .. }
            | Operation::PrepareBatches { .. }
            | Operation::AdvanceCursor { .. }
            | Operation::CountSkipped { .. }
            | Operation::DropCursor { .. }
            | Operation::ReplayDeadLetter { .. }
            | Operation::SettleDeadLetters { .. }
            | Operation::RefuseDeadLetters { .. }
            | Operation::PutImage { .. }
            | Operation::RemoveImage { .. }
            | Operation::PutUpload(_)
            | Operation::RemoveUpload { .. }
            | Operation::Equipment(_)
            | Operation::Sms(_)
            | Operation::PutBoard(_)
            | Operation::Phrase(_)
            | Operation::Dialogue(_)
            | Operation::PutTask(_)
            | Operation::ChangeTask(_)
            | Operation::Payment(_)
            | Operation::TrimTasks { .. }
            | Operation::Water(_) => {}
        }
    }

    fn merge_facts(&self, tenant: &Tenant, device: &DeviceId, facts: &DeviceFacts, at: Timestamp) {
        self.change(tenant, device, Some(at), |draft| {
            draft.parts.facts.merge(facts);
        });
    }

    fn set_group(&self, tenant: &Tenant, device: &DeviceId, group: &Option<Box<str>>) {
        self.change(tenant, device, None, |draft| draft.parts.group.clone_from(group));
    }

    fn set_alias(&self, tenant: &Tenant, device: &DeviceId, alias: &Alias, is_present: bool) {
        self.change(tenant, device, None, |draft| {
            let aliases = &mut draft.parts.facts.aliases;
            match is_present {
                true => aliases.push(alias.clone()),
                false => aliases.retain(|it| it != alias),
            }
        });
    }

    fn set_connection_request(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        sealed: &Redacted<Vec<u8>>,
    ) {
        self.change(tenant, device, None, |draft| {
            draft.parts.connection_request = Some(sealed.clone());
        });
    }

    fn set_claimed(&self, tenant: &Tenant, device: &DeviceId) {
        self.change(tenant, device, None, |draft| draft.claimed = true);
    }

    fn set_tag(&self, tenant: &Tenant, device: &DeviceId, tag: &str, is_present: bool) {
        self.change(tenant, device, None, |draft| {
            draft.parts.tags.retain(|it| **it != *tag);
            if is_present {
                draft.parts.tags.push(tag.into());
            }
        });
    }

    fn put_customer(&self, row: &CustomerRow) {
        let realm = self.realm_or_new(&row.tenant);
        let mut owners = realm.owners.write();
        owners.entry(row.id.clone()).or_default().row = Some((row.name.clone(), row.created_at));
    }

    /// Changes a device; makes it if `created_at` says when, else an unknown one is passed over.
    fn change(
        &self,
        tenant: &Tenant,
        id: &DeviceId,
        created_at: Option<Timestamp>,
        edit: impl FnOnce(&mut Draft),
    ) -> Option<Handle> {
        let mut scratch = self.turn.lock();
        let hash = self.hash_id(tenant, id.as_str());
        let (handle, before) = self.draft(hash, tenant, id);
        if before.is_none() && created_at.is_none() {
            return None;
        }
        let is_new = before.is_none();
        let mut draft = before.clone().unwrap_or_default();
        let Draft { parts: before, claimed: was_claimed } = before.unwrap_or_default();
        edit(&mut draft);
        let Draft { mut parts, claimed } = draft;
        let is_other = claimed != was_claimed || is_other(&before, &parts);
        self.take_names(tenant, handle, &before.facts.aliases, &mut parts.facts.aliases);
        let packed = Packed::new(id.as_str(), &parts, &self.symbols, &mut scratch);
        let periodic_interval_s = parts.facts.periodic_interval_s;

        let mut shard = self.shards[hash.shard()].write();
        if let Some(record) = shard.record_mut(handle) {
            (record.packed, record.claimed) = (packed, claimed);
            record.periodic_interval_s = periodic_interval_s;
            record.mark.is_requested |= is_other;
            if record.watched_s != 0 {
                self.watch.keep(handle, record);
            }
        } else {
            let created_at = created_at.unwrap_or_default().as_microsecond();
            let record = Record::new(tenant, id.protocol(), packed, created_at);
            shard.push(hash, Record { claimed, periodic_interval_s, ..record });
        }
        drop(shard);

        self.free_names(tenant, handle, &before.facts.aliases, &parts.facts.aliases);
        if is_new || before.customer != parts.customer {
            let realm = self.realm_or_new(tenant);
            if is_new {
                let order = |other| self.compare(other, id.as_str());
                realm.roster.write().insert(handle, order);
            }
            let mut owners = realm.owners.write();
            if let Some(owner) = before.customer.and_then(|it| owners.get_mut(&it)) {
                owner.devices.retain(|&device| device != handle);
            }
            if let Some(customer) = parts.customer {
                let devices = &mut owners.entry(customer).or_default().devices;
                let place = devices.partition_point(|&it| self.compare(it, id.as_str()).is_lt());
                devices.insert(place, handle);
            }
        }
        Some(handle)
    }

    /// Where a device lies or will lie, and how it stands.
    fn draft(&self, hash: Hash, tenant: &Tenant, id: &DeviceId) -> (Handle, Option<Draft>) {
        let shard = self.shards[hash.shard()].read();
        let Some(handle) = shard.find(hash, tenant, id.as_str()) else {
            return (shard.next(hash), None);
        };
        let draft = shard.record(handle).map(|record| Draft {
            parts: record.packed.parts(&self.symbols.read(), record.periodic_interval_s),
            claimed: record.claimed,
        });
        (handle, draft)
    }

    /// Takes the names that were not there `before`; leaves out those that others hold.
    fn take_names(&self, tenant: &Tenant, handle: Handle, before: &[Alias], now: &mut Vec<Alias>) {
        let mut kept = Vec::with_capacity(now.len());
        for alias in now.drain(..) {
            if kept.contains(&alias) || kept.len() >= ALIASES_MAX {
                continue;
            }
            if before.contains(&alias) || self.take_name(tenant, handle, &alias) {
                kept.push(alias);
            } else {
                self.alias_conflicts.fetch_add(1, Ordering::Relaxed);
            }
        }
        *now = kept;
    }

    fn take_name(&self, tenant: &Tenant, handle: Handle, alias: &Alias) -> bool {
        let hash = self.hash_alias(tenant, alias);
        let mut names = self.names[hash.shard()].write();
        if names.find(hash).next().is_some() {
            // Rare: taken, or another name with the same hash. Only we change names meanwhile.
            drop(names);
            if self.holder(tenant, alias).is_some() {
                return false;
            }
            names = self.names[hash.shard()].write();
        }
        names.insert(hash, handle);
        true
    }

    /// Frees the names that were there `before` and are no longer.
    fn free_names(&self, tenant: &Tenant, handle: Handle, before: &[Alias], now: &[Alias]) {
        for alias in before.iter().filter(|alias| !now.contains(alias)) {
            let hash = self.hash_alias(tenant, alias);
            self.names[hash.shard()].write().remove(hash, handle);
        }
    }

    fn realm_or_new(&self, tenant: &Tenant) -> Arc<Realm> {
        self.realm(tenant)
            .unwrap_or_else(|| Arc::clone(self.realms.write().entry(tenant.clone()).or_default()))
    }
}

/// Whether profiles may see another device: addresses and intervals are none of what it is.
fn is_other(before: &Parts, now: &Parts) -> bool {
    texts(before) != texts(now)
        || before.facts.aliases != now.facts.aliases
        || before.tags != now.tags
}

fn texts(parts: &Parts) -> [Option<&str>; 8] {
    let facts = &parts.facts;
    [
        &facts.manufacturer,
        &facts.oui,
        &facts.product_class,
        &facts.serial,
        &facts.model,
        &facts.hardware_version,
        &facts.software_version,
        &parts.customer,
    ]
    .map(Option::as_deref)
}
