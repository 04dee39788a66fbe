//! The model: plain maps, every question answered by looking at everything.

use super::super::{Device, Filter, Registry};
use super::{alias, at, cpe, met, tenant};
use crate::store::{CustomerRow, DeviceRow, Operation};
use jiff::Timestamp;
use model::{Alias, AliasKind, DeviceFacts, DeviceId, Protocol, Redacted, Tenant};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Key = (Tenant, DeviceId);

/// What the registry should know.
#[derive(Default)]
pub(super) struct Oracle {
    devices: BTreeMap<Key, Device>,
    sealed: BTreeMap<Key, Vec<u8>>,
    awake: BTreeMap<Key, Timestamp>,
    silent: BTreeSet<Key>,
    dirty: BTreeSet<Key>,
    customers: BTreeMap<(Tenant, Box<str>), CustomerRow>,
    conflicts: u64,
    clock: Option<Timestamp>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Apply(Key, DeviceFacts),
    Put(Key, DeviceFacts),
    Customer(Tenant, Box<str>),
    Owner(Key, Option<Box<str>>),
    Alias(Key, Alias, bool),
    Tag(Key, Box<str>, bool),
    Group(Key, Option<Box<str>>),
    Claim(Key),
    Seal(Key, Vec<u8>),
    Seen(Key, i64, u8),
    Connected(Key, bool, i64),
    Awake(Key, i64),
    Silent(i64),
    Dirty(usize),
    Covers(Key, DeviceFacts),
    List(Tenant, Filter, Option<DeviceId>, usize),
}

fn ids() -> Vec<DeviceId> {
    let mut ids: Vec<_> = ["1", "2", "3"].into_iter().map(cpe).collect();
    ids.push(DeviceId::mqtt("board").unwrap());
    ids.push(DeviceId::imei("490154203237518").unwrap());
    ids.push(DeviceId::msisdn("+254711000001").unwrap());
    ids
}

fn aliases() -> Vec<Alias> {
    vec![
        alias(AliasKind::Serial, "a"),
        alias(AliasKind::Serial, "490154203237518"),
        alias(AliasKind::Imei, "490154203237518"),
        alias(AliasKind::Imsi, "490154203237518"),
        alias(AliasKind::Mac, "00:1a:2b:3c:4d:5e"),
    ]
}

fn word() -> impl Strategy<Value = Box<str>> {
    let words = ["a", "B", "HG8245", &"x".repeat(70)].map(Box::from);
    prop::sample::select(words.to_vec())
}

fn tenants() -> impl Strategy<Value = Tenant> {
    prop::sample::select(vec![tenant("ours"), tenant("theirs")])
}

fn key() -> impl Strategy<Value = Key> {
    (tenants(), prop::sample::select(ids()))
}

fn facts() -> impl Strategy<Value = DeviceFacts> {
    let text = || prop::option::of(word());
    let interval = prop::option::of(prop::sample::select(vec![0, 1, 60, 300]));
    let aliases = prop::collection::vec(prop::sample::select(aliases()), 0..3);
    (text(), text(), text(), interval, aliases).prop_map(
        |(maker, serial, model, every, aliases)| DeviceFacts {
            manufacturer: maker,
            serial,
            model,
            periodic_interval_s: every,
            aliases,
            ..DeviceFacts::default()
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let protocols = vec![Protocol::Cwmp, Protocol::Mqtt, Protocol::Ussd];
    let q =
        prop::option::of(prop::sample::select(["hg", "1", "A", "490", ""].map(Box::from).to_vec()));
    let protocol = prop::option::of(prop::sample::select(protocols));
    let rare = || prop::option::weighted(0.2, word());
    let all = (protocol, rare(), rare(), q, rare(), rare());
    all.prop_map(|(protocol, tag, model, q, customer, group)| Filter {
        standing: None,
        protocol,
        tag,
        model,
        q,
        customer,
        group,
    })
}

/// Anything, at any time.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let second = || 0..3_000_i64;
    let names = || prop::sample::select(aliases());
    let after = prop::option::of(prop::sample::select(ids()));
    prop_oneof![
        4 => (key(), facts()).prop_map(|(key, facts)| Step::Apply(key, facts)),
        1 => (key(), facts()).prop_map(|(key, facts)| Step::Put(key, facts)),
        1 => (tenants(), word()).prop_map(|(tenant, id)| Step::Customer(tenant, id)),
        2 => (key(), prop::option::of(word())).prop_map(|(key, owner)| Step::Owner(key, owner)),
        2 => (key(), names(), any::<bool>()).prop_map(|(key, it, held)| Step::Alias(key, it, held)),
        1 => (key(), word(), any::<bool>()).prop_map(|(key, tag, set)| Step::Tag(key, tag, set)),
        1 => (key(), prop::option::of(word())).prop_map(|(key, it)| Step::Group(key, it)),
        1 => key().prop_map(Step::Claim),
        1 => (key(), any::<Vec<u8>>()).prop_map(|(key, sealed)| Step::Seal(key, sealed)),
        4 => (key(), second(), any::<u8>()).prop_map(|(key, at, ip)| Step::Seen(key, at, ip)),
        1 => (key(), any::<bool>(), second()).prop_map(|(key, on, at)| Step::Connected(key, on, at)),
        1 => (key(), second()).prop_map(|(key, at)| Step::Awake(key, at)),
        3 => second().prop_map(Step::Silent),
        1 => (0..8_usize).prop_map(Step::Dirty),
        2 => (key(), facts()).prop_map(|(key, facts)| Step::Covers(key, facts)),
        2 => (tenants(), filter(), after, 0..4_usize)
            .prop_map(|(tenant, filter, after, limit)| Step::List(tenant, filter, after, limit)),
    ]
}

impl Step {
    /// Does it to both, and compares what they say.
    pub(super) fn check(&self, registry: &Registry, oracle: &mut Oracle) {
        match self.clone() {
            Self::Apply(key, facts) => {
                registry.apply(&met(&key.0, &key.1, facts.clone()));
                oracle.merge(&key, &facts);
            }
            Self::Put((tenant, device), facts) => {
                oracle.merge(&(tenant.clone(), device.clone()), &facts);
                registry.apply_operation(&Operation::PutDevice {
                    tenant,
                    device,
                    facts,
                    at: at(0),
                });
            }
            Self::Seen(key, second, ip) => {
                let address = (ip > 99).then(|| std::net::IpAddr::from([192, 0, 2, ip]));
                registry.seen(&key.0, &key.1, at(second), address);
                oracle.hear(&key, at(second), address);
            }
            Self::Connected(key, connected, second) => {
                registry.set_connected(&key.0, &key.1, connected, at(second));
                if let Some(device) = oracle.devices.get_mut(&key) {
                    device.connected = connected;
                }
                oracle.clock = oracle.clock.max(Some(at(second)));
                if connected {
                    oracle.hear(&key, at(second), None);
                } else if oracle.devices.get(&key).is_some_and(|it| it.last_seen_at.is_some()) {
                    oracle.dirty.insert(key);
                }
            }
            Self::Awake(key, second) => {
                registry.set_awake(&key.0, &key.1, at(second));
                oracle.clock = oracle.clock.max(Some(at(second)));
                if oracle.devices.contains_key(&key) {
                    let awake = oracle.awake.get(&key).copied().max(Some(at(second)));
                    oracle.awake.extend(awake.map(|awake| (key, awake)));
                }
            }
            Self::Silent(second) => {
                let silent = registry.newly_silent(at(second), 100);
                assert_eq!(silent.len(), BTreeSet::from_iter(&silent).len());
                assert_eq!(BTreeSet::from_iter(silent), oracle.newly_silent(at(second)));
            }
            Self::Dirty(max) => {
                let taken = registry.take_dirty(max);
                assert_eq!(taken.len(), oracle.dirty.len().min(max));
                for seen in taken {
                    let key = (seen.tenant, seen.device);
                    assert!(oracle.dirty.remove(&key));
                    let device = &oracle.devices[&key];
                    assert_eq!(
                        (Some(seen.at), seen.address),
                        (device.last_seen_at, device.address)
                    );
                }
            }
            Self::Covers(key, facts) => {
                assert_eq!(registry.covers(&key.0, &key.1, &facts), oracle.covers(&key, &facts));
            }
            Self::List(tenant, filter, after, limit) => {
                let listed = registry.list(&tenant, &filter, after.as_ref(), limit);
                assert_eq!(listed, oracle.list(&tenant, &filter, after.as_ref(), limit));
                oracle.check_among(registry, &tenant, &filter);
            }
            other => other.check_operation(registry, oracle),
        }
    }

    fn check_operation(self, registry: &Registry, oracle: &mut Oracle) {
        let known = |key: &Key, oracle: &Oracle| oracle.devices.contains_key(key);
        let operation = match self {
            Self::Customer(tenant, id) => {
                let name = Some(Redacted(format!("{id}!").into()));
                let row = CustomerRow { tenant, id, name, created_at: at(7) };
                oracle.customers.insert((row.tenant.clone(), row.id.clone()), row.clone());
                Operation::PutCustomer(row)
            }
            Self::Owner(key, customer) => {
                oracle.merge(&key, &DeviceFacts::default());
                oracle.devices.get_mut(&key).unwrap().customer.clone_from(&customer);
                Operation::SetOwner { tenant: key.0, device: key.1, customer, at: at(0) }
            }
            Self::Alias(key, alias, held) => {
                if known(&key, oracle) && held {
                    let aliases = vec![alias.clone()];
                    oracle.merge(&key, &DeviceFacts { aliases, ..DeviceFacts::default() });
                } else if let Some(device) = oracle.devices.get_mut(&key) {
                    device.facts.aliases.retain(|it| *it != alias);
                }
                let (tenant, device) = key;
                match held {
                    true => Operation::PutAlias { tenant, device, alias },
                    false => Operation::RemoveAlias { tenant, device, alias },
                }
            }
            Self::Tag(key, tag, present) => {
                if let Some(device) = oracle.devices.get_mut(&key) {
                    device.tags.retain(|it| *it != tag);
                    device.tags.extend(present.then(|| tag.clone()));
                }
                Operation::SetTag { tenant: key.0, device: key.1, tag, present }
            }
            Self::Group(key, group) => {
                if let Some(device) = oracle.devices.get_mut(&key) {
                    device.group.clone_from(&group);
                }
                Operation::SetGroup { tenant: key.0, device: key.1, group }
            }
            Self::Claim(key) => {
                if let Some(device) = oracle.devices.get_mut(&key) {
                    device.claimed = true;
                }
                Operation::Claim { tenant: key.0, device: key.1 }
            }
            Self::Seal(key, sealed) => {
                if let Some(device) = oracle.devices.get_mut(&key) {
                    device.has_connection_request = true;
                    oracle.sealed.insert(key.clone(), sealed.clone());
                }
                let sealed = Redacted(sealed);
                Operation::SetConnectionRequest { tenant: key.0, device: key.1, sealed }
            }
            other => unreachable!("{other:?} is no operation"),
        };
        registry.apply_operation(&operation);
    }
}

impl Oracle {
    /// A device passes a filter alone as it does in a list.
    fn check_among(&self, registry: &Registry, tenant: &Tenant, filter: &Filter) {
        let all = self.list(tenant, filter, None, usize::MAX);
        for id in ids() {
            let is_listed = all.iter().any(|device| device.id == id);
            assert_eq!(registry.is_among(tenant, &id, filter), is_listed);
        }
    }

    fn holder(&self, tenant: &Tenant, alias: &Alias) -> Option<DeviceId> {
        let holds = |(key, device): &(&Key, &Device)| {
            key.0 == *tenant && device.facts.aliases.contains(alias)
        };
        self.devices.iter().find(holds).map(|(key, _)| key.1.clone())
    }

    fn merge(&mut self, key: &Key, facts: &DeviceFacts) {
        let mut free = facts.clone();
        let mut conflicts = BTreeSet::new();
        free.aliases.retain(|alias| {
            let free = self.holder(&key.0, alias).is_none_or(|holder| holder == key.1);
            conflicts.extend((!free).then(|| alias.clone()));
            free
        });
        self.conflicts += conflicts.len() as u64;
        let device = self.devices.entry(key.clone()).or_insert_with(|| Device {
            tenant: key.0.clone(),
            id: key.1.clone(),
            facts: DeviceFacts::default(),
            customer: None,
            tags: Vec::new(),
            group: None,
            created_at: at(0),
            last_seen_at: None,
            address: None,
            online: false,
            connected: false,
            claimed: false,
            has_connection_request: false,
        });
        device.facts.merge(&free);
    }

    fn hear(&mut self, key: &Key, at: Timestamp, address: Option<std::net::IpAddr>) {
        self.clock = self.clock.max(Some(at));
        let Some(device) = self.devices.get_mut(key) else { return };
        if device.last_seen_at <= Some(at) {
            device.last_seen_at = Some(at);
            device.address = address.or(device.address);
        }
        self.dirty.insert(key.clone());
        self.silent.remove(key);
    }

    /// The last instant at which a CPE counts as there.
    fn line(&self, key: &Key) -> Option<Timestamp> {
        let device = &self.devices[key];
        let interval = device.facts.periodic_interval_s.filter(|&it| it > 0).unwrap_or(86_400);
        let heard = device
            .last_seen_at
            .map(|at| at + jiff::SignedDuration::from_millis(i64::from(interval) * 2_500));
        let awake = self.awake.get(key).map(|&at| at + jiff::SignedDuration::from_secs(60));
        heard.max(awake)
    }

    fn newly_silent(&mut self, now: Timestamp) -> BTreeSet<Key> {
        self.clock = Some(now);
        let silent = self.devices.iter().filter(|(key, device)| {
            device.id.protocol() == Protocol::Cwmp
                && device.last_seen_at.is_some()
                && !self.silent.contains(key)
                && self.line(key).is_some_and(|line| line < now)
        });
        let silent: BTreeSet<_> = silent.map(|(key, _)| key.clone()).collect();
        self.silent.extend(silent.iter().cloned());
        silent
    }

    fn covers(&self, key: &Key, facts: &DeviceFacts) -> Option<bool> {
        let device = self.devices.get(key)?;
        let mut facts = facts.clone();
        facts
            .aliases
            .retain(|alias| self.holder(&key.0, alias).is_none_or(|holder| holder == key.1));
        Some(device.facts.covers(&facts))
    }

    fn device(&self, key: &Key) -> Option<Device> {
        let mut device = self.devices.get(key)?.clone();
        device.online = match key.1.protocol() {
            Protocol::Cwmp => self.line(key) >= self.clock && self.line(key).is_some(),
            Protocol::Mqtt => device.connected,
            Protocol::Ussd => false,
        };
        Some(device)
    }

    fn list(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Vec<Device> {
        let devices = self.devices.keys().filter(|key| key.0 == *tenant);
        let devices = devices.filter(|key| after.is_none_or(|after| key.1 > *after));
        let devices = devices.filter_map(|key| self.device(key));
        let passes = |device: &Device| {
            let facts = &device.facts;
            let texts = [Some(device.id.as_str()), facts.serial.as_deref(), facts.model.as_deref()];
            let names = texts.into_iter().flatten().chain(facts.aliases.iter().map(Alias::value));
            let names: Vec<_> = names.map(str::to_lowercase).collect();
            filter.protocol.is_none_or(|it| device.id.protocol() == it)
                && filter.tag.as_ref().is_none_or(|tag| device.tags.contains(tag))
                && filter.model.as_ref().is_none_or(|it| facts.model.as_ref() == Some(it))
                && filter.customer.as_ref().is_none_or(|it| device.customer.as_ref() == Some(it))
                && filter.group.as_ref().is_none_or(|it| device.group.as_ref() == Some(it))
                && filter
                    .q
                    .as_ref()
                    .is_none_or(|q| names.iter().any(|name| name.contains(&q.to_lowercase())))
        };
        devices.filter(passes).take(limit).collect()
    }

    /// Compares everything.
    pub(super) fn check(&self, registry: &Registry) {
        assert_eq!(registry.len(), self.devices.len());
        assert_eq!(registry.alias_conflicts(), self.conflicts);
        let names: usize = registry.names.iter().map(|names| names.read().len()).sum();
        let aliases_held: usize = self.devices.values().map(|it| it.facts.aliases.len()).sum();
        assert_eq!(names, aliases_held, "nothing stays behind in the index");
        let may_fall_silent = self.devices.iter().filter(|(key, device)| {
            key.1.protocol() == Protocol::Cwmp
                && device.last_seen_at.is_some()
                && !self.silent.contains(key)
        });
        assert_eq!(registry.watch.len(), may_fall_silent.count(), "each waits once");
        for tenant in [tenant("ours"), tenant("theirs")] {
            for id in ids() {
                let key = (tenant.clone(), id.clone());
                assert_eq!(registry.get(&tenant, &id), self.device(&key));
                assert_eq!(registry.knows(&tenant, &id), self.devices.contains_key(&key));
                let sealed = self.sealed.get(&key).cloned().map(Redacted);
                assert_eq!(registry.connection_request(&tenant, &id), sealed);
            }
            for alias in aliases() {
                assert_eq!(registry.by_alias(&tenant, &alias), self.holder(&tenant, &alias));
            }
            for id in ["a", "B", "HG8245", &"x".repeat(70)] {
                let owned = Filter { customer: Some(id.into()), ..Filter::default() };
                let owned = self.list(&tenant, &owned, None, usize::MAX);
                let owned: Vec<_> = owned.into_iter().map(|device| device.id).collect();
                assert_eq!(registry.devices_of(&tenant, id), owned);
                let row = self.customers.get(&(tenant.clone(), id.into()));
                assert_eq!(registry.customer(&tenant, id).as_ref(), row);
            }
        }
    }

    /// Compares with a registry made of the rows that `registry` amounts to.
    pub(super) fn check_rebuilt(mut self, registry: &Registry) {
        let rebuilt = Registry::new();
        rebuilt.load(self.devices.values().map(|device| DeviceRow {
            tenant: device.tenant.clone(),
            id: device.id.clone(),
            facts: device.facts.clone(),
            customer: device.customer.clone(),
            tags: device.tags.clone(),
            group: device.group.clone(),
            created_at: device.created_at,
            last_seen_at: device.last_seen_at,
            address: device.address,
            connection_request: registry.connection_request(&device.tenant, &device.id),
            claimed: device.claimed,
            data_model: registry.data_model(&device.tenant, &device.id),
        }));
        rebuilt.load_customers(self.customers.values().cloned());
        self.devices.values_mut().for_each(|device| device.connected = false);
        (self.clock, self.conflicts) = (Some(at(0)), 0);
        self.awake.clear();
        self.silent.clear();
        rebuilt.set_clock(0);
        self.check(&rebuilt);
    }
}
