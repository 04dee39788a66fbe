//! Every rollout, found by name and by its devices.

use super::Key;
use super::orders::Head;
use crate::store::RolloutRow;
use dashmap::DashMap;
use firmware::{ImageName, Policy, Record, Rollout, RolloutState, Stage, Tally};
use model::{CommandId, DeviceId, Json, Protocol, Tenant};
use parking_lot::{Mutex, RwLock};
use provisioning::Window;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// What wants a rollout.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Source {
    /// An operator's order.
    Order,
    /// The profile of that name: devices come to it one by one, when they call.
    Profile(Box<str>),
    /// The group of that name.
    Group(Box<str>),
}

impl Source {
    /// Reads what `Display` wrote.
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("profile", name)) => Self::Profile(name.into()),
            Some(("group", name)) => Self::Group(name.into()),
            _ => Self::Order,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => f.write_str("order"),
            Self::Profile(name) => write!(f, "profile:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

/// A rollout, and what the daemon knows of it beside the machine.
#[derive(Debug)]
pub struct Entry {
    /// Whose.
    pub tenant: Tenant,
    /// Its name.
    pub id: Box<str>,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// Who ordered it.
    pub actor: Box<str>,
    /// What wants it.
    pub source: Source,
    pub(super) key: Option<Box<str>>,
    window: RwLock<Option<Window>>,
    rollout: Mutex<Rollout>,
    /// The commands that were made for devices under way.
    pub(super) commands: DashMap<DeviceId, CommandId>,
    /// Whoever keeps how far it is takes turns, so that what was later is on disk later.
    pub(super) saving: tokio::sync::Mutex<()>,
    /// How many devices were at which stage when the last step was made, once they have left memory.
    closed: Mutex<Option<Vec<Tally>>>,
}

impl Entry {
    pub(super) fn new(head: Head, rollout: Rollout) -> Self {
        let Head { tenant, id, name, actor, key, source, window } = head;
        let window = window.and_then(|text| serde_json::from_str(text.as_str()).ok());
        Self {
            tenant,
            id,
            name,
            actor,
            source,
            key,
            window: RwLock::new(window),
            rollout: Mutex::new(rollout),
            commands: DashMap::new(),
            saving: tokio::sync::Mutex::new(()),
            closed: Mutex::default(),
        }
    }

    /// One that was kept.
    pub(super) fn kept(row: RolloutRow, rollout: Rollout, is_closed: bool) -> Self {
        let RolloutRow { tenant, id, name, actor, key, source, window, tallies, .. } = row;
        let source = Source::parse(&source);
        let entry = Self::new(Head { tenant, id, name, actor, key, source, window }, rollout);
        Self { closed: Mutex::new(is_closed.then_some(tallies)), ..entry }
    }

    /// Looks at the rollout, or has it take a step. No await lies within.
    pub fn with<T>(&self, look: impl FnOnce(&mut Rollout) -> T) -> T {
        look(&mut self.rollout.lock())
    }

    /// How many devices of each wave are at which stage.
    pub fn tallies(&self) -> Vec<Tally> {
        let closed = self.closed.lock().clone();
        closed.unwrap_or_else(|| self.with(|it| it.tallies().to_vec()))
    }

    /// When it may begin on a device; at any time when absent.
    pub fn window(&self) -> Option<Window> {
        self.window.read().clone()
    }

    /// The same, as it is written.
    pub fn window_text(&self) -> Option<Json> {
        self.window.read().as_ref().map(Json::of)
    }

    /// It may begin then from now on; what wants it says so.
    pub(super) fn set_window(&self, window: Option<&Window>) {
        if self.window.read().as_ref() != window {
            *self.window.write() = window.cloned();
            self.with(Rollout::mark_changed);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.lock().is_some()
    }

    /// Lets its devices go from memory: all is said and kept.
    fn close(&self) -> Vec<DeviceId> {
        let mut rollout = self.rollout.lock();
        *self.closed.lock() = Some(rollout.tallies().to_vec());
        let devices = rollout.attempts().map(|(device, ..)| device.clone()).collect();
        let (order, progress) = (rollout.order().clone(), rollout.progress().clone());
        let now = progress.wave_since;
        *rollout = Rollout::restore(&self.id, order, progress, [], now);
        devices
    }

    /// As it is kept.
    pub(super) fn row(&self, rollout: &Rollout) -> RolloutRow {
        RolloutRow {
            tenant: self.tenant.clone(),
            id: self.id.clone(),
            name: self.name.clone(),
            actor: self.actor.clone(),
            key: self.key.clone(),
            source: self.source.to_string().into(),
            order: rollout.order().clone(),
            window: self.window_text(),
            progress: rollout.progress().clone(),
            tallies: rollout.tallies().to_vec(),
        }
    }

    /// What makes telling a device twice the same as telling it once.
    pub(super) fn command_key(&self, device: &DeviceId, number: u16) -> Box<str> {
        format!("rollout/{}/{}/{number}", self.id, device.as_str()).into()
    }
}

/// Devices, and the rollouts in which each failed.
type Failures = HashSet<(DeviceId, Box<str>)>;
/// An image by its content.
type ImageKey = (Tenant, ImageName, Box<str>);

/// Every rollout.
#[derive(Debug, Default)]
pub(super) struct Book {
    rollouts: RwLock<BTreeMap<Key2, Arc<Entry>>>,
    /// Rollouts in which a device is not at its end, or has failed and may yet come right.
    devices: DashMap<Key, Vec<Arc<Entry>>>,
    /// Ordered ones that devices may join later.
    dynamic: RwLock<Vec<Arc<Entry>>>,
    /// Those that stand for what a profile or a group wants.
    standing: DashMap<StandingKey, Arc<Entry>>,
    /// On which devices each image has failed and was not confirmed later, and in which rollout.
    failed: Mutex<HashMap<ImageKey, Failures>>,
}

type Key2 = (Tenant, Box<str>);
/// What wants an image, and its content.
type StandingKey = (Tenant, Source, ImageName, Box<str>);

impl Book {
    pub(super) fn put(&self, entry: &Arc<Entry>) {
        let key = (entry.tenant.clone(), entry.id.clone());
        self.rollouts.write().insert(key, Arc::clone(entry));
        if entry.is_closed() {
            return;
        }
        if entry.source == Source::Order && entry.with(|it| it.order().dynamic) {
            self.dynamic.write().push(Arc::clone(entry));
        }
        if entry.source != Source::Order {
            self.standing.insert(standing_key(entry), Arc::clone(entry));
        }
        let concerned: Vec<DeviceId> = entry.with(|rollout| {
            let open = |stage| !matches!(stage, Stage::Confirmed | Stage::Refused);
            let members = rollout.attempts().filter(|(_, _, it)| open(it.stage));
            members.map(|(device, ..)| device.clone()).collect()
        });
        concerned.iter().for_each(|device| self.concern(entry, device));
    }

    /// The device is to be looked at when it calls.
    pub(super) fn concern(&self, entry: &Arc<Entry>, device: &DeviceId) {
        let mut entries = self.devices.entry((entry.tenant.clone(), device.clone())).or_default();
        if !entries.iter().any(|it| Arc::ptr_eq(it, entry)) {
            entries.push(Arc::clone(entry));
        }
    }

    /// The device need not be looked at for it any more.
    pub(super) fn release(&self, entry: &Arc<Entry>, device: &DeviceId) {
        let key = (entry.tenant.clone(), device.clone());
        if let Some(mut entries) = self.devices.get_mut(&key) {
            entries.retain(|it| !Arc::ptr_eq(it, entry));
        }
        self.devices.remove_if(&key, |_, entries| entries.is_empty());
    }

    pub(super) fn is_concerned(&self, key: &Key) -> bool {
        self.devices.contains_key(key)
    }

    /// The rollouts in which the device is not at its end, oldest first.
    pub(super) fn of(&self, key: &Key) -> Vec<Arc<Entry>> {
        let mut entries = self.devices.get(key).map(|it| it.clone()).unwrap_or_default();
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        entries
    }

    pub(super) fn get(&self, tenant: &Tenant, id: &str) -> Option<Arc<Entry>> {
        self.rollouts.read().get(&(tenant.clone(), id.into())).cloned()
    }

    /// The one that stands for an image that someone wants, while it is open.
    pub(super) fn standing(
        &self,
        tenant: &Tenant,
        source: &Source,
        image: &ImageName,
        sha256: &str,
    ) -> Option<Arc<Entry>> {
        let key = (tenant.clone(), source.clone(), image.clone(), sha256.into());
        let entry = self.standing.get(&key).map(|it| Arc::clone(&it));
        entry.filter(|it| it.with(|it| it.state().is_open()))
    }

    /// Those that others may join because they come to fit.
    pub(super) fn dynamic(&self, tenant: &Tenant) -> Vec<Arc<Entry>> {
        let rollouts = self.dynamic.read();
        rollouts.iter().filter(|it| it.tenant == *tenant).cloned().collect()
    }

    pub(super) fn has_dynamic(&self) -> bool {
        !self.dynamic.read().is_empty()
    }

    /// It is over: what is found by its devices or by what wants it finds it no more.
    pub(super) fn close(&self, entry: &Arc<Entry>) {
        for device in entry.close() {
            self.release(entry, &device);
        }
        entry.commands.clear();
        self.standing.remove_if(&standing_key(entry), |_, it| Arc::ptr_eq(it, entry));
        self.dynamic.write().retain(|it| !Arc::ptr_eq(it, entry));
    }

    /// Forgets one that is closed.
    pub(super) fn forget(&self, entry: &Entry) {
        self.rollouts.write().remove(&(entry.tenant.clone(), entry.id.clone()));
        let mut failed = self.failed.lock();
        failed.values_mut().for_each(|it| it.retain(|(_, rollout)| *rollout != entry.id));
        failed.retain(|_, it| !it.is_empty());
    }

    pub(super) fn by_key(&self, tenant: &Tenant, key: &str) -> Option<Arc<Entry>> {
        let rollouts = self.rollouts.read();
        let mut all = rollouts.values();
        all.find(|it| it.tenant == *tenant && it.key.as_deref() == Some(key)).cloned()
    }

    pub(super) fn list(
        &self,
        tenant: &Tenant,
        before: Option<&str>,
        max: usize,
    ) -> Vec<Arc<Entry>> {
        let rollouts = self.rollouts.read();
        let of_tenant = rollouts.iter().rev().filter(|((owner, _), _)| owner == tenant);
        let behind = of_tenant.filter(|((_, id), _)| before.is_none_or(|before| &**id < before));
        behind.take(max).map(|(_, entry)| Arc::clone(entry)).collect()
    }

    /// Those that are not closed.
    pub(super) fn open(&self) -> Vec<Arc<Entry>> {
        self.rollouts.read().values().filter(|it| !it.is_closed()).cloned().collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.rollouts.read().values().cloned().collect()
    }

    /// Notes on which device an image failed, or that it did not after all.
    pub(super) fn note(&self, entry: &Entry, rollout: &Rollout, device: &DeviceId, failed: bool) {
        let order = rollout.order();
        let key = (entry.tenant.clone(), order.image.clone(), order.sha256.clone());
        let mut all = self.failed.lock();
        let devices = all.entry(key).or_default();
        let this = (device.clone(), entry.id.clone());
        let _ = if failed { devices.insert(this) } else { devices.remove(&this) };
    }

    /// What became of an image on other devices, in other rollouts than `own`.
    pub(super) fn record(
        &self,
        tenant: &Tenant,
        image: &ImageName,
        sha256: &str,
        own: Option<&str>,
    ) -> Record {
        let key = (tenant.clone(), image.clone(), sha256.into());
        let failed = self.failed.lock().get(&key).map_or(0, |devices| {
            let elsewhere = devices.iter().filter(|(_, rollout)| own != Some(rollout));
            elsewhere.map(|(device, _)| device).collect::<HashSet<_>>().len()
        });
        if failed == 0 {
            return Record::default();
        }
        let is_of = |it: &Rollout| it.order().image == *image && &*it.order().sha256 == sha256;
        let entries = self.all();
        let others = entries.iter().filter(|it| it.tenant == *tenant && own != Some(&*it.id));
        let confirmed: u32 = others
            .filter(|it| it.with(|it| is_of(it)))
            .map(|it| it.tallies().iter().map(|tally| tally.of(Stage::Confirmed)).sum::<u32>())
            .sum();
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        Record { failed, tried: failed.saturating_add(confirmed) }
    }
}

fn standing_key(entry: &Entry) -> StandingKey {
    let (image, sha256) = entry.with(|it| (it.order().image.clone(), it.order().sha256.clone()));
    (entry.tenant.clone(), entry.source.clone(), image, sha256)
}

/// How attempts of a rollout are made.
pub(super) fn policy(
    rollout: &Rollout,
    device: &DeviceId,
    options: &super::UpgradeOptions,
) -> Policy {
    let (download_time, apply_grace) = match device.protocol() {
        Protocol::Mqtt => (options.board_grace, options.board_grace),
        Protocol::Cwmp | Protocol::Ussd => (options.download_time, options.apply_grace),
    };
    rollout.order().policy(download_time, apply_grace)
}

/// Whether a rollout gives images to devices.
pub(super) fn is_running(entry: &Entry) -> bool {
    entry.with(|it| it.state()) == RolloutState::Running
}
