//! Lists, a page at a time, in the order of identities.
//!
//! A page costs some comparisons to find its start, and then a look at each device until it is
//! full. A filter that hardly anything passes looks at many: up to half a microsecond each. A
//! customer's devices are found without looking at others, and a protocol's are a range or two.

use super::record::Record;
use super::shard::Handle;
use super::symbols::Table;
use super::{Device, Filter, Part, Registry};
use model::{DeviceId, Protocol, Tenant};
use std::ops::ControlFlow;

/// Devices that are copied out of the roster at a time, so that no change waits for long.
const BATCH: usize = 256;

impl Registry {
    /// The first `limit` devices after `after` that pass; fewer only at the end.
    ///
    /// Looks at every device of the tenant in the worst case, which takes up to half a second for
    /// a million: not for a session's task. [`Registry::part`] bounds that.
    pub fn list(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Vec<Device> {
        self.part(tenant, filter, after, limit, usize::MAX).devices
    }

    /// As [`Registry::list`], but ends when it has looked at `looks_max` devices (rounded up to
    /// some hundreds), full or not: `next` says where to go on.
    pub fn part(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        after: Option<&DeviceId>,
        limit: usize,
        looks_max: usize,
    ) -> Part {
        let search = Search::new(filter);
        let mut part = Part { devices: Vec::new(), next: None };
        if limit == 0 {
            return part;
        }
        let mut last = after.map(|id| id.as_str().to_owned());
        let mut looks = 0;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            self.batch(tenant, filter, last.as_deref(), &mut batch);
            let Some(&end) = batch.last() else { return part };
            for &handle in &batch {
                let found = self.read_at(handle, |record, table| {
                    search.passes(record, table).then(|| self.snapshot(record, table))
                });
                part.devices.extend(found.flatten());
                if part.devices.len() >= limit {
                    part.next = self.id_of(handle);
                    return part;
                }
            }
            looks += batch.len();
            if looks >= looks_max {
                part.next = self.id_of(end);
                return part;
            }
            last = self.id_of(end).map(|id| id.as_str().to_owned());
        }
    }

    /// Whether a device passes a filter.
    pub fn is_among(&self, tenant: &Tenant, id: &DeviceId, filter: &Filter) -> bool {
        let search = Search::new(filter);
        let passes = |record: &Record, table: &Table| search.passes(record, table);
        if !self.read(tenant, id, passes).unwrap_or(false) {
            return false;
        }
        // Who owns it is a list of the owner's.
        filter.customer.as_ref().is_none_or(|customer| {
            self.get(tenant, id).is_some_and(|device| device.customer.as_ref() == Some(customer))
        })
    }

    /// Hands over every device of every tenant that passes, some hundreds at a time between which
    /// nothing is locked, until `look` says that it is enough. For a thread where nobody waits.
    pub fn for_each(&self, filter: &Filter, mut look: impl FnMut(Device) -> ControlFlow<()>) {
        for tenant in self.tenants() {
            let mut after = None;
            loop {
                let part = self.part(&tenant, filter, after.as_ref(), BATCH, BATCH);
                if part.devices.into_iter().try_for_each(&mut look).is_break() {
                    return;
                }
                match part.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
    }

    /// The next devices after `last` that may pass; none at the end.
    fn batch(&self, tenant: &Tenant, filter: &Filter, last: Option<&str>, out: &mut Vec<Handle>) {
        let is_done = |it: Handle| last.is_some_and(|last| self.compare(it, last).is_le());
        let Some(realm) = self.realm(tenant) else { return };
        if let Some(customer) = &filter.customer {
            let owners = realm.owners.read();
            let Some(owner) = owners.get(customer) else { return };
            let from = owner.devices.partition_point(|&it| is_done(it));
            out.extend(owner.devices[from..].iter().take(BATCH));
            return;
        }
        for prefix in prefixes(filter.protocol) {
            let roster = realm.roster.read();
            roster.copy(|it| is_done(it) || self.compare(it, prefix).is_lt(), BATCH, out);
            drop(roster);
            let starts =
                |&it: &Handle| self.read_at(it, |record, _| record.packed.id().starts_with(prefix));
            let inside = out.partition_point(|it| starts(it).unwrap_or(false));
            out.truncate(inside);
            if !out.is_empty() {
                return;
            }
        }
    }
}

/// How the identities of a protocol begin, in their order.
fn prefixes(protocol: Option<Protocol>) -> &'static [&'static str] {
    match protocol {
        None => &[""],
        Some(Protocol::Cwmp) => &["cwmp:"],
        Some(Protocol::Mqtt) => &["imei:", "mqtt:"],
        Some(Protocol::Ussd) => &["msisdn:"],
    }
}

/// A filter, made ready.
struct Search<'a> {
    filter: &'a Filter,
    /// What to look for, in each spelling that may be meant.
    needles: Vec<Vec<u8>>,
}

impl<'a> Search<'a> {
    fn new(filter: &'a Filter) -> Self {
        let mut needles = Vec::new();
        if let Some(q) = &filter.q {
            needles.push(q.to_ascii_lowercase().into_bytes());
            // Part of an Ethernet address, which is kept without separators.
            let bare: Vec<u8> = q.bytes().filter(|byte| !b":-.".contains(byte)).collect();
            let is_hex = !bare.is_empty() && bare.iter().all(u8::is_ascii_hexdigit);
            if is_hex && bare.len() < q.len() {
                needles.push(bare.to_ascii_lowercase());
            }
        }
        Self { filter, needles }
    }

    fn passes(&self, record: &Record, table: &Table) -> bool {
        let Filter { protocol, tag, model, q, customer: _, group, standing } = self.filter;
        let packed = &record.packed;
        protocol.is_none_or(|it| it == record.protocol)
            && standing.is_none_or(|it| it == record.mark.standing)
            && tag.as_ref().is_none_or(|tag| packed.has_tag(table, tag))
            && model.as_ref().is_none_or(|model| packed.is_model(table, model))
            && group.as_ref().is_none_or(|it| packed.group(table) == Some(it))
            && (q.is_none() || packed.any_name(table, |name| self.found_in(name)))
    }

    fn found_in(&self, name: &[u8]) -> bool {
        self.needles.iter().any(|needle| match needle.split_first() {
            None => true,
            Some((first, rest)) => name.iter().enumerate().any(|(index, byte)| {
                byte.to_ascii_lowercase() == *first
                    && name[index + 1..]
                        .get(..rest.len())
                        .is_some_and(|here| here.eq_ignore_ascii_case(rest))
            }),
        })
    }
}
